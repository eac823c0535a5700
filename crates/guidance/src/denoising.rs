//! How well the label fits, asked of the diffusion network alone: the image is noised, and denoised under its label and under
//! others.
//!
//! With noise `n` and `x_t = sqrt(abar_t) x + sqrt(1 - abar_t) n`, the error under a label is `e(y) = |n - eps(x_t, t, y)|^2`:
//! summed over `t`, up to weights, a bound of `-log p(x | y)` (Ho et al. 2020, eq. 14). A diffusion classifier answers
//! `argmin e`, with the same noise under every label (Li et al. 2023, "Your Diffusion Model is Secretly a Zero-Shot
//! Classifier"; Clark and Jaini 2023). Here the classifier under protection has answered, and the errors say whether its
//! answer fits: a semantic mismatch without a synthesis. Not in the DiffGuard paper.
//!
//! The errors tell how hard the image is at each level of noise, too (the levels of Graham et al. 2023, "Denoising Diffusion
//! Models for Out-of-Distribution Detection", without their reconstructions). That tells little alone, and what the score is
//! to be measured by.

use std::ops::Range;

use burn::tensor::{Int, Tensor, TensorData};
use diffguard_models::NoisePredictor;
use rand::seq::SliceRandom;
use serde::{Deserialize, Serialize};

use crate::random::{forward_noise, stream};
use crate::{Cost, Error, Schedule, ddim::recompose};

/// How often images are noised, how much, and what they are denoised under.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DenoisingConfig {
    /// The lowest training step whose noise they are given.
    pub from: usize,
    /// The highest.
    pub to: usize,
    /// Rounds, each with noise of its own. Their training steps are spread evenly from `from` to `to`, after any number of
    /// rounds: a longer run begins as a shorter one.
    pub rounds: usize,
    /// Labels a round beside the predicted one: so many of the other classes, each image's in an order of its own, one
    /// after another from round to round. All of them where not given. Few a round and many rounds tell more than many a
    /// round and few rounds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub others: Option<usize>,
}

const GOLDEN_RATIO: f64 = 1.618_033_988_749_895;

/// Errors of a batch.
#[derive(Debug, Clone)]
pub struct Denoised {
    /// `[image, round, place]`, each a sum over the image's values; the predicted label has the first place.
    pub errors: Tensor<3>,
    /// Rows that went through the network.
    pub cost: Cost,
}

impl DenoisingConfig {
    /// Refuses what cannot be run.
    ///
    /// # Errors
    /// [`Error::Setting`] names the setting.
    pub fn check(&self, network: &dyn NoisePredictor, schedule: &Schedule) -> Result<(), Error> {
        let (steps, classes) = (schedule.steps(), network.num_classes());
        let others = self.others.unwrap_or(1);
        let (setting, value, reason) = if classes < 2 {
            let reason = "the diffusion network has to know at least two classes".into();
            ("classes", classes.to_string(), reason)
        } else if self.from > self.to || self.to >= steps {
            let reason = format!("training steps rise, from 0 to {} at most", steps - 1);
            ("from, to", format!("{}, {}", self.from, self.to), reason)
        } else if self.rounds == 0 {
            ("rounds", "0".into(), "there is at least one".into())
        } else if others == 0 || others >= classes {
            let reason = format!("of {classes} classes, 1 to {} are others", classes - 1);
            ("others", others.to_string(), reason)
        } else {
            return Ok(());
        };
        Err(Error::Setting {
            setting,
            value,
            reason,
        })
    }

    /// Rows that an image takes through the network.
    pub fn evaluations(&self, classes: usize) -> usize {
        self.rounds * (1 + self.others.unwrap_or(classes - 1))
    }

    /// The training step of a round: multiples of the golden ratio, but for their whole parts, fill an interval evenly.
    fn step(&self, round: usize) -> usize {
        let share = ((round as f64 + 0.5) / GOLDEN_RATIO).fract();
        self.from + (share * (self.to - self.from + 1) as f64) as usize
    }

    /// How hard images are at levels of noise: the log of the mean error in a group of rounds, under whatever labels. `levels`
    /// groups, no more than there are rounds and as alike in size as can be, from the least noise to the most; `[level][image]`.
    ///
    /// `errors`: `[image, round, place]` of all rounds, row-major ([`Denoised::errors`]).
    pub fn hardness(&self, errors: &[f32], places: usize, levels: usize) -> Vec<Vec<f64>> {
        let mut by_noise: Vec<usize> = (0..self.rounds).collect();
        by_noise.sort_by_key(|round| self.step(*round));
        let bound = |level: usize| level * self.rounds / levels;
        let level = |level: usize| {
            let rounds = &by_noise[bound(level)..bound(level + 1)];
            let hardness = |image: &[f32]| {
                let errors = rounds
                    .iter()
                    .flat_map(|round| &image[round * places..][..places]);
                let sum: f64 = errors.map(|error| f64::from(*error)).sum();
                let mean = sum / (rounds.len() * places) as f64;
                mean.max(f64::MIN_POSITIVE).ln()
            };
            errors.chunks(self.rounds * places).map(hardness).collect()
        };
        (0..levels).map(level).collect()
    }

    /// The errors of a batch in `rounds`, all of which are `0..self.rounds`; those of a longer run do not depend on where it
    /// is cut.
    ///
    /// - `image`: `[batch, channel, height, width]` in [-1, 1], or latent images;
    /// - `predicted`: the class of each that the classifier predicts;
    /// - `samples`: an identity of each that does not depend on its batch, from which its noise and the order of its other
    ///   labels are drawn.
    ///
    /// # Errors
    /// As [`check`](Self::check); [`Error::Setting`] when there are no such rounds, [`Error::Shape`] when the lists do not fit
    /// the batch, [`Error::Label`] when the network does not know a label.
    pub fn errors(
        &self,
        rounds: Range<usize>,
        network: &dyn NoisePredictor,
        schedule: &Schedule,
        image: &Tensor<4>,
        (predicted, samples): (&[usize], &[u64]),
        seed: u64,
    ) -> Result<Denoised, Error> {
        self.check(network, schedule)?;
        if rounds.is_empty() || rounds.end > self.rounds {
            return Err(Error::Setting {
                setting: "rounds",
                value: format!("{rounds:?}"),
                reason: format!("some of 0..{} are asked for, at least one", self.rounds),
            });
        }
        let [batch, channels, height, width] = image.dims();
        if batch == 0 || predicted.len() != batch || samples.len() != batch {
            return Err(Error::Shape {
                what: "predicted labels and samples of the images",
                expected: format!("{batch} each, at least one"),
                got: format!("{} and {}", predicted.len(), samples.len()),
            });
        }
        let classes = network.num_classes();
        if let Some(sample) = predicted.iter().position(|label| *label >= classes) {
            return Err(Error::Label {
                label: predicted[sample] as i64,
                sample,
                classes,
            });
        }
        let others: Vec<Vec<usize>> = predicted
            .iter()
            .zip(samples)
            .map(|(own, sample)| in_turn(*own, classes, *sample, seed))
            .collect();
        let places = 1 + self.others.unwrap_or(classes - 1);
        let device = image.device();
        let condition = |round: usize, place: usize| -> Tensor<1, Int> {
            let turn = round * (places - 1) + place;
            let labels: Vec<i64> = predicted
                .iter()
                .zip(&others)
                .map(|(own, others)| match place {
                    0 => *own as i64,
                    _ => others[(turn - 1) % others.len()] as i64,
                })
                .collect();
            Tensor::from_data(TensorData::new(labels, [batch]), &device)
        };
        let mut made = Vec::with_capacity(rounds.len());
        for round in rounds.clone() {
            let step = self.step(round);
            // By round: two at one step have noise of their own.
            let shape = [channels, height, width];
            let noise = forward_noise(seed, samples, round as u64, shape, &device);
            let abar = schedule.alphas_cumprod()[step];
            let x_t = recompose(image.clone(), noise.clone(), abar, 0.0);
            let t = TensorData::new(vec![step as f32; batch], [batch]);
            let t = Tensor::<1>::from_data(t, &device);
            let errors = (0..places)
                .map(|place| {
                    let label = condition(round, place);
                    let eps = network.eps(x_t.clone(), t.clone(), Some(label));
                    let squares: Tensor<2> = (eps - noise.clone()).square().flatten(1, 3);
                    squares.sum_dim(1)
                })
                .collect();
            made.push(Tensor::cat(errors, 1));
        }
        Ok(Denoised {
            errors: Tensor::stack(made, 1),
            cost: Cost {
                unet_rows: (batch * rounds.len() * places) as u64,
                ..Cost::default()
            },
        })
    }
}

/// The classes that are not `own`, in the order of this sample.
fn in_turn(own: usize, classes: usize, sample: u64, seed: u64) -> Vec<usize> {
    let mut others: Vec<usize> = (0..classes).filter(|class| *class != own).collect();
    others.shuffle(&mut stream(seed, b"denoised", sample, 0));
    others
}

/// The [scores](denoising_score) of all images after so many of the rounds.
///
/// `errors`: `[image, round, place]`, row-major ([`Denoised::errors`]).
pub fn denoising_scores(errors: &[f32], [rounds, places]: [usize; 2], after: usize) -> Vec<f64> {
    let images = errors.chunks(rounds * places);
    images
        .map(|all| denoising_score(&all[..after * places], places))
        .collect()
}

/// The score of one image; higher means that the label fits better: how much larger the errors under other labels are in the
/// mean than those under the predicted one, in units of the root of the mean error, which grows with how hard the image is.
///
/// `errors`: `[round, place]`, row-major ([`Denoised::errors`]).
pub fn denoising_score(errors: &[f32], places: usize) -> f64 {
    let (mut own, mut others) = (0.0, 0.0);
    for round in errors.chunks(places) {
        own += f64::from(round[0]);
        others += round[1..]
            .iter()
            .map(|error| f64::from(*error))
            .sum::<f64>();
    }
    let mean = (own + others) / places as f64;
    let others = others / (places - 1) as f64;
    (others - own) / mean.max(f64::MIN_POSITIVE).sqrt()
}
