//! The networks of an experiment, loaded from their weights records.

use std::path::{Path, PathBuf};

use burn::tensor::{Device, Tensor};
use diffguard_datasets::manifest::Manifest;
use diffguard_guidance::{Schedule, ScheduleConfig, SimilarityName, View};
use diffguard_models::checkpoint::open_verified;
use diffguard_models::network::{ClassifierNetwork, DiffusionNetwork, WeightsRecord};
use diffguard_models::published::PublishedRecord;
use diffguard_models::{Classifier, NoisePredictor};
use serde::{Deserialize, Serialize};

use crate::experiment::Experiment;
use crate::perceptual::LoadedPerceptual;
use crate::{Error, Result, Root};

/// What a run records of a network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Provenance {
    /// The weights record, relative to `assets/`.
    pub record: String,
    /// SHA-256 of the weights file.
    pub sha256: String,
    /// Stored numbers: parameters and running statistics.
    pub parameters: usize,
    /// Day on which the training ended; empty for a published checkpoint.
    pub date: String,
}

/// A classifier and where it comes from.
pub struct LoadedClassifier {
    /// The network, for inference.
    pub network: Box<dyn Classifier>,
    /// Its provenance.
    pub provenance: Provenance,
}

/// All networks of an experiment.
pub struct Networks {
    /// The classifiers; the first is the one under protection.
    pub classifiers: Vec<LoadedClassifier>,
    /// The diffusion network, where the experiment has one.
    pub diffusion: Option<LoadedDiffusion>,
    /// What DISTS and LPIPS look through, where the experiment asks for them.
    pub perceptual: Option<LoadedPerceptual>,
}

/// A diffusion network, its schedule, and where it comes from.
pub struct LoadedDiffusion {
    /// The noise predictor.
    pub unet: Box<dyn NoisePredictor>,
    /// Its provenance.
    pub provenance: Provenance,
    /// The schedule that it was trained with.
    pub schedule: Schedule,
    /// The same, as its record writes it.
    pub schedule_config: ScheduleConfig,
}

impl Provenance {
    /// The record's name without folder and ending.
    pub fn name(&self) -> &str {
        let file = self.record.rsplit('/').next().unwrap_or(&self.record);
        file.strip_suffix(".toml").unwrap_or(file)
    }
}

impl Networks {
    /// Loads the networks of `experiment` onto `device`, but for [`perceptual`](Self::perceptual).
    ///
    /// # Errors
    /// When a record or a weights file is missing, damaged, of another checksum, or does not fit.
    pub fn load(experiment: &Experiment, root: &Root, device: &Device) -> Result<Self> {
        let classifiers = experiment
            .classifiers
            .iter()
            .map(|name| load_classifier(name, root, device))
            .collect::<Result<Vec<_>>>()?;
        let classes = classifiers
            .first()
            .map_or(0, |first: &LoadedClassifier| first.network.num_classes());
        let diffusion = match &experiment.diffusion {
            Some(name) => Some(load_diffusion(name, classes, root, device)?),
            None => None,
        };
        Ok(Self {
            classifiers,
            diffusion,
            perceptual: None,
        })
    }

    /// The diffusion network.
    ///
    /// # Errors
    /// When the experiment has none.
    pub fn diffusion(&self) -> Result<&LoadedDiffusion> {
        self.diffusion.as_ref().ok_or_else(|| {
            Error::Setting("the experiment names no `diffusion` network, but needs one".into())
        })
    }

    /// The classifier under protection.
    pub fn protected(&self) -> &LoadedClassifier {
        &self.classifiers[0]
    }

    /// `image`, `[batch, channel, height, width]` in [-1, 1], with all networks that similarities look through.
    pub fn view(&self, image: Tensor<4>) -> View<'_> {
        let view = View::new(image, Some(self.protected().network.as_ref()));
        match &self.perceptual {
            Some(perceptual) => view.with_perceptual(&perceptual.network),
            None => view,
        }
    }

    /// SHA-256 of the files that the similarities `names` look through besides the classifier, for keys.
    pub fn perceptual_key(&self, names: &[SimilarityName]) -> Option<&[String]> {
        let needed = names
            .iter()
            .any(|name| !name.similarity().needs_weights.is_empty());
        let perceptual = self.perceptual.as_ref().filter(|_| needed)?;
        Some(&perceptual.sha256)
    }
}

/// A classifier by its record: of weights that this program wrote, or of a published checkpoint.
fn load_classifier(name: &str, root: &Root, device: &Device) -> Result<LoadedClassifier> {
    let path = root.assets().join(name);
    if PublishedRecord::<ClassifierNetwork>::is_at(&path)? {
        let record = PublishedRecord::<ClassifierNetwork>::read(&path)?;
        let manifest = Manifest::read(&root.path().join("datasets.toml"))?;
        let found = root
            .data()
            .find(&manifest, published(&record, &path, &manifest)?)?;
        let source = open_verified(&found.paths[0], Some(&record.sha256))?;
        let map = record.network.key_map();
        return Ok(LoadedClassifier {
            network: record.network.load_from(&source, &map, device)?,
            provenance: Provenance {
                record: name.to_owned(),
                sha256: record.sha256.clone(),
                parameters: record.network.stored_numbers(device),
                date: String::new(),
            },
        });
    }
    let (path, record) = read::<ClassifierNetwork>(name, root)?;
    let weights = record.weights_path(&path);
    let network = record
        .network
        .load(&weights, Some(&record.sha256), device)?;
    Ok(LoadedClassifier {
        network,
        provenance: provenance(name, &record),
    })
}

/// The name in datasets.toml of a published checkpoint, whose record is at `path`.
fn published<'a>(
    record: &PublishedRecord<ClassifierNetwork>,
    path: &Path,
    manifest: &'a Manifest,
) -> Result<&'a str> {
    let known = manifest.checkpoint_of_sha256(&record.sha256);
    let known = known.ok_or_else(|| {
        let sha256 = &record.sha256;
        Error::file(
            path,
            format!("no checkpoint of datasets.toml has its sha256 {sha256}"),
        )
    })?;
    Ok(&known.name)
}

/// The published checkpoints that `experiment` needs, by their names in datasets.toml.
///
/// # Errors
/// When a record cannot be read, or datasets.toml does not know its checkpoint.
pub fn published_checkpoints<'a>(
    experiment: &Experiment,
    root: &Root,
    manifest: &'a Manifest,
) -> Result<Vec<&'a str>> {
    let paths = experiment
        .classifiers
        .iter()
        .map(|name| root.assets().join(name));
    let mut names = Vec::new();
    for path in paths {
        if PublishedRecord::<ClassifierNetwork>::is_at(&path)? {
            let record = PublishedRecord::<ClassifierNetwork>::read(&path)?;
            names.push(published(&record, &path, manifest)?);
        }
    }
    Ok(names)
}

fn load_diffusion(
    name: &str,
    classes: usize,
    root: &Root,
    device: &Device,
) -> Result<LoadedDiffusion> {
    let (path, record) = read::<DiffusionNetwork>(name, root)?;
    let weights = record.weights_path(&path);
    let unet = record
        .network
        .load(&weights, Some(&record.sha256), device)?;
    unet.check_unlabelled()
        .map_err(|error| Error::file(&path, error))?;
    let schedule = record.training.get("schedule").cloned();
    let schedule = schedule.ok_or_else(|| Error::file(&path, "[training] has no `schedule`"))?;
    let schedule_config: ScheduleConfig = schedule
        .try_into()
        .map_err(|error| Error::file(&path, error))?;
    // One without classes can still be guided by the classifier.
    if unet.num_classes() != classes && unet.num_classes() != 0 {
        return Err(Error::file(
            &path,
            format!(
                "the diffusion network knows {} classes, the classifier {classes}",
                unet.num_classes()
            ),
        ));
    }
    Ok(LoadedDiffusion {
        unet,
        provenance: provenance(name, &record),
        schedule: schedule_config.init()?,
        schedule_config,
    })
}

fn read<Network: serde::de::DeserializeOwned>(
    name: &str,
    root: &Root,
) -> Result<(PathBuf, WeightsRecord<Network>)> {
    let path = root.assets().join(name);
    let record = WeightsRecord::read(&path)?;
    Ok((path, record))
}

fn provenance<Network>(name: &str, record: &WeightsRecord<Network>) -> Provenance {
    Provenance {
        record: name.to_owned(),
        sha256: record.sha256.clone(),
        parameters: record.parameters,
        date: record.date.clone(),
    }
}
