//! `bench NAME --synthetic`: the very same experiment with nothing at hand, on generated images with generated weights in
//! reduced networks, to prove the path. Whatever it writes is stamped.

mod experiment;
mod network;
mod weights;

use std::collections::BTreeMap;
use std::path::Path;

use burn::tensor::Device;
use diffguard_datasets::benchmark::OpenBenchmark;
use diffguard_datasets::synthetic;
use diffguard_guidance::similarity::{
    DISTS_WEIGHTS, LPIPS_WEIGHTS, Perceptual, PerceptualFiles, VGG16_WEIGHTS,
};
use diffguard_models::checkpoint::{Source, file_sha256, open_verified};
use diffguard_models::network::{ClassifierNetwork, DiffusionNetwork};

use crate::experiment::Experiment;
use crate::networks::{LoadedClassifier, LoadedDiffusion, Networks, Provenance, Recorded};
use crate::perceptual::{self, LoadedPerceptual};
use crate::{Result, Root};

/// What titles of tables, plots and pictures begin with.
pub const STAMP: &str = "SYNTHETIC";

/// Images of a test set.
const IMAGES: usize = 1;
/// Images of a validation set: what is fitted there needs two.
const VALIDATION: usize = 2;
/// Images to fit to.
const FIT: usize = 64;

/// What all outputs say of such a run.
pub const WARNING: &str = "SYNTHETIC: generated images, generated weights and reduced networks. This run proves that the \
                           path works; its numbers say nothing about any method.";

/// Reduces an experiment and stamps it. What was reduced, in words.
pub fn reduce(experiment: &mut Experiment) -> Vec<String> {
    experiment.limit = experiment.limit.min(IMAGES);
    experiment.validation_limit = experiment.validation_limit.min(VALIDATION);
    experiment::reduce(experiment)
}

/// A stand-in for the experiment's benchmark.
///
/// # Errors
/// When there is no such benchmark.
pub fn benchmark(experiment: &Experiment) -> Result<OpenBenchmark> {
    let images = experiment.limit.max(experiment.validation_limit);
    Ok(synthetic::benchmark(&experiment.benchmark, images, FIT)?.into())
}

/// The experiment's networks, reduced, with generated weights, which are written into `folder` under their published names
/// and read from there as published files are. Adds what was reduced to `notes`.
///
/// # Errors
/// When a record cannot be read, or a file cannot be written.
pub fn networks(
    experiment: &Experiment,
    root: &Root,
    folder: &Path,
    device: &Device,
    notes: &mut Vec<String>,
) -> Result<Networks> {
    let classifiers = experiment
        .classifiers
        .iter()
        .map(|name| classifier(name, root, folder, device, notes))
        .collect::<Result<Vec<_>>>()?;
    let classes = classifiers
        .first()
        .map_or(0, |first: &LoadedClassifier| first.network.num_classes());
    let diffusion = match &experiment.diffusion {
        Some(name) => {
            Some(diffusion(name, classes, root, folder, device, notes)?.on(experiment.compute))
        }
        None => None,
    };
    let mut diffusion_of = BTreeMap::new();
    for (inversion, name) in &experiment.diffusion_of {
        let loaded = self::diffusion(name, classes, root, folder, device, notes)?;
        diffusion_of.insert(inversion.clone(), loaded.on(experiment.compute));
    }
    Ok(Networks {
        classifiers,
        diffusion,
        diffusion_of,
        perceptual: perceptual(experiment, folder, device)?,
        donors: None,
    })
}

fn classifier(
    name: &str,
    root: &Root,
    folder: &Path,
    device: &Device,
    notes: &mut Vec<String>,
) -> Result<LoadedClassifier> {
    let mut record = Recorded::<ClassifierNetwork>::read(name, root)?;
    let published = record.network.stored_numbers(device);
    record.network = network::classifier(&record.network);
    let parameters = record.network.stored_numbers(device);
    notes.push(format!("{name}: {parameters} numbers of {published}"));
    let keys = record.network.summary()?.keys;
    let (source, sha256) = written(folder, name, &keys)?;
    let map = record.network.key_map();
    let network = record.network.load_from(&source, &map, device)?;
    Ok(LoadedClassifier::new(
        network,
        Provenance {
            record: format!("{STAMP} {name}"),
            sha256,
            description_sha256: None,
            parameters,
            date: String::new(),
        },
    ))
}

fn diffusion(
    name: &str,
    classes: usize,
    root: &Root,
    folder: &Path,
    device: &Device,
    notes: &mut Vec<String>,
) -> Result<LoadedDiffusion> {
    let mut record = Recorded::<DiffusionNetwork>::read(name, root)?;
    let published = record.network.summary()?.parameters;
    record.network = network::diffusion(&record.network);
    let summary = record.network.summary()?;
    let parameters = summary.parameters;
    notes.push(format!("{name}: {parameters} parameters of {published}"));
    let (source, sha256) = written(folder, name, &summary.keys)?;
    let mut loaded = LoadedDiffusion::of(&record, &source, sha256, classes, device)?;
    loaded.provenance.record = format!("{STAMP} {name}");
    Ok(loaded)
}

fn written(
    folder: &Path,
    name: &str,
    keys: &[diffguard_models::keys::Key],
) -> Result<(Source, String)> {
    let tensors = keys
        .iter()
        .map(|key| (key.published.clone(), key.shape.clone()));
    let file = name.replace(['/', '\\'], "-").replace(".toml", "");
    let path = weights::write(folder, &file, tensors)?;
    let sha256 = file_sha256(&path)?;
    Ok((open_verified(&path, Some(&sha256))?, sha256))
}

/// VGG-16 at its own size, with generated weights.
fn perceptual(
    experiment: &Experiment,
    folder: &Path,
    device: &Device,
) -> Result<Option<LoadedPerceptual>> {
    let needed = perceptual::needed(experiment);
    if needed.is_empty() {
        return Ok(None);
    }
    let file = |name: &'static str| -> Result<_> {
        let wanted = needed.contains(name);
        wanted
            .then(|| weights::write(folder, name, weights::perceptual(name)))
            .transpose()
    };
    let vgg16 = weights::write(folder, VGG16_WEIGHTS, weights::perceptual(VGG16_WEIGHTS))?;
    let files = PerceptualFiles {
        vgg16,
        dists: file(DISTS_WEIGHTS)?,
        lpips: file(LPIPS_WEIGHTS)?,
    };
    let paths = [
        Some(&files.vgg16),
        files.dists.as_ref(),
        files.lpips.as_ref(),
    ];
    Ok(Some(LoadedPerceptual {
        network: Perceptual::load(&files, device)?,
        sha256: paths
            .into_iter()
            .flatten()
            .map(|path| file_sha256(path))
            .collect::<std::result::Result<_, _>>()?,
    }))
}
