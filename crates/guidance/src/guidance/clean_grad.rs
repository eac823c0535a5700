//! Classifier guidance (P eq. 4; Dhariwal & Nichol 2021) with Clean Grad (P tech 1).

mod config;
mod log_probability;

use burn::tensor::Tensor;
use diffguard_models::{Classifier, NoisePredictor};

use self::log_probability::{gradient_of, log_probability};
use super::{Guidance, GuidanceContext, GuidanceStep, Prediction};
use crate::{
    Cost, Error,
    augment::{Donors, Drawing, Shown, Views},
    cutouts::{Crop, draw_crops},
    ddim::implied_image,
    first_step::Question,
};

pub use config::{CleanGradConfig, CropWeight, GradientPath};
pub use log_probability::log_probability_gradient;

/// Smallest side of a crop as a share of the image's (28 of 32, 224 of 256: the authors' values).
const SMALLEST_CROP: f64 = 0.875;
/// Keeps a vanishing gradient from dividing by zero.
const NORM_EPSILON: f64 = 1e-12;

/// Where the views of a step come from, by the step's index.
type Draw = Box<dyn Fn(usize) -> Vec<Shown> + Send + Sync>;

/// Classifier guidance of one batch.
pub struct CleanGrad<'a> {
    config: CleanGradConfig,
    classifier: &'a dyn Classifier,
    labels: Vec<i64>,
    views: Option<Draw>,
    /// The views are not those of the configuration.
    own_crops: bool,
    crop_side: usize,
    donors: Option<&'a Donors>,
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
        let crop_side = config.crop_side.unwrap_or(smallest);
        let donors = match config.mix {
            None => None,
            Some(share) => Some(context.donors_for_mix(share)?),
        };
        let drawing = Drawing {
            seed: config.seed,
            size: match config.cutout {
                true => [crop_side; 2],
                false => [height, width],
            },
            flip: config.flip,
            translate: config.translate,
            mix: config.mix,
            donors: donors.map_or(0, Donors::count),
        };
        let (cutout, count, power) = (config.cutout, config.crops, config.crop_power);
        let views: Draw = Box::new(move |index| {
            let crops = match cutout {
                true => draw_crops(drawing.seed, index, count, side, smallest, power),
                false => Vec::new(),
            };
            (0..count)
                .map(|number| drawing.view(index, number, crops.get(number).copied()))
                .collect()
        });
        Ok(Self {
            config: config.clone(),
            classifier,
            labels: context.labels_below(classifier.num_classes())?,
            views: config.augments().then_some(views),
            own_crops: false,
            crop_side,
            donors,
        })
    }

    /// Takes the crops of each step, by its index, from elsewhere, and does nothing else to them.
    #[must_use]
    pub fn with_crops(
        mut self,
        crops: impl Fn(usize) -> Vec<Crop> + Send + Sync + 'static,
    ) -> Self {
        self.views = Some(Box::new(move |index| {
            let shown = |crop| Shown {
                crop: Some(crop),
                ..Shown::default()
            };
            crops(index).into_iter().map(shown).collect()
        }));
        self.own_crops = true;
        self
    }

    /// What the classifier is shown at a step.
    fn views(&self, index: usize) -> Views<'_> {
        match &self.views {
            None => Views::whole(),
            Some(draw) => Views::new(draw(index), self.crop_side, self.donors),
        }
    }

    /// The network's eps of `step`, and the gradient of `log p`, both shaped as `step.x`; and what they cost.
    fn gradient(
        &self,
        network: &dyn NoisePredictor,
        step: &GuidanceStep<'_>,
        labels: &[i64],
        views: &Views<'_>,
    ) -> (Tensor<4>, Tensor<4>, Cost) {
        let temperature = self.config.temperature;
        let seen = (step.rows.len() * views.count()) as u64;
        let cost = Cost {
            classifier_rows: seen,
            classifier_gradient_rows: seen,
            ..Cost::default()
        };
        match self.config.gradient {
            GradientPath::Image => {
                let (eps, spent) = step.noise(network, None);
                let compute = || {
                    let z = self.seen(step.x.clone(), eps.clone(), step.abar);
                    let gradient =
                        log_probability_gradient(self.classifier, z, labels, views, temperature);
                    (vec![gradient], cost)
                };
                let (mut gradient, cost) = match self.question(labels) {
                    Some(question) => step.once(question, compute),
                    None => compute(),
                };
                (eps, gradient.remove(0), cost + spent)
            }
            GradientPath::ThroughUnet => {
                let x = step.x.clone().autodiff().require_grad();
                let t = Tensor::full([step.rows.len()], step.t, &step.x.device());
                let eps = network.eps(x.clone(), t, None);
                let z = self.seen(x.clone(), eps.clone(), step.abar);
                let gradients =
                    log_probability(self.classifier, z, labels, views, temperature).backward();
                let rows = step.rows.len() as u64;
                let cost = Cost {
                    unet_rows: rows,
                    unet_gradient_rows: rows,
                    ..cost
                };
                (eps.without_autodiff(), gradient_of(&x, &gradients), cost)
            }
        }
    }

    /// All that the gradient depends on, besides the image; none where the views come from elsewhere.
    fn question(&self, labels: &[i64]) -> Option<Question> {
        if self.own_crops {
            return None;
        }
        let unweighted = CleanGradConfig {
            scale: 1.0,
            crop_weight: CropWeight::default(),
            normalise: false,
            ..self.config.clone()
        };
        Some(Question::Gradient(labels.to_vec(), Box::new(unweighted)))
    }

    /// What the classifier sees: `f x0hat + (1 - f) x_t` with `f = sqrt(1 - abar)`, or `x_t` as it is.
    pub(crate) fn seen(&self, x: Tensor<4>, eps: Tensor<4>, abar: f64) -> Tensor<4> {
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
        if self.config.scale == 0.0 || labels.iter().all(|label| *label < 0) {
            let (eps, cost) = step.noise(network, None);
            return Ok(Prediction {
                eps,
                shift: None,
                cost,
            });
        }
        let views = self.views(step.index);
        let (eps, mut gradient, cost) = self.gradient(network, step, &labels, &views);
        if self.config.crop_weight == CropWeight::Mean {
            gradient = gradient / views.count() as f64;
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

/// Each sample of `[batch, channel, height, width]` divided by its root mean square.
fn unit_mean_square(gradient: Tensor<4>) -> Tensor<4> {
    let rms = gradient.clone().square().mean_dims(&[1, 2, 3]).sqrt();
    gradient / (rms + NORM_EPSILON)
}
