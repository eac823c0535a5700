//! One side of a comparison: images, and what the networks make of them, computed at most once.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use burn::tensor::Tensor;
use diffguard_models::Classifier;

use super::{Perceptual, dists, fsim, lpips};
use crate::{Cost, Error, rows::int_tensor};

/// A batch of images as the similarities see it. One view of the references serves any number of syntheses.
///
/// What a similarity asks for is kept as long as the view: about 32 MB an image of 256 pixels for each of DISTS and
/// LPIPS, half a megabyte at 32 pixels.
pub struct View<'a> {
    image: Tensor<4>,
    classifier: Option<&'a dyn Classifier>,
    perceptual: Option<&'a Perceptual>,
    features: OnceLock<Tensor<2>>,
    logits: OnceLock<Tensor<2>>,
    stages: OnceLock<Vec<Tensor<4>>>,
    dists: OnceLock<Vec<Tensor<4>>>,
    lpips: OnceLock<Vec<Tensor<4>>>,
    fsim: OnceLock<Vec<fsim::Features>>,
    rows: AtomicU64,
}

impl<'a> View<'a> {
    /// A view of `image`: `[batch, channel, height, width]` in [-1, 1]; what lies outside is clamped.
    pub fn new(image: Tensor<4>, classifier: Option<&'a dyn Classifier>) -> Self {
        Self {
            image: image.clamp(-1.0, 1.0),
            classifier,
            perceptual: None,
            features: OnceLock::new(),
            logits: OnceLock::new(),
            stages: OnceLock::new(),
            dists: OnceLock::new(),
            lpips: OnceLock::new(),
            fsim: OnceLock::new(),
            rows: AtomicU64::new(0),
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

    /// The same, with the network that DISTS and LPIPS look through.
    #[must_use]
    pub fn with_perceptual(self, perceptual: &'a Perceptual) -> Self {
        Self {
            perceptual: Some(perceptual),
            ..self
        }
    }

    /// The view of some of the images, by their positions: what is known of them is kept.
    pub(crate) fn select(&self, positions: &[usize]) -> Self {
        let index = int_tensor(positions, &self.image.device());
        let of = |layers: &Vec<Tensor<4>>| -> Vec<Tensor<4>> {
            let some = |layer: &Tensor<4>| layer.clone().select(0, index.clone());
            layers.iter().map(some).collect()
        };
        let cell = |kept: &OnceLock<Vec<Tensor<4>>>| kept.get().map(of).map(OnceLock::from);
        let row = |kept: &OnceLock<Tensor<2>>| {
            let kept = kept.get()?;
            Some(OnceLock::from(kept.clone().select(0, index.clone())))
        };
        Self {
            features: row(&self.features).unwrap_or_default(),
            logits: row(&self.logits).unwrap_or_default(),
            stages: cell(&self.stages).unwrap_or_default(),
            dists: cell(&self.dists).unwrap_or_default(),
            lpips: cell(&self.lpips).unwrap_or_default(),
            perceptual: self.perceptual,
            ..Self::new(self.image.clone().select(0, index.clone()), self.classifier)
        }
    }

    /// This view and, behind it, that of `others`, of whom is found out what is known of the images here.
    ///
    /// # Errors
    /// When something cannot be found out; `wanted_by` is who asks.
    pub(crate) fn joined(self, others: &Self, wanted_by: &'static str) -> Result<Self, Error> {
        let rows = |a: &Tensor<2>, b: Tensor<2>| Tensor::cat(vec![a.clone(), b], 0);
        let layers = |a: &[Tensor<4>], b: Vec<Tensor<4>>| -> Vec<Tensor<4>> {
            let pairs = a.iter().zip(b);
            pairs
                .map(|(a, b)| Tensor::cat(vec![a.clone(), b], 0))
                .collect()
        };
        let images = Tensor::cat(vec![self.image, others.image.clone()], 0);
        let mut joined = Self::new(images, self.classifier);
        // The stages first: features and logits follow from them.
        if let Some(known) = self.stages.get() {
            joined.stages = layers(known, others.stages(wanted_by)?).into();
        }
        if let Some(known) = self.features.get() {
            joined.features = rows(known, others.features(wanted_by)?).into();
        }
        if let Some(known) = self.logits.get() {
            joined.logits = rows(known, others.logits(wanted_by)?).into();
        }
        if let Some(known) = self.dists.get() {
            joined.dists = layers(known, others.dists_layers(wanted_by)?).into();
        }
        if let Some(known) = self.lpips.get() {
            joined.lpips = layers(known, others.lpips_layers(wanted_by)?).into();
        }
        joined.perceptual = self.perceptual;
        joined.rows = (self.rows.into_inner() + others.cost().classifier_rows).into();
        Ok(joined)
    }

    /// The images, `[batch, channel, height, width]`, clamped to [-1, 1].
    pub fn image(&self) -> &Tensor<4> {
        &self.image
    }

    /// The images in [0, 1], `[batch, channel, height, width]`.
    pub fn unit_image(&self) -> Tensor<4> {
        (self.image.clone() + 1.0) / 2.0
    }

    /// The images in [0, 1] as colour images, `[batch, 3, height, width]`; grey ones have three equal channels.
    ///
    /// # Errors
    /// For images of neither 1 nor 3 channels; `wanted_by` is the similarity that asks.
    pub fn rgb(&self, wanted_by: &'static str) -> Result<Tensor<4>, Error> {
        match self.image.dims()[1] {
            1 => Ok(self.unit_image().repeat_dim(1, 3)),
            3 => Ok(self.unit_image()),
            channels => Err(Error::Similarity {
                name: wanted_by,
                reason: format!("images of {channels} channels; it needs 1 or 3"),
            }),
        }
    }

    /// Penultimate features of the classifier, `[batch, feature]`.
    ///
    /// # Errors
    /// When there is no classifier; `wanted_by` is the similarity that asks.
    pub fn features(&self, wanted_by: &'static str) -> Result<Tensor<2>, Error> {
        once(&self.features, || {
            let classifier = self.classifier(wanted_by)?;
            let last = self.stages.get().and_then(|stages| stages.last());
            Ok(match last {
                Some(last) => classifier.pool(last.clone()),
                None => {
                    self.count_rows();
                    classifier.features(self.image.clone())
                }
            })
        })
    }

    /// Logits of the classifier, `[batch, class]`.
    ///
    /// # Errors
    /// When there is no classifier; `wanted_by` is the similarity that asks.
    pub fn logits(&self, wanted_by: &'static str) -> Result<Tensor<2>, Error> {
        once(&self.logits, || {
            let classifier = self.classifier(wanted_by)?;
            Ok(classifier.head(self.features(wanted_by)?))
        })
    }

    /// Activations `[batch, channel, h, w]` after each stage of the classifier.
    ///
    /// # Errors
    /// When there is no classifier; `wanted_by` is the similarity that asks.
    pub fn stages(&self, wanted_by: &'static str) -> Result<Vec<Tensor<4>>, Error> {
        once(&self.stages, || {
            let classifier = self.classifier(wanted_by)?;
            self.count_rows();
            Ok(classifier.stage_activations(self.image.clone()))
        })
    }

    /// Rows that went through the classifier so far.
    pub fn cost(&self) -> Cost {
        Cost {
            classifier_rows: self.rows.load(Ordering::Relaxed),
            ..Cost::default()
        }
    }

    pub(super) fn perceptual(&self) -> Option<&'a Perceptual> {
        self.perceptual
    }

    /// The layers of DISTS.
    pub(super) fn dists_layers(&self, wanted_by: &'static str) -> Result<Vec<Tensor<4>>, Error> {
        once(&self.dists, || {
            Ok(dists::layers(self.vgg(wanted_by)?, self.rgb(wanted_by)?))
        })
    }

    /// The layers of LPIPS, each pixel's activations scaled to unit length.
    pub(crate) fn lpips_layers(&self, wanted_by: &'static str) -> Result<Vec<Tensor<4>>, Error> {
        once(&self.lpips, || {
            lpips::layers(self.vgg(wanted_by)?, self.rgb(wanted_by)?, wanted_by)
        })
    }

    /// What FSIM compares, an item an image.
    pub(super) fn fsim_features(
        &self,
        wanted_by: &'static str,
    ) -> Result<&[fsim::Features], Error> {
        if let Some(features) = self.fsim.get() {
            return Ok(features);
        }
        let features = fsim::features(self, wanted_by)?;
        Ok(self.fsim.get_or_init(|| features))
    }

    fn count_rows(&self) {
        let rows = self.image.dims()[0] as u64;
        self.rows.fetch_add(rows, Ordering::Relaxed);
    }

    fn vgg(&self, wanted_by: &'static str) -> Result<&'a Perceptual, Error> {
        self.perceptual.ok_or_else(|| Error::Similarity {
            name: wanted_by,
            reason: "it looks through VGG-16, and one of the two views was given none".into(),
        })
    }

    fn classifier(&self, wanted_by: &'static str) -> Result<&'a dyn Classifier, Error> {
        self.classifier.ok_or(Error::Similarity {
            name: wanted_by,
            reason: "it looks through the classifier under protection, and none was given".into(),
        })
    }
}

/// The kept value, or the one that `make` makes, which is kept from then on.
fn once<T: Clone>(kept: &OnceLock<T>, make: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
    if let Some(value) = kept.get() {
        return Ok(value.clone());
    }
    let value = make()?;
    Ok(kept.get_or_init(|| value).clone())
}
