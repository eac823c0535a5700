//! The whole method as one object: images in, scores out.
//!
//! For every image `x` with the classifier's label `y`:
//!
//! 1. `x_{i+1} = sqrt(abar_{i+1}) x0hat(x_i) + sqrt(1 - abar_{i+1}) eps(x_i, t_i)` upward from `x_0 = x`, until the image
//!    no longer resembles its input or the last move is made ([`mod@crate::inversion`], P eq. 6); or `x` with noise, in
//!    several draws over which the score is the mean ([`crate::noising`]);
//! 2. `x_{i-1} = sqrt(abar_{i-1}) x0hat'(x_i) + sqrt(1 - abar_{i-1}) eps'(x_i, t_i, y)` downward again, where `eps'` is
//!    `eps(x, null) + w (eps(x, y) - eps(x, null))` (P eq. 5) or `eps - s sqrt(1 - abar) grad log p(y | z)` (P eq. 4)
//!    ([`crate::synthesis`], [`crate::guidance`]);
//! 3. the score is the similarity of the two ([`crate::similarity`]): where they differ, the label did not fit.

use std::collections::BTreeMap;

use burn::tensor::Tensor;
use diffguard_models::{Classifier, FirstStage, NoisePredictor};
use serde::{Deserialize, Serialize};

use crate::{
    Cost, Denoised, DenoisingConfig, Error, Guidance, GuidanceConfig, GuidanceContext,
    InversionConfig, Known, LabelSource, Look, ScheduleConfig, SimilarityName, Start,
    SynthesisConfig, Synthesised, Trajectory, View,
    augment::Donors,
    guidance::{ClassifierFreeConfig, Unconditional},
    invert_with,
    labels::{largest_probability, likeliest},
    latent, noised,
    similarity::Perceptual,
    synthesise,
};

/// What a synthesis is compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reference {
    /// The input (P fig. 1).
    Input,
    /// The unconditional reconstruction from the same latent (the authors' GDM experiments).
    Reconstruction,
    /// The input, against what is lost of it without a label: the similarity of input and synthesis less that of input and
    /// unconditional reconstruction. What no synthesis keeps of an image cancels, what the label changes stays. Not in the
    /// paper.
    Contrast,
}

impl Reference {
    /// Whether it takes the unconditional reconstruction.
    pub fn needs_reconstruction(self) -> bool {
        matches!(self, Self::Reconstruction | Self::Contrast)
    }
}

/// Everything that decides a score, but for the networks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// The noise schedule that the diffusion network was trained with.
    pub schedule: ScheduleConfig,
    /// How images are inverted.
    pub inversion: InversionConfig,
    /// How the synthesis is guided (classifier-free, `w = 3`).
    pub guidance: GuidanceConfig,
    /// How the synthesis is made.
    pub synthesis: SynthesisConfig,
    /// Which label it follows; the oracles are for benchmarks, which know the truth.
    pub label: LabelSource,
    /// What the synthesis is compared with (the input).
    pub reference: Vec<Reference>,
    /// How (`logits-l1`).
    pub similarity: Vec<SimilarityName>,
    /// Seed of random labels, and of the noise that images are given.
    pub seed: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            schedule: ScheduleConfig::default(),
            inversion: InversionConfig::default(),
            guidance: GuidanceConfig::ClassifierFree(ClassifierFreeConfig::default()),
            synthesis: SynthesisConfig::default(),
            label: LabelSource::default(),
            reference: vec![Reference::Input],
            similarity: vec![SimilarityName::LOGITS_L1],
            seed: 0,
        }
    }
}

/// A classifier's guard.
pub struct DiffGuard {
    unet: Box<dyn NoisePredictor>,
    classifier: Box<dyn Classifier>,
    first_stage: Option<Box<dyn FirstStage>>,
    donors: Option<Donors>,
    perceptual: Option<Perceptual>,
    settings: Settings,
    trajectory: Trajectory,
}

/// What a guard says of a batch.
#[derive(Debug, Clone)]
pub struct Report {
    /// Of each image, in order.
    pub images: Vec<ImageReport>,
    /// The syntheses, `[batch, channel, height, width]` in [-1, 1]; of noised images, those of the first draw.
    pub synthesis: Tensor<4>,
    /// The unconditional reconstructions, likewise, where one of the references.
    pub reconstruction: Option<Tensor<4>>,
    /// Rows that went through the networks.
    pub cost: Cost,
}

/// What a guard says of an image.
#[derive(Debug, Clone, PartialEq)]
pub struct ImageReport {
    /// The class that the classifier predicts.
    pub predicted: usize,
    /// Its softmax probability.
    pub confidence: f64,
    /// What the classifier says of each class.
    pub logits: Vec<f32>,
    /// The class that the synthesis followed.
    pub label: usize,
    /// Index of the last move of its inversion, or of the one that noise took the place of.
    pub stop: usize,
    /// Its scores; higher means more in-distribution.
    pub scores: BTreeMap<(Reference, SimilarityName), f64>,
}

impl DiffGuard {
    /// A guard of `classifier` that synthesises with `unet`; both in evaluation mode, outside autodiff, on one device.
    ///
    /// # Errors
    /// When a setting is out of range, or means nothing for these networks.
    pub fn new(
        unet: Box<dyn NoisePredictor>,
        classifier: Box<dyn Classifier>,
        settings: Settings,
    ) -> Result<Self, Error> {
        let trajectory = Trajectory::new(&settings.schedule.init()?, &settings.inversion.spacing)?;
        settings.inversion.moves(&trajectory)?;
        settings.synthesis.check_start(&settings.inversion)?;
        settings.guidance.check(unet.as_ref())?;
        let refuse = |setting, value: String, reason: &str| {
            Err(Error::Setting {
                setting,
                value,
                reason: reason.into(),
            })
        };
        if settings.label.needs_truth() {
            let value = format!("{:?}", settings.label);
            return refuse(
                "label",
                value,
                "the truth is not known here; use \"predicted\"",
            );
        }
        if settings.reference.is_empty() || settings.similarity.is_empty() {
            let value = "[]".into();
            return refuse(
                "reference, similarity",
                value,
                "there is nothing to compare",
            );
        }
        let (known, labelled) = (unet.num_classes(), classifier.num_classes());
        if settings.guidance.follows_labels_of_the_network() && known != labelled {
            let reason = format!(
                "the diffusion network knows {known}; its labels have to be the classifier's"
            );
            return refuse("classes", labelled.to_string(), &reason);
        }
        Ok(Self {
            unet,
            classifier,
            first_stage: None,
            donors: None,
            perceptual: None,
            settings,
            trajectory,
        })
    }

    /// The same, for a diffusion network that works in the latent space of `first_stage`.
    ///
    /// # Errors
    /// Those of [`latent::check`].
    pub fn with_first_stage(self, first_stage: Box<dyn FirstStage>) -> Result<Self, Error> {
        let settings = &self.settings;
        latent::check(&settings.guidance, &settings.inversion, &settings.synthesis)?;
        Ok(Self {
            first_stage: Some(first_stage),
            ..self
        })
    }

    /// The same, with in-distribution images for a guidance that mixes them into what the classifier sees.
    #[must_use]
    pub fn with_donors(self, donors: Donors) -> Self {
        Self {
            donors: Some(donors),
            ..self
        }
    }

    /// The same, with the network that DISTS and LPIPS look through.
    #[must_use]
    pub fn with_perceptual(self, perceptual: Perceptual) -> Self {
        Self {
            perceptual: Some(perceptual),
            ..self
        }
    }

    /// The settings.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Scores images `[batch, channel, height, width]` in [-1, 1]. An image's score does not depend on the others, but
    /// for its position where labels or noise are drawn at random: see [`score_named`](Self::score_named).
    ///
    /// # Errors
    /// When a similarity cannot be computed on these images.
    pub fn score(&self, images: &Tensor<4>) -> Result<Report, Error> {
        let [batch, ..] = images.dims();
        self.score_named(images, &(0..batch as u64).collect::<Vec<_>>())
    }

    /// As [`score`](Self::score), with an identity of each image from which its random label and noise are drawn.
    ///
    /// # Errors
    /// As there; and when the identities do not fit the batch, or there are no images.
    pub fn score_named(&self, images: &Tensor<4>, samples: &[u64]) -> Result<Report, Error> {
        let [batch, ..] = images.dims();
        if batch == 0 || samples.len() != batch {
            return Err(Error::Shape {
                what: "images to be scored",
                expected: "at least one image, and an identity of each".into(),
                got: format!("{batch} images and {} identities", samples.len()),
            });
        }
        let classifier = self.classifier.as_ref();
        let features = classifier.features(images.clone());
        let logits = classifier.head(features.clone());
        let mut cost = Cost {
            classifier_rows: batch as u64,
            ..Cost::default()
        };
        let values: Vec<f32> = logits.to_data().iter::<f32>().collect();
        let classes = classifier.num_classes();
        let known = Known {
            logits: &values,
            classes,
            truth: &[],
            samples,
        };
        let labels = self.settings.label.choose(&known, self.settings.seed)?;

        let mut context = GuidanceContext::new(
            self.unet.as_ref(),
            Some(classifier),
            images.clone(),
            labels.clone(),
        )?;
        if let Some(donors) = &self.donors {
            context = context.with_donors(donors);
        }
        let guidance = self.settings.guidance.prepare(&context)?;
        let input = self
            .view(images.clone())
            .with_observations(features.clone(), logits.clone());
        let mut images_report: Vec<ImageReport> = (0..batch)
            .map(|i| {
                let logits = &values[i * classes..(i + 1) * classes];
                ImageReport {
                    predicted: likeliest(logits),
                    confidence: largest_probability(logits),
                    logits: logits.to_vec(),
                    label: labels[i] as usize,
                    stop: 0,
                    scores: BTreeMap::new(),
                }
            })
            .collect();

        let mut references = self.settings.reference.iter();
        let reconstructs = references.any(|reference| reference.needs_reconstruction());
        let starts = self.settings.inversion.starts();
        let mut shown = None;
        let (encoded, spent) = self.encoded(images);
        cost += spent;
        for draw in 0..starts {
            let (start, stops) = self.start(images, &encoded, (draw, samples), &mut cost)?;
            for (image, stop) in images_report.iter_mut().zip(stops) {
                image.stop = stop;
            }
            let config = &self.settings.synthesis;
            let synthesis = self.synthesise(guidance.as_ref(), config, &start, &mut cost)?;
            let plain = config.reconstruction();
            let reconstruction = match reconstructs {
                false => None,
                true => Some(self.synthesise(&Unconditional, &plain, &start, &mut cost)?),
            };
            let made = self.view(synthesis.clone());
            let without = reconstruction.clone().map(|image| self.view(image));
            for reference in &self.settings.reference {
                for name in &self.settings.similarity {
                    let similarity = name.similarity();
                    let scores = match (reference, &without) {
                        (Reference::Reconstruction, Some(without)) => {
                            similarity.score(without, &made)?
                        }
                        (Reference::Contrast, Some(without)) => {
                            similarity.score(&input, &made)? - similarity.score(&input, without)?
                        }
                        _ => similarity.score(&input, &made)?,
                    };
                    let scores = scores.into_data();
                    for (image, score) in images_report.iter_mut().zip(scores.iter::<f64>()) {
                        *image.scores.entry((*reference, *name)).or_default() +=
                            score / starts as f64;
                    }
                }
            }
            cost += made.cost();
            if let Some(without) = &without {
                cost += without.cost();
            }
            shown.get_or_insert((synthesis, reconstruction));
        }
        cost += context.cost() + input.cost();
        let Some((synthesis, reconstruction)) = shown else {
            return Err(InversionConfig::undrawn());
        };
        Ok(Report {
            images: images_report,
            synthesis: synthesis.clamp(-1.0, 1.0),
            reconstruction: reconstruction.map(|image| image.clamp(-1.0, 1.0)),
            cost,
        })
    }

    /// The errors of images in all rounds of denoising under labels ([`crate::denoising`]), without a synthesis.
    ///
    /// - `predicted`: the class of each that the classifier predicts ([`ImageReport::predicted`]);
    /// - `samples`: an identity of each, from which its noise is drawn.
    ///
    /// # Errors
    /// As [`DenoisingConfig::errors`].
    pub fn denoise(
        &self,
        config: &DenoisingConfig,
        images: &Tensor<4>,
        of: (&[usize], &[u64]),
    ) -> Result<Denoised, Error> {
        let (image, encoding) = self.encoded(images);
        let schedule = self.settings.schedule.init()?;
        let (all, seed) = (0..config.rounds, self.settings.seed);
        let mut made = config.errors(all, self.unet.as_ref(), &schedule, &image, of, seed)?;
        made.cost += encoding;
        Ok(made)
    }

    /// What the diffusion network works on.
    fn encoded(&self, images: &Tensor<4>) -> (Tensor<4>, Cost) {
        match self.first_stage.as_deref() {
            Some(first_stage) => latent::encode(first_stage, images.clone()),
            None => (images.clone(), Cost::default()),
        }
    }

    /// Where the syntheses of a draw start (of the only one, where images are inverted), and the inversions' stops.
    fn start(
        &self,
        images: &Tensor<4>,
        encoded: &Tensor<4>,
        (draw, samples): (usize, &[u64]),
        cost: &mut Cost,
    ) -> Result<(Start, Vec<usize>), Error> {
        let config = &self.settings.inversion;
        let inverted = match config.draws {
            Some(_) => {
                let of = (draw, self.settings.seed);
                noised(&self.trajectory, config, encoded.clone(), samples, of)?
            }
            None => {
                let mut look = Look::new(|x| self.view(x));
                if let Some(first_stage) = self.first_stage.as_deref() {
                    look = look.decoding(first_stage, images.clone());
                }
                invert_with(
                    self.unet.as_ref(),
                    &self.trajectory,
                    config,
                    encoded.clone(),
                    &look,
                    &mut |_| (),
                )?
            }
        };
        *cost += inverted.cost;
        let lead = self.settings.synthesis.lead;
        let mut start = Start::after(&inverted, &self.trajectory, lead).shared();
        start.samples = Some(samples.to_vec());
        start.draw = draw as u64;
        Ok((start, inverted.stops))
    }

    fn synthesise(
        &self,
        guidance: &dyn Guidance,
        config: &SynthesisConfig,
        start: &Start,
        cost: &mut Cost,
    ) -> Result<Tensor<4>, Error> {
        let Synthesised {
            image, cost: spent, ..
        } = synthesise(
            self.unet.as_ref(),
            &self.trajectory,
            config,
            guidance,
            start.clone(),
            &mut |_| (),
        )?;
        *cost += spent;
        Ok(match self.first_stage.as_deref() {
            Some(first_stage) => {
                let (image, spent) = latent::decode(first_stage, image);
                *cost += spent;
                image
            }
            None => image,
        })
    }

    fn view(&self, image: Tensor<4>) -> View<'_> {
        let view = View::new(image, Some(self.classifier.as_ref()));
        match &self.perceptual {
            Some(perceptual) => view.with_perceptual(perceptual),
            None => view,
        }
    }
}
