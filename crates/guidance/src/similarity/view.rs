//! One side of a comparison: images, and what the classifier makes of them, computed at most once.

use std::sync::OnceLock;

use burn::tensor::Tensor;
use diffguard_models::Classifier;

use crate::{Cost, Error};

/// A batch of images as the similarities see it. One view of the references serves any number of syntheses.
pub struct View<'a> {
    image: Tensor<4>,
    classifier: Option<&'a dyn Classifier>,
    features: OnceLock<Tensor<2>>,
    logits: OnceLock<Tensor<2>>,
    rows: OnceLock<u64>,
}

impl<'a> View<'a> {
    /// A view of `image`: `[batch, channel, height, width]` in [-1, 1]; what lies outside is clamped.
    pub fn new(image: Tensor<4>, classifier: Option<&'a dyn Classifier>) -> Self {
        Self {
            image: image.clamp(-1.0, 1.0),
            classifier,
            features: OnceLock::new(),
            logits: OnceLock::new(),
            rows: OnceLock::new(),
        }
    }

    /// The same, with what the classifier has said of the images already: penultimate features `[batch, feature]`
    /// and logits `[batch, class]`.
    #[must_use]
    pub fn with_observations(self, features: Tensor<2>, logits: Tensor<2>) -> Self {
        Self {
            features: features.into(),
            logits: logits.into(),
            ..self
        }
    }

    /// The images, `[batch, channel, height, width]`, clamped to [-1, 1].
    pub fn image(&self) -> &Tensor<4> {
        &self.image
    }

    /// The images in [0, 1], `[batch, channel, height, width]`.
    pub fn unit_image(&self) -> Tensor<4> {
        (self.image.clone() + 1.0) / 2.0
    }

    /// Penultimate features of the classifier, `[batch, feature]`.
    ///
    /// # Errors
    /// When there is no classifier; `wanted_by` is the similarity that asks.
    pub fn features(&self, wanted_by: &'static str) -> Result<Tensor<2>, Error> {
        if let Some(features) = self.features.get() {
            return Ok(features.clone());
        }
        let classifier = self.classifier(wanted_by)?;
        let [batch, ..] = self.image.dims();
        let _ = self.rows.set(batch as u64);
        Ok(self
            .features
            .get_or_init(|| classifier.features(self.image.clone()))
            .clone())
    }

    /// Logits of the classifier, `[batch, class]`.
    ///
    /// # Errors
    /// When there is no classifier; `wanted_by` is the similarity that asks.
    pub fn logits(&self, wanted_by: &'static str) -> Result<Tensor<2>, Error> {
        if let Some(logits) = self.logits.get() {
            return Ok(logits.clone());
        }
        let classifier = self.classifier(wanted_by)?;
        let features = self.features(wanted_by)?;
        Ok(self
            .logits
            .get_or_init(|| classifier.head(features))
            .clone())
    }

    /// Rows that went through the classifier so far.
    pub fn cost(&self) -> Cost {
        Cost {
            classifier_rows: self.rows.get().copied().unwrap_or(0),
            ..Cost::default()
        }
    }

    fn classifier(&self, wanted_by: &'static str) -> Result<&'a dyn Classifier, Error> {
        self.classifier.ok_or(Error::Similarity {
            name: wanted_by,
            reason: "it looks through the classifier under protection, and none was given".into(),
        })
    }
}
