//! What a guidance may need to know of a batch, computed once for all the settings that are tried on it.

use std::sync::OnceLock;

use burn::tensor::Tensor;
use diffguard_models::{Classifier, NoisePredictor};

use crate::{
    Cost, Error,
    augment::Donors,
    centre_crop::{around, centre},
    grad_cam::grad_cam,
};

/// A batch about to be synthesised: its input images, their labels, and the networks.
pub struct GuidanceContext<'a> {
    network: &'a dyn NoisePredictor,
    classifier: Option<&'a dyn Classifier>,
    image: Tensor<4>,
    labels: Vec<i64>,
    donors: Option<&'a Donors>,
    activation_map: OnceLock<Tensor<4>>,
}

impl<'a> GuidanceContext<'a> {
    /// - `image`: `[batch, channel, height, width]`, the INPUT images in [-1, 1] (distinct semantic guidance looks
    ///   for the label in them);
    /// - `labels`: a class of each sample, or -1 for none.
    ///
    /// # Errors
    /// When the number of labels is not the batch size.
    pub fn new(
        network: &'a dyn NoisePredictor,
        classifier: Option<&'a dyn Classifier>,
        image: Tensor<4>,
        labels: Vec<i64>,
    ) -> Result<Self, Error> {
        let [batch, ..] = image.dims();
        if labels.len() != batch {
            return Err(Error::Shape {
                what: "labels of a batch",
                expected: format!("{batch} labels"),
                got: format!("{} labels", labels.len()),
            });
        }
        Ok(Self {
            network,
            classifier,
            image,
            labels,
            donors: None,
            activation_map: OnceLock::new(),
        })
    }

    /// The same, with in-distribution images that a guidance may mix into what the classifier sees.
    #[must_use]
    pub fn with_donors(self, donors: &'a Donors) -> Self {
        Self {
            donors: Some(donors),
            ..self
        }
    }

    /// The in-distribution images, for a guidance that mixes a share of their area in.
    ///
    /// # Errors
    /// When there are none, or they are of another size than the input images or of classes that the classifier does
    /// not know.
    pub(super) fn donors_for_mix(&self, share: f64) -> Result<&'a Donors, Error> {
        let fault = |reason: String| Error::Setting {
            setting: "mix",
            value: share.to_string(),
            reason,
        };
        let donors = self.donors.ok_or_else(|| {
            fault("it needs in-distribution images to mix with, and none were given".into())
        })?;
        let [_, _, height, width] = self.image.dims();
        if donors.size() != [height, width] {
            let [high, wide] = donors.size();
            return Err(fault(format!(
                "the images to mix with have {high}x{wide} pixels, the inputs {height}x{width}"
            )));
        }
        let classes = self.classifier("mix")?.num_classes();
        match donors.labels().iter().position(|label| *label >= classes) {
            None => Ok(donors),
            Some(sample) => Err(Error::Label {
                label: donors.labels()[sample] as i64,
                sample,
                classes,
            }),
        }
    }

    /// The noise predictor.
    pub fn network(&self) -> &'a dyn NoisePredictor {
        self.network
    }

    /// The classifier under protection.
    ///
    /// # Errors
    /// When there is none; `wanted_by` names who asks.
    pub fn classifier(&self, wanted_by: &'static str) -> Result<&'a dyn Classifier, Error> {
        self.classifier.ok_or(Error::Setting {
            setting: wanted_by,
            value: "on".into(),
            reason: "it needs the classifier under protection, and none was given".into(),
        })
    }

    /// The input images, `[batch, channel, height, width]` in [-1, 1].
    pub fn image(&self) -> &Tensor<4> {
        &self.image
    }

    /// The labels, one a sample; -1 for none.
    pub fn labels(&self) -> &[i64] {
        &self.labels
    }

    /// The labels, checked against the number of classes of the network that is to be given them.
    ///
    /// # Errors
    /// When a label is neither -1 nor a class.
    pub(super) fn labels_below(&self, classes: usize) -> Result<Vec<i64>, Error> {
        match self
            .labels
            .iter()
            .position(|label| *label < -1 || *label >= classes as i64)
        {
            None => Ok(self.labels.clone()),
            Some(sample) => Err(Error::Label {
                label: self.labels[sample],
                sample,
                classes,
            }),
        }
    }

    /// Grad-CAM of each image for its label, `[batch, 1, height, width]`, not normalised; computed once. A sample
    /// without a label gets that of class 0, which nothing looks at.
    ///
    /// # Errors
    /// When there is no classifier, or a label that it does not know.
    pub fn activation_map(&self) -> Result<&Tensor<4>, Error> {
        if self.activation_map.get().is_none() {
            let classifier = self.classifier("dsg_cut")?;
            let labels = self.labels_below(classifier.num_classes())?;
            let labels: Vec<usize> = labels
                .iter()
                .map(|label| usize::try_from(*label).unwrap_or(0))
                .collect();
            // Where another thread was faster, its map is the same one.
            let [_, _, height, width] = self.image.dims();
            // Where the classifier sees the centre alone, it says nothing of what lies around.
            let seen = centre(self.image.clone(), classifier.seen([height, width]));
            let map = around(grad_cam(classifier, seen, &labels)?, [height, width]);
            let _ = self.activation_map.set(map);
        }
        self.activation_map.get().ok_or(Error::Setting {
            setting: "dsg_cut",
            value: "on".into(),
            reason: "the activation map could not be computed".into(),
        })
    }

    /// Rows that went through the classifier for the activation map: none where nobody has asked for it.
    pub fn cost(&self) -> Cost {
        let rows = if self.activation_map.get().is_some() {
            self.labels.len() as u64
        } else {
            0
        };
        Cost {
            classifier_rows: rows,
            ..Cost::default()
        }
    }
}
