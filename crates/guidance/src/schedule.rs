//! Noise schedules: how much of the image is left after each of the `T` training steps.
//!
//! Everything is computed in double precision: the respaced betas are differences of nearly equal numbers.

use burn::tensor::{Tensor, TensorData};
use serde::{Deserialize, Serialize};

use crate::Error;

/// Offset of the cosine schedule (Nichol & Dhariwal 2021, eq. 17).
const COSINE_OFFSET: f64 = 0.008;
/// Largest beta of the cosine schedule (ibid.).
const COSINE_MAX_BETA: f64 = 0.999;

/// A noise schedule by name, as an experiment or a checkpoint's configuration writes it:
/// `{ kind = "guided-linear", steps = 1000 }`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum ScheduleConfig {
    /// Linear from 1e-4 to 2e-2, both multiplied by `1000 / steps` (Ho et al. 2020; the scaling is
    /// guided-diffusion's).
    GuidedLinear {
        /// Number of training steps `T` (1000).
        #[serde(default = "published_steps")]
        steps: usize,
    },
    /// `abar_t` follows a squared cosine (Nichol & Dhariwal 2021).
    Cosine {
        /// Number of training steps `T` (1000).
        #[serde(default = "published_steps")]
        steps: usize,
    },
    /// Linear in `sqrt(beta)`: latent diffusion's schedule, which its own code calls "linear".
    ScaledLinear {
        /// Number of training steps `T` (1000).
        #[serde(default = "published_steps")]
        steps: usize,
        /// First beta (0.0015, the published ImageNet model's).
        #[serde(default = "latent_start")]
        start: f64,
        /// Last beta (0.0195, the published ImageNet model's).
        #[serde(default = "latent_end")]
        end: f64,
    },
    /// Plain linear, not scaled with the number of steps (Ho et al. 2020; DiffNB's).
    Linear {
        /// Number of training steps `T` (1000).
        #[serde(default = "published_steps")]
        steps: usize,
        /// First beta (1e-4).
        #[serde(default = "ddpm_start")]
        start: f64,
        /// Last beta (2e-2).
        #[serde(default = "ddpm_end")]
        end: f64,
    },
}

fn published_steps() -> usize {
    1000
}
fn latent_start() -> f64 {
    0.0015
}
fn latent_end() -> f64 {
    0.0195
}
fn ddpm_start() -> f64 {
    1e-4
}
fn ddpm_end() -> f64 {
    2e-2
}

impl Default for ScheduleConfig {
    /// Guided diffusion's linear schedule of 1000 steps.
    fn default() -> Self {
        Self::GuidedLinear {
            steps: published_steps(),
        }
    }
}

impl ScheduleConfig {
    /// Number of training steps `T`.
    pub fn steps(&self) -> usize {
        match *self {
            Self::GuidedLinear { steps }
            | Self::Cosine { steps }
            | Self::ScaledLinear { steps, .. }
            | Self::Linear { steps, .. } => steps,
        }
    }

    /// Computes the schedule.
    ///
    /// # Errors
    /// When there are no steps, or a beta falls outside (0, 1).
    pub fn init(&self) -> Result<Schedule, Error> {
        let betas = match *self {
            Self::GuidedLinear { steps } => {
                let scale = 1000.0 / steps as f64;
                linspace(scale * ddpm_start(), scale * ddpm_end(), steps)
            }
            Self::Cosine { steps } => cosine(steps),
            Self::ScaledLinear { steps, start, end } => linspace(start.sqrt(), end.sqrt(), steps)
                .into_iter()
                .map(|root| root * root)
                .collect(),
            Self::Linear { steps, start, end } => linspace(start, end, steps),
        };
        Schedule::from_betas(betas)
    }
}

/// `beta_t` and `abar_t` of every training step `t` in `0..T`.
#[derive(Debug, Clone, PartialEq)]
pub struct Schedule {
    betas: Vec<f64>,
    alphas_cumprod: Vec<f64>,
}

impl Schedule {
    /// A schedule of given betas.
    ///
    /// # Errors
    /// When there are none, or one falls outside (0, 1).
    pub fn from_betas(betas: Vec<f64>) -> Result<Self, Error> {
        if betas.is_empty() {
            return Err(Error::Schedule(
                "it needs at least one training step".into(),
            ));
        }
        if let Some((t, beta)) = betas
            .iter()
            .enumerate()
            .find(|(_, b)| !(0.0 < **b && **b < 1.0))
        {
            return Err(Error::Schedule(format!(
                "beta of step {t} is {beta}; every beta has to lie between 0 and 1"
            )));
        }
        let alphas_cumprod = betas
            .iter()
            .scan(1.0, |product, beta| {
                *product *= 1.0 - beta;
                Some(*product)
            })
            .collect();
        Ok(Self {
            betas,
            alphas_cumprod,
        })
    }

    /// Number of training steps `T`.
    pub fn steps(&self) -> usize {
        self.betas.len()
    }

    /// `beta_t`, `T` values in (0, 1).
    pub fn betas(&self) -> &[f64] {
        &self.betas
    }

    /// `abar_t = prod_{s <= t} (1 - beta_s)`, `T` values, falling from nearly 1 to nearly 0.
    pub fn alphas_cumprod(&self) -> &[f64] {
        &self.alphas_cumprod
    }

    /// Diffuses images to given steps, `sqrt(abar_t) x_0 + sqrt(1 - abar_t) noise` (P eq. 1).
    ///
    /// - `image`, `noise`: `[batch, channel, height, width]`, the image in [-1, 1];
    /// - `steps`: one training step a sample, each below [`steps`](Self::steps).
    ///
    /// # Errors
    /// When the number of steps is not the batch size, or a step does not exist.
    pub fn diffuse(
        &self,
        image: Tensor<4>,
        noise: Tensor<4>,
        steps: &[usize],
    ) -> Result<Tensor<4>, Error> {
        let [batch, ..] = image.dims();
        if steps.len() != batch || noise.dims() != image.dims() {
            return Err(Error::Shape {
                what: "diffusing images",
                expected: format!("{batch} steps and noise shaped {:?}", image.dims()),
                got: format!("{} steps and noise shaped {:?}", steps.len(), noise.dims()),
            });
        }
        if let Some(step) = steps.iter().find(|step| **step >= self.steps()) {
            return Err(Error::Setting {
                setting: "step",
                value: step.to_string(),
                reason: format!("the schedule has the steps 0 to {}", self.steps() - 1),
            });
        }
        let device = image.device();
        let column = |values: Vec<f32>| {
            Tensor::<4>::from_data(TensorData::new(values, [batch, 1, 1, 1]), &device)
        };
        let abar = |t: &usize| self.alphas_cumprod[*t];
        let signal = column(steps.iter().map(|t| abar(t).sqrt() as f32).collect());
        let sigma = column(
            steps
                .iter()
                .map(|t| (1.0 - abar(t)).sqrt() as f32)
                .collect(),
        );
        Ok(image * signal + noise * sigma)
    }
}

/// `count` equally spaced values, both ends included.
fn linspace(start: f64, end: f64, count: usize) -> Vec<f64> {
    let gaps = count.saturating_sub(1).max(1) as f64;
    (0..count)
        .map(|i| start + (end - start) * i as f64 / gaps)
        .collect()
}

fn cosine(steps: usize) -> Vec<f64> {
    let abar = |u: f64| {
        ((u + COSINE_OFFSET) / (1.0 + COSINE_OFFSET) * std::f64::consts::FRAC_PI_2)
            .cos()
            .powi(2)
    };
    (0..steps)
        .map(|i| (i as f64 / steps as f64, (i + 1) as f64 / steps as f64))
        .map(|(from, to)| (1.0 - abar(to) / abar(from)).min(COSINE_MAX_BETA))
        .collect()
}
