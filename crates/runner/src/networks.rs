//! The networks of an experiment, loaded from their weights records.

mod recorded;

use std::collections::BTreeMap;

use burn::tensor::{Device, Tensor};
use diffguard_datasets::manifest::Manifest;
use diffguard_guidance::{CentreCrop, Schedule, ScheduleConfig, SimilarityName, View};
use diffguard_models::checkpoint::{KeyMap, Source};
use diffguard_models::network::{ClassifierNetwork, DiffusionNetwork};
use diffguard_models::{Classifier, Compute, FirstStage, NoisePredictor};
use serde::{Deserialize, Serialize};

pub(crate) use self::recorded::Recorded;
use crate::donors::LoadedDonors;
use crate::experiment::{Experiment, base};
use crate::perceptual::LoadedPerceptual;
use crate::synthetic::STAMP;
use crate::{Error, Result, Root};

/// What a run records of a network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Provenance {
    /// The weights record, relative to `assets/`.
    pub record: String,
    /// SHA-256 of the weights file.
    pub sha256: String,
    /// SHA-256 of what is said of the weights, family and sizes, where that is a person's description: another one makes another
    /// network of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description_sha256: Option<String>,
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
    /// The diffusion networks of single inversions, by the inversion's name.
    pub diffusion_of: BTreeMap<String, LoadedDiffusion>,
    /// What DISTS and LPIPS look through, where the experiment asks for them.
    pub perceptual: Option<LoadedPerceptual>,
    /// Images that a guidance mixes in, where one does.
    pub donors: Option<LoadedDonors>,
}

/// A diffusion network, its schedule, and where it comes from.
pub struct LoadedDiffusion {
    /// The noise predictor.
    pub unet: Box<dyn NoisePredictor>,
    /// What it computes on.
    pub compute: Compute,
    /// Between images and the latents that it works on; none where it works on images.
    pub first_stage: Option<Box<dyn FirstStage>>,
    /// Family and sizes.
    pub network: DiffusionNetwork,
    /// Its provenance.
    pub provenance: Provenance,
    /// The schedule that it was trained with.
    pub schedule: Schedule,
    /// The same, as its record writes it.
    pub schedule_config: ScheduleConfig,
}

impl Provenance {
    /// What the network is in the keys of stored outputs.
    pub fn key(&self) -> String {
        match &self.description_sha256 {
            Some(description) => format!("{} as {description}", self.sha256),
            None => self.sha256.clone(),
        }
    }

    /// The record's name without folder and ending.
    pub fn name(&self) -> &str {
        let file = self.record.rsplit('/').next().unwrap_or(&self.record);
        file.strip_suffix(".toml").unwrap_or(file)
    }
}

impl LoadedClassifier {
    /// `network`; images that are larger than it takes are cropped to their centre.
    pub fn new(network: Box<dyn Classifier>, provenance: Provenance) -> Self {
        Self {
            network: Box::new(CentreCrop::new(network)),
            provenance,
        }
    }
}

impl Networks {
    /// Loads the networks of `experiment` onto `device`, but for [`perceptual`](Self::perceptual) and
    /// [`donors`](Self::donors).
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
            Some(name) => Some(load_diffusion(name, classes, root, device)?.on(experiment.compute)),
            None => None,
        };
        let mut diffusion_of = BTreeMap::new();
        for (inversion, name) in &experiment.diffusion_of {
            let loaded = load_diffusion(name, classes, root, device)?.on(experiment.compute);
            diffusion_of.insert(inversion.clone(), loaded);
        }
        Ok(Self {
            classifiers,
            diffusion,
            diffusion_of,
            perceptual: None,
            donors: None,
        })
    }

    /// The diffusion network of an inversion.
    ///
    /// # Errors
    /// When the experiment has none.
    pub fn diffusion(&self, inversion: &str) -> Result<&LoadedDiffusion> {
        let own = self.diffusion_of.get(base(inversion));
        own.or(self.diffusion.as_ref()).ok_or_else(no_diffusion)
    }

    /// The experiment's own diffusion network.
    ///
    /// # Errors
    /// When it has none.
    pub fn main_diffusion(&self) -> Result<&LoadedDiffusion> {
        self.diffusion.as_ref().ok_or_else(no_diffusion)
    }

    /// The classifier of a record.
    ///
    /// # Errors
    /// When the experiment does not name it.
    pub fn classifier(&self, record: &str) -> Result<&LoadedClassifier> {
        let mut classifiers = self.classifiers.iter();
        // Stand-ins say what they are before the record's name.
        let named = |it: &&LoadedClassifier| {
            let known = it.provenance.record.as_str();
            known == record || known.strip_prefix(STAMP).map(str::trim_start) == Some(record)
        };
        classifiers.find(named).ok_or_else(|| {
            Error::Setting(format!(
                "`{record}` is none of the experiment's `classifiers`"
            ))
        })
    }

    /// The diffusion network of an inversion, taken out.
    ///
    /// # Errors
    /// When there is none.
    pub fn take_diffusion(&mut self, inversion: &str) -> Result<LoadedDiffusion> {
        let own = self.diffusion_of.remove(base(inversion));
        own.or_else(|| self.diffusion.take())
            .ok_or_else(no_diffusion)
    }

    /// Every diffusion network.
    pub fn diffusions(&self) -> impl Iterator<Item = &LoadedDiffusion> {
        self.diffusion.iter().chain(self.diffusion_of.values())
    }

    /// Where the classifiers and the diffusion networks come from.
    pub fn provenances(&self) -> impl Iterator<Item = &Provenance> {
        let classifiers = self.classifiers.iter().map(|it| &it.provenance);
        classifiers.chain(self.diffusions().map(|it| &it.provenance))
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

fn no_diffusion() -> Error {
    Error::Setting("the experiment names no `diffusion` network, but needs one".into())
}

/// A classifier by its record.
fn load_classifier(name: &str, root: &Root, device: &Device) -> Result<LoadedClassifier> {
    let record = Recorded::<ClassifierNetwork>::read(name, root)?;
    record.network.check().map_err(|what| record.fault(what))?;
    let (source, sha256) = record.open(root)?;
    let map = match record.is_own() {
        true => KeyMap::native(),
        false => record.network.key_map(),
    };
    let network = record.network.load_from(&source, &map, device)?;
    let provenance = Provenance {
        record: name.to_owned(),
        sha256,
        description_sha256: record.description_sha256,
        parameters: record.network.stored_numbers(device),
        date: record.date,
    };
    Ok(LoadedClassifier::new(network, provenance))
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
    let mut names = Vec::new();
    for name in &experiment.classifiers {
        let record = Recorded::<ClassifierNetwork>::read(name, root)?;
        names.extend(record.checkpoint(manifest)?);
    }
    for name in experiment
        .diffusion
        .iter()
        .chain(experiment.diffusion_of.values())
    {
        let record = Recorded::<DiffusionNetwork>::read(name, root)?;
        names.extend(record.checkpoint(manifest)?);
    }
    Ok(names)
}

fn load_diffusion(
    name: &str,
    classes: usize,
    root: &Root,
    device: &Device,
) -> Result<LoadedDiffusion> {
    let record = Recorded::<DiffusionNetwork>::read(name, root)?;
    let (source, sha256) = record.open(root)?;
    LoadedDiffusion::of(&record, &source, sha256, classes, device)
}

impl LoadedDiffusion {
    /// The same network, computing on `compute`.
    #[must_use]
    pub fn on(self, compute: Compute) -> Self {
        Self {
            unet: compute.of(self.unet),
            compute,
            ..self
        }
    }

    /// What it computes on, for keys: nothing where it is what it always was.
    pub fn compute_key(&self) -> Option<Compute> {
        Some(self.compute).filter(|compute| *compute != Compute::F32)
    }

    /// The network that `record` describes, with the weights of `source`, for a classifier of so many classes.
    ///
    /// # Errors
    /// When the weights do not fit, or the network knows other classes.
    pub(crate) fn of(
        record: &Recorded<DiffusionNetwork>,
        source: &Source,
        sha256: String,
        classes: usize,
        device: &Device,
    ) -> Result<Self> {
        let network = &record.network;
        let schedule_config = record.schedule()?.clone();
        let unet = network.load_from(source, &network.key_map(), device)?;
        unet.check_unlabelled()
            .map_err(|error| record.fault(error.to_string()))?;
        // One without classes can still be guided by the classifier.
        if unet.num_classes() != classes && unet.num_classes() != 0 {
            return Err(record.fault(format!(
                "the diffusion network knows {} classes, the classifier {classes}",
                unet.num_classes()
            )));
        }
        Ok(Self {
            unet,
            compute: Compute::F32,
            first_stage: network.load_first_stage(source, device)?,
            network: network.clone(),
            provenance: Provenance {
                record: record.name.clone(),
                sha256,
                description_sha256: record.description_sha256.clone(),
                parameters: network.summary()?.parameters,
                date: record.date.clone(),
            },
            schedule: schedule_config.init()?,
            schedule_config,
        })
    }
}
