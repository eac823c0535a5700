//! Settings of classifier guidance.

use serde::{Deserialize, Serialize};

use crate::Error;

/// With respect to what the gradient is taken.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GradientPath {
    /// With respect to the image that the classifier sees: nothing flows through the U-Net, which is not even
    /// recorded (the authors' code).
    #[default]
    Image,
    /// With respect to `x_t`, through the U-Net (P eq. 7 and 8 to the letter).
    ThroughUnet,
}

/// How the crops of an image are put together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CropWeight {
    /// Their log probabilities are summed: eight crops guide several times as strongly as none (the authors' code).
    #[default]
    Sum,
    /// They are averaged: the scale means the same with and without crops.
    Mean,
}

/// Settings of classifier guidance; the defaults are those of the paper's GDM experiments.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CleanGradConfig {
    /// `s`, the weight of the gradient (3).
    pub scale: f64,
    /// Let the classifier see `f x0hat + (1 - f) x_t`, `f = sqrt(1 - abar_t)`, in place of `x_t` (true).
    pub x0hat: bool,
    /// Let the classifier see random crops (true).
    pub cutout: bool,
    /// Number of views an image: crops, or the whole image where `cutout` is off and another augmentation is on (8).
    pub crops: usize,
    /// The crops' smallest side in pixels (the smaller one of the classifier's input side and 7/8 of the image's).
    pub crop_min: Option<usize>,
    /// Side in pixels to which the crops are resized (`crop_min`, as the authors').
    pub crop_side: Option<usize>,
    /// Exponent that bends the distribution of the crops' sides towards small ones (1: uniform).
    pub crop_power: f64,
    /// How the crops of an image are put together (`"sum"`).
    pub crop_weight: CropWeight,
    /// With respect to what the gradient is taken (`"image"`).
    pub gradient: GradientPath,
    /// Temperature by which the logits are divided inside the log probability (1).
    pub temperature: f64,
    /// Scale the gradient of each sample to a root mean square of 1 (an L2 norm of the root of its number of values),
    /// so that `scale` counts in units of the noise (false).
    pub normalise: bool,
    /// Mirror each view left to right with probability 1/2 (false).
    #[serde(skip_serializing_if = "is_false")]
    pub flip: bool,
    /// Shift each view by a random distance of at most this share of its side, in both directions, repeating its border
    /// (none).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub translate: Option<f64>,
    /// Replace this share of each view's area by the same place of an in-distribution image, and follow that image's
    /// label by the same share, as CutMix does (none).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mix: Option<f64>,
    /// Seed of the crops and of all that is random in the views (0).
    pub seed: u64,
}

fn is_false(value: &bool) -> bool {
    !value
}

impl Default for CleanGradConfig {
    fn default() -> Self {
        Self {
            scale: 3.0,
            x0hat: true,
            cutout: true,
            crops: 8,
            crop_min: None,
            crop_side: None,
            crop_power: 1.0,
            crop_weight: CropWeight::default(),
            gradient: GradientPath::default(),
            temperature: 1.0,
            normalise: false,
            flip: false,
            translate: None,
            mix: None,
            seed: 0,
        }
    }
}

impl CleanGradConfig {
    /// Whether the classifier sees anything but the image as it is.
    pub(super) fn augments(&self) -> bool {
        self.cutout || self.flip || self.translate.is_some() || self.mix.is_some()
    }

    /// Refuses what cannot be.
    ///
    /// # Errors
    /// When a setting is out of range.
    pub fn check(&self) -> Result<(), Error> {
        let refuse = |setting, value: String, reason: &str| {
            Err(Error::Setting {
                setting,
                value,
                reason: reason.into(),
            })
        };
        if !self.scale.is_finite() {
            return refuse(
                "scale",
                self.scale.to_string(),
                "it has to be a finite number",
            );
        }
        if !(self.temperature > 0.0 && self.temperature.is_finite()) {
            return refuse(
                "temperature",
                self.temperature.to_string(),
                "it has to be above 0",
            );
        }
        if !(self.crop_power > 0.0 && self.crop_power.is_finite()) {
            return refuse(
                "crop_power",
                self.crop_power.to_string(),
                "it has to be above 0",
            );
        }
        if self.augments() && self.crops == 0 {
            return refuse(
                "crops",
                "0".into(),
                "set cutout = false to do without crops",
            );
        }
        if let Some(share) = self
            .translate
            .filter(|share| !(*share > 0.0 && *share < 1.0))
        {
            return refuse(
                "translate",
                share.to_string(),
                "a share of the side has to lie between 0 and 1; leave it out for none",
            );
        }
        if let Some(share) = self.mix.filter(|share| !(*share > 0.0 && *share < 1.0)) {
            return refuse(
                "mix",
                share.to_string(),
                "a share of the area has to lie between 0 and 1; leave it out for none",
            );
        }
        if self.crop_side == Some(0) || self.crop_min == Some(0) {
            return refuse(
                "crop_min, crop_side",
                "0".into(),
                "a crop has at least one pixel",
            );
        }
        if self.gradient == GradientPath::ThroughUnet && !self.x0hat {
            return refuse(
                "gradient",
                "\"through_unet\"".into(),
                "without x0hat the classifier's input does not depend on the U-Net; set x0hat = true",
            );
        }
        Ok(())
    }
}
