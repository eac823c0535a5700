//! What networks and guidances were asked and answered, written down.

use std::sync::{Mutex, PoisonError};

use burn::tensor::{Int, Tensor};
use diffguard_models::{Classifier, NoisePredictor};

use super::tensors::values;
use crate::{
    Error, Guidance,
    guidance::{GuidanceStep, Prediction},
};

/// A noise predictor whose calls are kept.
pub(super) struct RecordedNetwork<'a> {
    network: &'a dyn NoisePredictor,
    calls: Mutex<Vec<Call>>,
}

/// A call of the network.
pub(super) struct Call {
    /// The step that it was given (one for all rows, in these cases).
    pub(super) t: f64,
    /// The noise that it predicted.
    pub(super) eps: Tensor<4>,
}

impl<'a> RecordedNetwork<'a> {
    pub(super) fn new(network: &'a dyn NoisePredictor) -> Self {
        Self {
            network,
            calls: Mutex::default(),
        }
    }

    pub(super) fn into_calls(self) -> Vec<Call> {
        self.calls
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl NoisePredictor for RecordedNetwork<'_> {
    fn eps(&self, x_t: Tensor<4>, t: Tensor<1>, label: Option<Tensor<1, Int>>) -> Tensor<4> {
        let step = values(&t).first().copied().unwrap_or(f64::NAN);
        let eps = self.network.eps(x_t, t, label);
        let mut calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        calls.push(Call {
            t: step,
            eps: eps.clone(),
        });
        eps
    }

    fn num_classes(&self) -> usize {
        self.network.num_classes()
    }

    fn null_label(&self) -> Option<usize> {
        self.network.null_label()
    }
}

/// A guidance whose steps are kept.
pub(super) struct RecordedGuidance<'a, G> {
    pub(super) guidance: &'a G,
    pub(super) steps: Mutex<Vec<GuidedStep>>,
}

/// A step of a guidance.
pub(super) struct GuidedStep {
    pub(super) index: usize,
    pub(super) abar: f64,
    pub(super) x: Tensor<4>,
    /// The network's noise.
    pub(super) eps: Tensor<4>,
    pub(super) shift: Option<Tensor<4>>,
}

impl<G: Guidance> Guidance for RecordedGuidance<'_, G> {
    fn predict(
        &self,
        network: &dyn NoisePredictor,
        step: &GuidanceStep<'_>,
    ) -> Result<Prediction, Error> {
        let prediction = self.guidance.predict(network, step)?;
        let mut steps = self.steps.lock().unwrap_or_else(PoisonError::into_inner);
        steps.push(GuidedStep {
            index: step.index,
            abar: step.abar,
            x: step.x.clone(),
            eps: prediction.eps.clone(),
            shift: prediction.shift.clone(),
        });
        Ok(prediction)
    }
}

/// A classifier whose logits are kept.
pub(super) struct RecordedClassifier<C> {
    pub(super) classifier: C,
    pub(super) logits: Mutex<Vec<Tensor<2>>>,
}

impl<C: Classifier> Classifier for RecordedClassifier<C> {
    fn last_stage(&self, image: Tensor<4>) -> Tensor<4> {
        self.classifier.last_stage(image)
    }

    fn pool(&self, activations: Tensor<4>) -> Tensor<2> {
        self.classifier.pool(activations)
    }

    fn head(&self, features: Tensor<2>) -> Tensor<2> {
        let logits = self.classifier.head(features);
        let mut kept = self.logits.lock().unwrap_or_else(PoisonError::into_inner);
        kept.push(logits.clone().without_autodiff());
        logits
    }

    fn head_parameters(&self) -> (Tensor<2>, Tensor<1>) {
        self.classifier.head_parameters()
    }

    fn num_classes(&self) -> usize {
        self.classifier.num_classes()
    }

    fn input_side(&self) -> usize {
        self.classifier.input_side()
    }
}
