//! Training configurations, as TOML files hold them.

use std::path::Path;

use diffguard_guidance::schedule::ScheduleConfig;
use diffguard_models::network::{ClassifierNetwork, DiffusionNetwork};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::Error;

/// Which images a network is trained on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TrainingData {
    /// The training split of the quick benchmark: 46,000 Fashion-MNIST images of eight classes.
    Quick,
    /// CIFAR-10: all 50,000 training images; validated on the 1,000 test images of OpenOOD's validation list.
    Cifar10,
}

/// How long, how fast and from which seed.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Optimisation {
    /// Seed of the initial weights and of every random stream.
    pub seed: u64,
    /// Images a step.
    pub batch: usize,
    /// Images to see in all; the number of steps is `images / batch`.
    pub images: usize,
    /// Largest learning rate; it warms up linearly, then falls along a cosine.
    pub learning_rate: f64,
    /// Steps of linear warm-up.
    pub warmup_steps: usize,
    /// Share of the largest learning rate that is left at the end.
    pub final_share: f64,
    /// AdamW's decoupled weight decay.
    pub weight_decay: f64,
    /// Minutes between checkpoints.
    pub checkpoint_minutes: f64,
}

impl Optimisation {
    /// Number of optimiser steps.
    pub fn steps(&self) -> usize {
        self.images / self.batch
    }

    /// Learning rate of a step.
    pub fn learning_rate(&self, step: usize) -> f64 {
        if step < self.warmup_steps {
            return self.learning_rate * (step + 1) as f64 / self.warmup_steps as f64;
        }
        let span = self.steps().saturating_sub(self.warmup_steps).max(1);
        let share = (step - self.warmup_steps) as f64 / span as f64;
        let cosine = 0.5 * (1.0 + (std::f64::consts::PI * share).cos());
        self.learning_rate * (self.final_share + (1.0 - self.final_share) * cosine)
    }
}

/// Training of a classifier.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClassifierTraining {
    /// Name of the weights file, without ending.
    pub name: String,
    /// The images.
    pub data: TrainingData,
    /// Largest random shift in pixels, each way; the uncovered border is black.
    pub shift: usize,
    /// Whether images are mirrored at random.
    pub flip: bool,
    /// Noise that the images are trained on with; clean images where not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub noise: Option<NoiseTraining>,
    /// The network.
    pub network: ClassifierNetwork,
    /// The optimisation.
    pub optimisation: Optimisation,
}

/// Training on noisy images `x_t = sqrt(abar_t) x + sqrt(1 - abar_t) eps` (P eq. 1) with `t` drawn uniformly over the
/// schedule: a "noisy classifier", as classifier guidance was published with (Dhariwal & Nichol 2021, sec. 4).
///
/// Theirs is told `t`. The classifiers here have no such input, and infer the level from the image.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NoiseTraining {
    /// Noise schedule; that of the diffusion network whose images the classifier is to see.
    pub schedule: ScheduleConfig,
}

/// Training of a diffusion network: the mean square error of eps at uniformly drawn steps (Ho et al. 2020, eq. 14).
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DiffusionTraining {
    /// Name of the weights file, without ending.
    pub name: String,
    /// The images.
    pub data: TrainingData,
    /// Whether images are mirrored at random.
    #[serde(default)]
    pub flip: bool,
    /// Noise schedule.
    pub schedule: ScheduleConfig,
    /// Share of labels replaced by the null label (classifier-free guidance, Ho & Salimans 2022).
    pub null_share: f64,
    /// Decay a step of the exponential moving average of the weights, which is what is kept.
    pub ema_decay: f64,
    /// The network.
    pub network: DiffusionNetwork,
    /// The optimisation.
    pub optimisation: Optimisation,
}

/// Reads a configuration; also as the table that goes into the weights' record.
pub(crate) fn read<C: DeserializeOwned>(path: &Path) -> Result<(C, toml::Table), Error> {
    let fault = |what: String| Error::Config {
        path: path.to_owned(),
        what,
    };
    let text =
        std::fs::read_to_string(path).map_err(|error| fault(format!("cannot be read: {error}")))?;
    let config = toml::from_str(&text).map_err(|error| fault(error.to_string()))?;
    let table = toml::from_str(&text).map_err(|error| fault(error.to_string()))?;
    Ok((config, table))
}

/// What a checkpoint has to agree with before a run goes on from it: the whole configuration but how often it is saved,
/// and, where the learning rate does not depend on it, how long it is to last.
pub(crate) fn identity(table: &toml::Table, optimisation: &Optimisation) -> String {
    let mut table = table.clone();
    if let Some(toml::Value::Table(settings)) = table.get_mut("optimisation") {
        settings.remove("checkpoint_minutes");
        if optimisation.final_share == 1.0 {
            settings.remove("images");
        }
    }
    table.to_string()
}

/// Refuses a name that is no file's, and settings that no run can have.
pub(crate) fn check(name: &str, optimisation: &Optimisation, path: &Path) -> Result<(), Error> {
    let fault = |what: &str| {
        Err(Error::Config {
            path: path.to_owned(),
            what: what.to_owned(),
        })
    };
    if name.is_empty() || name.starts_with('.') || name.contains(['/', '\\']) {
        return fault("`name` is that of a file, without a folder");
    }
    match optimisation {
        o if o.batch == 0 => fault("optimisation.batch is 0; it must be at least 1"),
        o if o.steps() == 0 => {
            fault("optimisation.images is smaller than optimisation.batch: not one step")
        }
        o if o.learning_rate <= 0.0 || o.learning_rate.is_nan() => {
            fault("optimisation.learning_rate must be positive")
        }
        o if !(0.0..=1.0).contains(&o.final_share) => {
            fault("optimisation.final_share must lie in 0..=1")
        }
        _ => Ok(()),
    }
}

impl DiffusionTraining {
    /// Refuses shares that are none.
    pub(crate) fn check(&self, path: &Path) -> Result<(), Error> {
        check(&self.name, &self.optimisation, path)?;
        let fault = |what: &str| {
            Err(Error::Config {
                path: path.to_owned(),
                what: what.to_owned(),
            })
        };
        match self {
            it if !(0.0..=1.0).contains(&it.null_share) => fault("null_share must lie in 0..=1"),
            it if !(0.0..1.0).contains(&it.ema_decay) => {
                fault("ema_decay must lie in 0..1: at 1 the average stays at the initial weights")
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLEAN: &str = r#"
        name = "toy"
        data = "quick"
        shift = 0
        flip = false
        network = { family = "cifar-resnet", blocks = 1, width = 4, num_classes = 8, input_side = 28, mean = [0.3], std = [0.4] }
        optimisation = { seed = 0, batch = 1, images = 1, learning_rate = 1e-3, warmup_steps = 0, final_share = 1.0, weight_decay = 0.0, checkpoint_minutes = 1.0 }
    "#;

    #[test]
    fn what_is_no_share_and_no_file_s_name_is_refused() {
        let text = include_str!("../../../experiments/train/quick-unet.toml");
        let checked = |text: &str| {
            let config: DiffusionTraining = toml::from_str(text).expect("a configuration");
            config.check(Path::new("toy.toml"))
        };
        checked(text).expect("right");
        for (right, wrong, key) in [
            ("null_share = 0.1", "null_share = 15.0 #", "null_share"),
            ("ema_decay = 0.999", "ema_decay = 1.0", "ema_decay"),
            ("name = \"", "name = \"mine/", "`name`"),
        ] {
            assert!(text.contains(right));
            let error = checked(&text.replace(right, wrong)).expect_err("refused");
            assert!(error.to_string().contains(key), "{error}");
        }
    }

    #[test]
    fn a_classifier_is_trained_on_noise_where_a_schedule_is_given() {
        let clean: ClassifierTraining = toml::from_str(CLEAN).expect("a configuration");
        assert_eq!(clean.noise, None);
        let noisy =
            format!("{CLEAN}\nnoise = {{ schedule = {{ kind = \"linear\", steps = 50 }} }}");
        let noisy: ClassifierTraining = toml::from_str(&noisy).expect("a configuration");
        assert_eq!(noisy.noise.map(|noise| noise.schedule.steps()), Some(50));
        let wrong = format!("{CLEAN}\nnoise = {{ shedule = {{ kind = \"linear\" }} }}");
        let error = toml::from_str::<ClassifierTraining>(&wrong).expect_err("refuses");
        assert!(error.to_string().contains("shedule"), "{error}");
    }
}
