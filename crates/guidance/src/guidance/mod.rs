//! Guidance: what is made of the network's prediction so that the synthesis follows a label.
//!
//! A technique is one file that implements [`Guidance`], one variant of [`GuidanceConfig`] and its line in
//! [`GuidanceConfig::prepare`].

mod classifier_free;
mod clean_grad;
mod context;
mod none;

use std::cell::Cell;

use burn::tensor::{Tensor, TensorData};
use diffguard_models::NoisePredictor;
use serde::{Deserialize, Serialize};

pub use classifier_free::{ClassifierFree, ClassifierFreeConfig};
pub use clean_grad::{
    CleanGrad, CleanGradConfig, CropWeight, GradientPath, log_probability_gradient,
};
pub use context::GuidanceContext;
pub use none::Unconditional;

use crate::{
    Cost, Error, Spent,
    first_step::{Asked, FirstStep, Question},
    rows::Rows,
};

/// A step of the synthesis, as a guidance sees it.
#[derive(Debug)]
pub struct GuidanceStep<'a> {
    /// Index of the move that is about to be made.
    pub index: usize,
    /// The training step that the network is to be given.
    pub t: f64,
    /// `abar` of the level of `x`, in (0, 1).
    pub abar: f64,
    /// `x_t`: `[row, channel, height, width]`.
    pub x: &'a Tensor<4>,
    /// The samples that take part.
    pub rows: &'a Rows,
    first: Option<&'a FirstStep>,
    shared: Cell<Spent>,
}

impl<'a> GuidanceStep<'a> {
    /// The step at `index`, of `x` at the training step `t` and the level `abar`.
    pub fn new(index: usize, (t, abar): (f64, f64), x: &'a Tensor<4>, rows: &'a Rows) -> Self {
        Self {
            index,
            t,
            abar,
            x,
            rows,
            first: None,
            shared: Cell::default(),
        }
    }

    /// The same, where all rows begin with this step.
    pub(crate) fn first(self, first: Option<&'a FirstStep>) -> Self {
        Self { first, ..self }
    }

    /// What the networks were not asked again.
    pub(crate) fn shared(&self) -> Spent {
        self.shared.get()
    }

    /// The network's noise in `x`, `[row, channel, height, width]`, and what it cost. `labels`: none, or one of each row, or
    /// several times one of each row, which has so many answers one after the other.
    pub fn noise(
        &self,
        network: &dyn NoisePredictor,
        labels: Option<Vec<i64>>,
    ) -> (Tensor<4>, Cost) {
        let (mut answer, cost) = self.once(Question::Noise(labels.clone()), || {
            let device = self.x.device();
            let rows = labels.as_ref().map_or(self.rows.len(), Vec::len);
            let times = rows / self.rows.len().max(1);
            let x = match times {
                1 => self.x.clone(),
                _ => self.x.clone().repeat_dim(0, times),
            };
            let labels = labels.map(|it| Tensor::from_data(TensorData::new(it, [rows]), &device));
            let eps = network.eps(x, Tensor::full([rows], self.t, &device), labels);
            let cost = Cost {
                unet_rows: rows as u64,
                ..Cost::default()
            };
            (vec![eps], cost)
        });
        (answer.remove(0), cost)
    }

    /// The networks' answer and what it cost: nothing where it is known from another setting's first step.
    pub(crate) fn once(
        &self,
        question: Question,
        compute: impl FnOnce() -> (Vec<Tensor<4>>, Cost),
    ) -> (Vec<Tensor<4>>, Cost) {
        let Some(first) = self.first else {
            return compute();
        };
        let asked = Asked {
            index: self.index,
            rows: self.rows.positions().to_vec(),
            question,
        };
        let Some((answer, took)) = first.get(&asked) else {
            return first.compute(asked, compute);
        };
        let mut shared = self.shared.get();
        shared += took;
        self.shared.set(shared);
        (answer, Cost::default())
    }
}

/// What a guidance answers.
#[derive(Debug)]
pub struct Prediction {
    /// The noise from which the implied image is taken (and clipped, where that is asked for), shaped as `x`.
    pub eps: Tensor<4>,
    /// What is subtracted from the noise AFTER clipping, `s sqrt(1 - abar) grad log p`, shaped as `x`.
    pub shift: Option<Tensor<4>>,
    /// Rows that went through the networks for it.
    pub cost: Cost,
}

/// A way to make a synthesis follow labels.
pub trait Guidance {
    /// Predicts the noise in `step.x`, guided.
    ///
    /// # Errors
    /// When the step's rows do not belong to the batch that the guidance was prepared for.
    fn predict(
        &self,
        network: &dyn NoisePredictor,
        step: &GuidanceStep<'_>,
    ) -> Result<Prediction, Error>;
}

/// A choice of guidance: `{ kind = "classifier-free", scale = 3.0, dsg_cut = 0.2 }`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum GuidanceConfig {
    /// The unconditional reconstruction.
    None {},
    /// Classifier-free guidance (P eq. 5), with distinct semantic guidance (P tech 3) where `dsg_cut` is given.
    ClassifierFree(ClassifierFreeConfig),
    /// Classifier guidance (P eq. 4) with Clean Grad (P tech 1).
    Classifier(CleanGradConfig),
}

impl GuidanceConfig {
    /// Makes the guidance of one batch.
    ///
    /// # Errors
    /// When a setting is out of range or means nothing for this network, or a network or label that it needs is
    /// missing.
    pub fn prepare<'a>(
        &self,
        context: &'a GuidanceContext<'a>,
    ) -> Result<Box<dyn Guidance + 'a>, Error> {
        Ok(match self {
            Self::None {} => Box::new(Unconditional),
            Self::ClassifierFree(config) => Box::new(ClassifierFree::new(config, context)?),
            Self::Classifier(config) => Box::new(CleanGrad::new(config, context)?),
        })
    }

    /// Refuses what cannot be, or means nothing for this network, before anything is computed.
    ///
    /// # Errors
    /// When a setting is out of range, or the network cannot predict what it needs: without a label, or with a null
    /// label.
    pub fn check(&self, network: &dyn NoisePredictor) -> Result<(), Error> {
        match self {
            Self::None {} => Ok(network.check_unlabelled()?),
            Self::ClassifierFree(config) => config.check(network),
            Self::Classifier(config) => {
                network.check_unlabelled()?;
                config.check()
            }
        }
    }

    /// Whether the noise predictor is given labels.
    pub fn follows_labels_of_the_network(&self) -> bool {
        matches!(self, Self::ClassifierFree(_))
    }

    /// Whether parts of in-distribution images are mixed into what the classifier sees: see
    /// [`GuidanceContext::with_donors`].
    pub fn needs_donors(&self) -> bool {
        matches!(self, Self::Classifier(config) if config.mix.is_some())
    }

    /// Whether the classifier under protection takes part.
    pub fn needs_classifier(&self) -> bool {
        match self {
            Self::None {} => false,
            Self::ClassifierFree(config) => config.dsg_cut.is_some(),
            Self::Classifier(_) => true,
        }
    }
}
