//! Classifier-free guidance (P eq. 5; Ho & Salimans 2021) with distinct semantic guidance (P tech 3).

use burn::tensor::Tensor;
use diffguard_models::NoisePredictor;
use serde::{Deserialize, Serialize};

use super::{Guidance, GuidanceContext, GuidanceStep, Prediction};
use crate::{
    Error,
    grad_cam::{check_cut, semantic_mask},
    nearest::resize_nearest,
};

const NO_NULL_LABEL: &str =
    "classifier-free guidance needs a network with a null label, and this one has none";

/// Settings of classifier-free guidance.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ClassifierFreeConfig {
    /// `w`: 0 is unconditional, 1 conditional, more is guided (3: DiffNB's CIFAR-10 model, whose `b` is `w - 1`; the
    /// paper's ImageNet experiments use 10).
    pub scale: f64,
    /// Distinct semantic guidance: the cut-point `c` of the classifier's activation map, in (-1, 1). Only where the
    /// map lies above `c` (below `|c|` for a negative `c`) the synthesis follows the label. Off where not given; the
    /// paper finds 0.2 best.
    pub dsg_cut: Option<f64>,
}

impl Default for ClassifierFreeConfig {
    fn default() -> Self {
        Self {
            scale: 3.0,
            dsg_cut: None,
        }
    }
}

impl ClassifierFreeConfig {
    /// Refuses what cannot be, or means nothing for this network.
    ///
    /// # Errors
    /// When the network has no null label, a setting is out of range, or `dsg_cut` comes with a `scale` of 1 or 0 (there
    /// is nothing then that the mask could tell apart).
    pub fn check(&self, network: &dyn NoisePredictor) -> Result<(), Error> {
        if !self.scale.is_finite() {
            return Err(scale_error(self.scale, "it has to be a finite number"));
        }
        let null = network.null_label().is_some();
        if let Some(cut) = self.dsg_cut {
            if self.scale == 1.0 || self.scale == 0.0 {
                return Err(dsg_error(
                    cut,
                    &format!(
                        "it means nothing at scale = {}: raise the scale, or leave it out",
                        self.scale
                    ),
                ));
            }
            if !null {
                return Err(dsg_error(
                    cut,
                    "it needs a network with a null label, and this one has none",
                ));
            }
            check_cut(cut)?;
        }
        if !null {
            return Err(scale_error(self.scale, NO_NULL_LABEL));
        }
        Ok(())
    }
}

/// Classifier-free guidance of one batch.
#[derive(Debug, Clone)]
pub struct ClassifierFree {
    scale: f64,
    labels: Vec<i64>,
    null_label: i64,
    mask: Option<Tensor<4>>,
}

impl ClassifierFree {
    /// Prepares the guidance of a batch.
    ///
    /// # Errors
    /// When the network has no null label, a label is not one of its classes, or `dsg_cut` is out of range, comes
    /// with a `scale` of 1 or 0 (there is nothing then that the mask could tell apart) or without a classifier.
    pub fn new(
        config: &ClassifierFreeConfig,
        context: &GuidanceContext<'_>,
    ) -> Result<Self, Error> {
        config.check(context.network())?;
        let mask = match config.dsg_cut {
            None => None,
            Some(cut) => Some(semantic_mask(context.activation_map()?.clone(), cut)?),
        };
        Self::with_mask(config.scale, context, mask)
    }

    /// Prepares the guidance of a batch with a mask of one's own: `[batch, 1, height, width]`, 1 where the synthesis
    /// is to follow the label and 0 elsewhere, of any size.
    ///
    /// # Errors
    /// When the network has no null label, a label is not one of its classes, or the scale is not a finite number.
    pub fn with_mask(
        scale: f64,
        context: &GuidanceContext<'_>,
        mask: Option<Tensor<4>>,
    ) -> Result<Self, Error> {
        if !scale.is_finite() {
            return Err(scale_error(scale, "it has to be a finite number"));
        }
        let network = context.network();
        let null_label = network
            .null_label()
            .ok_or_else(|| scale_error(scale, NO_NULL_LABEL))?;
        Ok(Self {
            scale,
            labels: context.labels_below(network.num_classes())?,
            null_label: null_label as i64,
            mask,
        })
    }

    /// The label of each row, or of each row twice: first its own, then the null label.
    fn row_labels(&self, step: &GuidanceStep<'_>, conditional: bool, null: bool) -> Vec<i64> {
        let own = step
            .rows
            .positions()
            .iter()
            .map(|position| match self.labels[*position] {
                -1 => self.null_label,
                label => label,
            });
        let mut labels: Vec<i64> = if conditional {
            own.collect()
        } else {
            Vec::new()
        };
        if null {
            labels.resize(labels.len() + step.rows.len(), self.null_label);
        }
        labels
    }
}

impl Guidance for ClassifierFree {
    /// P eq. 5: `eps' = eps(x, null) + w (eps(x, y) - eps(x, null))`, both terms in one batch; only one of them is
    /// computed where the other has no weight.
    fn predict(
        &self,
        network: &dyn NoisePredictor,
        step: &GuidanceStep<'_>,
    ) -> Result<Prediction, Error> {
        let rows = step.rows.len();
        if let Some(position) = step
            .rows
            .positions()
            .iter()
            .find(|p| **p >= self.labels.len())
        {
            return Err(Error::Shape {
                what: "labels of a batch",
                expected: format!("a label for the sample at position {position}"),
                got: format!("{} labels", self.labels.len()),
            });
        }
        let (conditional, null) = (self.scale != 0.0, self.scale != 1.0);
        let labels = self.row_labels(step, conditional, null);
        let (mut eps, cost) = step.noise(network, Some(labels));
        if conditional && null {
            let eps_label = eps.clone().narrow(0, 0, rows);
            let eps_null = eps.narrow(0, rows, rows);
            let mut direction = (eps_label - eps_null.clone()) * self.scale;
            if let Some(mask) = &self.mask {
                let [_, _, height, width] = direction.dims();
                direction = direction * resize_nearest(step.rows.select(mask), [height, width]);
            }
            eps = eps_null + direction;
        }
        Ok(Prediction {
            eps,
            shift: None,
            cost,
        })
    }
}

fn scale_error(scale: f64, reason: &str) -> Error {
    Error::Setting {
        setting: "scale",
        value: scale.to_string(),
        reason: reason.into(),
    }
}

fn dsg_error(cut: f64, reason: &str) -> Error {
    Error::Setting {
        setting: "dsg_cut",
        value: cut.to_string(),
        reason: reason.into(),
    }
}
