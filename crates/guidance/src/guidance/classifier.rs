//! Classifier guidance (P eq. 4; Dhariwal & Nichol 2021) with Clean Grad (P tech 1).

use burn::tensor::{Gradients, Int, Tensor, TensorData, activation::log_softmax};
use diffguard_models::{Classifier, NoisePredictor};
use serde::{Deserialize, Serialize};

use super::{Guidance, GuidanceContext, GuidanceStep, Prediction};
use crate::{
    Cost, Error,
    cutouts::{Crop, cut, draw_crops},
    ddim::implied_image,
};

/// Smallest side of a crop as a share of the image's (28 of 32, 224 of 256: the authors' values).
const SMALLEST_CROP: f64 = 0.875;
/// Keeps a vanishing gradient from dividing by zero.
const NORM_EPSILON: f64 = 1e-12;

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
    /// Number of crops an image (8).
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
    /// Seed of the crops (0).
    pub seed: u64,
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
            seed: 0,
        }
    }
}

impl CleanGradConfig {
    fn check(&self) -> Result<(), Error> {
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
        if self.cutout && self.crops == 0 {
            return refuse(
                "crops",
                "0".into(),
                "set cutout = false to do without crops",
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

/// Where the crops of a step come from, by the step's index.
type Crops = Box<dyn Fn(usize) -> Vec<Crop> + Send + Sync>;

/// Classifier guidance of one batch.
pub struct CleanGrad<'a> {
    config: CleanGradConfig,
    classifier: &'a dyn Classifier,
    labels: Vec<i64>,
    crops: Option<Crops>,
    crop_side: usize,
}

impl<'a> CleanGrad<'a> {
    /// Prepares the guidance of a batch. The classifier has to be in evaluation mode (burn's `Module::valid`): a batch
    /// norm in training mode would take its statistics from the batch as soon as a gradient is asked for.
    ///
    /// # Errors
    /// When a setting is out of range, there is no classifier, or a label is neither -1 nor one of its classes.
    pub fn new(config: &CleanGradConfig, context: &GuidanceContext<'a>) -> Result<Self, Error> {
        config.check()?;
        let classifier = context.classifier("classifier guidance")?;
        let [_, _, height, width] = context.image().dims();
        let side = height.min(width);
        let smallest = config
            .crop_min
            .unwrap_or(
                classifier
                    .input_side()
                    .min((SMALLEST_CROP * side as f64) as usize),
            )
            .max(1);
        if config.cutout && (height != width || smallest > side) {
            return Err(Error::Setting {
                setting: "crop_min",
                value: smallest.to_string(),
                reason: format!(
                    "square crops of at least that side do not fit images of {height}x{width} pixels"
                ),
            });
        }
        let (seed, count, power) = (config.seed, config.crops, config.crop_power);
        let crops: Crops =
            Box::new(move |index| draw_crops(seed, index, count, side, smallest, power));
        Ok(Self {
            config: config.clone(),
            classifier,
            labels: context.labels_below(classifier.num_classes())?,
            crops: config.cutout.then_some(crops),
            crop_side: config.crop_side.unwrap_or(smallest),
        })
    }

    /// Takes the crops of each step, by its index, from elsewhere.
    #[must_use]
    pub fn with_crops(
        mut self,
        crops: impl Fn(usize) -> Vec<Crop> + Send + Sync + 'static,
    ) -> Self {
        self.crops = Some(Box::new(crops));
        self
    }

    /// The network's eps of `step`, and the gradient of `log p`, both shaped as `step.x`.
    fn gradient(
        &self,
        network: &dyn NoisePredictor,
        step: &GuidanceStep<'_>,
        labels: &[i64],
        crops: Option<(&[Crop], usize)>,
    ) -> (Tensor<4>, Tensor<4>) {
        let temperature = self.config.temperature;
        match self.config.gradient {
            GradientPath::Image => {
                let eps = network.eps(step.x.clone(), step.t(), None);
                let z = self.seen(step.x.clone(), eps.clone(), step.abar);
                let gradient =
                    log_probability_gradient(self.classifier, z, labels, crops, temperature);
                (eps, gradient)
            }
            GradientPath::ThroughUnet => {
                let x = step.x.clone().autodiff().require_grad();
                let eps = network.eps(x.clone(), step.t(), None);
                let z = self.seen(x.clone(), eps.clone(), step.abar);
                let gradients =
                    log_probability(self.classifier, z, labels, crops, temperature).backward();
                (eps.without_autodiff(), gradient_of(&x, &gradients))
            }
        }
    }

    /// What the classifier sees: `f x0hat + (1 - f) x_t` with `f = sqrt(1 - abar)`, or `x_t` as it is.
    fn seen(&self, x: Tensor<4>, eps: Tensor<4>, abar: f64) -> Tensor<4> {
        if !self.config.x0hat {
            return x;
        }
        let f = (1.0 - abar).sqrt();
        implied_image(x.clone(), eps, abar) * f + x * (1.0 - f)
    }
}

impl Guidance for CleanGrad<'_> {
    /// P eq. 4: `eps' = eps - s sqrt(1 - abar_t) grad log p(y | z)`. (The paper prints a plus sign; its derivation and
    /// its code have a minus.)
    fn predict(
        &self,
        network: &dyn NoisePredictor,
        step: &GuidanceStep<'_>,
    ) -> Result<Prediction, Error> {
        let rows = step.rows.len() as u64;
        let labels: Option<Vec<i64>> = step
            .rows
            .positions()
            .iter()
            .map(|position| self.labels.get(*position).copied())
            .collect();
        let labels = labels.ok_or_else(|| Error::Shape {
            what: "labels of a batch",
            expected: "a label for every row".into(),
            got: format!("{} labels", self.labels.len()),
        })?;
        let mut cost = Cost {
            unet_rows: rows,
            ..Cost::default()
        };
        if self.config.scale == 0.0 || labels.iter().all(|label| *label < 0) {
            let eps = network.eps(step.x.clone(), step.t(), None);
            return Ok(Prediction {
                eps,
                shift: None,
                cost,
            });
        }
        let crops = self.crops.as_ref().map(|crops| crops(step.index));
        let crops = crops.as_deref().map(|crops| (crops, self.crop_side));
        let views = crops.map_or(1, |(crops, _)| crops.len());
        let (eps, mut gradient) = self.gradient(network, step, &labels, crops);
        cost.classifier_rows = rows * views as u64;
        cost.classifier_gradient_rows = rows * views as u64;
        if self.config.gradient == GradientPath::ThroughUnet {
            cost.unet_gradient_rows = rows;
        }
        if self.config.crop_weight == CropWeight::Mean {
            gradient = gradient / views as f64;
        }
        if self.config.normalise {
            gradient = unit_mean_square(gradient);
        }
        Ok(Prediction {
            eps,
            shift: Some(gradient * (self.config.scale * (1.0 - step.abar).sqrt())),
            cost,
        })
    }
}

/// Gradient of the summed `log p(label | crops of z)` with respect to `z`, shaped as `z`
/// (`[batch, channel, height, width]` in [-1, 1] units).
///
/// - `labels`: a class of each sample, or -1: its gradient is zero;
/// - `crops`: the crops, and the side in pixels to which each is resized; the whole of `z` where not given.
pub fn log_probability_gradient(
    classifier: &dyn Classifier,
    z: Tensor<4>,
    labels: &[i64],
    crops: Option<(&[Crop], usize)>,
    temperature: f64,
) -> Tensor<4> {
    let z = z.without_autodiff().autodiff().require_grad();
    let gradients = log_probability(classifier, z.clone(), labels, crops, temperature).backward();
    gradient_of(&z, &gradients)
}

/// The gradient of a leaf; zero where the loss does not depend on it.
fn gradient_of(leaf: &Tensor<4>, gradients: &Gradients) -> Tensor<4> {
    leaf.grad(gradients)
        .unwrap_or_else(|| leaf.clone().without_autodiff().zeros_like())
}

/// `log p(label)`, summed over the samples that have a label and over their crops: `[1]`.
fn log_probability(
    classifier: &dyn Classifier,
    z: Tensor<4>,
    labels: &[i64],
    crops: Option<(&[Crop], usize)>,
    temperature: f64,
) -> Tensor<1> {
    let (seen, views) = match crops {
        None => (z, 1),
        Some((crops, side)) => (cut(z, crops, side), crops.len()),
    };
    let device = seen.device();
    let rows = views * labels.len();
    let every = || labels.iter().cycle().take(rows);
    let classes: Vec<i64> = every().map(|label| (*label).max(0)).collect();
    let classes = Tensor::<2, Int>::from_data(TensorData::new(classes, [rows, 1]), &device);
    let log_p = log_softmax(classifier.logits(seen) / temperature, 1).gather(1, classes);
    if labels.iter().all(|label| *label >= 0) {
        return log_p.sum();
    }
    let counts: Vec<f32> = every()
        .map(|label| if *label < 0 { 0.0 } else { 1.0 })
        .collect();
    (log_p * Tensor::from_data(TensorData::new(counts, [rows, 1]), &device)).sum()
}

/// Each sample of `[batch, channel, height, width]` divided by its root mean square.
fn unit_mean_square(gradient: Tensor<4>) -> Tensor<4> {
    let rms = gradient.clone().square().mean_dims(&[1, 2, 3]).sqrt();
    gradient / (rms + NORM_EPSILON)
}
