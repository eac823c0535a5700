//! The synthesis: from a latent back to an image, under a guidance (P eq. 3).

use std::cmp::Reverse;

use burn::tensor::{Tensor, TensorData};
use diffguard_models::NoisePredictor;
use serde::{Deserialize, Serialize};

use crate::{
    Cost, Error, Spent,
    ddim::{implied_image, implied_noise, recompose},
    first_step::FirstStep,
    guidance::{Guidance, GuidanceStep},
    inversion::{InversionConfig, Inverted, Step, capacity, in_batch_order},
    random,
    rows::Rows,
    solver::{History, Solver, ends_short},
    trajectory::{Move, Trajectory},
};

/// How images are synthesised.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SynthesisConfig {
    /// Clamp the implied image to [-1, 1] and derive the noise from it again, before classifier guidance (false; the
    /// authors do for pixel models, not for latent ones).
    pub clip_denoised: bool,
    /// Share of fresh noise in each step, 0 (deterministic DDIM) to 1 (as DDPM).
    pub eta: f64,
    /// With a stop at index `r` the synthesis starts at `r + lead - 1` (see [`Trajectory::start_after`]); where it
    /// is not given, at the level where the inversion ended. The authors use 3 with early stop.
    pub lead: Option<usize>,
    /// Seed of the fresh noise (only with `eta` above 0).
    pub seed: u64,
    /// The integrator (`"ddim"`).
    #[serde(skip_serializing_if = "Solver::is_default")]
    pub solver: Solver,
    /// Samples that are synthesised together at most (all); those with the longest way go first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rows: Option<usize>,
}

impl SynthesisConfig {
    /// Refuses what does not go with how the images were brought to noise.
    ///
    /// # Errors
    /// For a `lead` after `draws`: noised images have the level that they were noised to, and no other.
    pub fn check_start(&self, inversion: &InversionConfig) -> Result<(), Error> {
        match (self.lead, inversion.draws) {
            (Some(lead), Some(_)) => Err(Error::Setting {
                setting: "lead",
                value: lead.to_string(),
                reason:
                    "after `draws` the synthesis starts at the level of the noise; leave it out"
                        .into(),
            }),
            _ => Ok(()),
        }
    }

    /// The unconditional reconstruction that goes with it: from the same start, without fresh noise.
    #[must_use]
    pub fn reconstruction(&self) -> Self {
        Self {
            eta: 0.0,
            seed: 0,
            ..self.clone()
        }
    }
}

/// Where the samples of a batch start.
#[derive(Debug, Clone)]
pub struct Start {
    /// `[batch, channel, height, width]`.
    pub latent: Tensor<4>,
    /// Index of the first move of each sample.
    pub indices: Vec<usize>,
    /// An identity of each sample that does not depend on its batch, for the random streams; needed with `eta` above
    /// 0 only.
    pub samples: Option<Vec<u64>>,
    /// Number of the start among those of the same samples: each has fresh noise of its own.
    pub draw: u64,
    /// What the networks have answered at this start; for the same networks, trajectory and images alone.
    pub first: Option<FirstStep>,
}

impl Start {
    /// Each sample starts where its inversion stopped, with the given lead (see [`Trajectory::start_after`]).
    pub fn after(inverted: &Inverted, trajectory: &Trajectory, lead: Option<usize>) -> Self {
        let start = |stop: &usize| trajectory.start_after(*stop, lead);
        Self {
            latent: inverted.latent.clone(),
            indices: inverted.stops.iter().map(start).collect(),
            samples: None,
            draw: 0,
            first: None,
        }
    }

    /// The same, where several settings are tried on it: what they all ask the networks at their first step is computed once.
    #[must_use]
    pub fn shared(self) -> Self {
        Self {
            first: Some(FirstStep::default()),
            ..self
        }
    }

    /// All samples start at the same index, deterministically.
    pub fn at(latent: Tensor<4>, index: usize) -> Self {
        let [batch, ..] = latent.dims();
        Self {
            latent,
            indices: vec![index; batch],
            samples: None,
            draw: 0,
            first: None,
        }
    }
}

/// Synthesised images.
#[derive(Debug, Clone)]
pub struct Synthesised {
    /// `[batch, channel, height, width]`; may leave [-1, 1], clamp before comparing.
    pub image: Tensor<4>,
    /// Rows that went through the networks.
    pub cost: Cost,
    /// What another synthesis from this start had computed already.
    pub shared: Spent,
}

/// DDIM synthesis, P eq. 3: `x_prev = sqrt(abar_prev) x0hat + sqrt(1 - abar_prev - sigma^2) eps'` plus fresh noise of
/// deviation `sigma` (0 by default), with the `eps'` that `guidance` makes of the network's prediction; or with another
/// [`Solver`].
///
/// Samples that start at a lower index join when the others have come down to it. The lengths of all ways are known
/// before the first step, so that this needs neither more rows nor more calls than a step of its own for each sample
/// would, and all rows of a call share one noise level. Where not all go together, those of like length do.
///
/// # Errors
/// When a start does not exist, the lists do not fit the batch, `eta` is outside [0, 1] or above 0 with a
/// deterministic solver, or the guidance refuses.
pub fn synthesise(
    network: &dyn NoisePredictor,
    trajectory: &Trajectory,
    config: &SynthesisConfig,
    guidance: &dyn Guidance,
    start: Start,
    observe: &mut dyn FnMut(&Step<'_>),
) -> Result<Synthesised, Error> {
    check(&start, config, trajectory)?;
    let batch = start.indices.len();
    let capacity = capacity(config.rows, batch)?;
    let mut order: Vec<usize> = (0..batch).collect();
    order.sort_by_key(|position| Reverse(start.indices[*position]));
    if order.is_empty() {
        return Ok(Synthesised {
            image: start.latent,
            cost: Cost::default(),
            shared: Spent::default(),
        });
    }
    let run = Run {
        network,
        trajectory,
        config,
        guidance,
        start,
    };
    let (mut cost, mut shared) = (Cost::default(), Spent::default());
    let mut images = Vec::new();
    for together in order.chunks(capacity) {
        let made = run.synthesise(together, observe)?;
        images.push(made.image);
        cost += made.cost;
        shared += made.shared;
    }
    Ok(Synthesised {
        image: in_batch_order(Tensor::cat(images, 0), &order),
        cost,
        shared,
    })
}

/// A synthesis of one batch.
struct Run<'a> {
    network: &'a dyn NoisePredictor,
    trajectory: &'a Trajectory,
    config: &'a SynthesisConfig,
    guidance: &'a dyn Guidance,
    start: Start,
}

impl Run<'_> {
    /// The images of the samples at the positions `order`, which starts with the longest way.
    fn synthesise(
        &self,
        order: &[usize],
        observe: &mut dyn FnMut(&Step<'_>),
    ) -> Result<Synthesised, Error> {
        let (config, starts) = (self.config, &self.start.indices);
        let device = self.start.latent.device();
        let batch = starts.len();
        let (mut cost, mut shared) = (Cost::default(), Spent::default());
        let mut history = History::new(config.solver);
        let highest = order.first().map_or(0, |position| starts[*position]);
        let waiting = Rows::new(order.to_vec(), batch, &device).select(&self.start.latent);
        let mut rows = Rows::new(Vec::new(), batch, &device);
        let mut x = waiting.clone();

        for index in (0..=highest).rev() {
            let present = order.partition_point(|position| starts[*position] >= index);
            if present > rows.len() {
                let joining = waiting.clone().narrow(0, rows.len(), present - rows.len());
                x = if rows.is_empty() {
                    joining
                } else {
                    Tensor::cat(vec![x, joining], 0)
                };
                rows = Rows::new(order[..present].to_vec(), batch, &device);
            }

            let step = self.trajectory.synthesis()[index];
            let all_begin = order[..present].iter().all(|it| starts[*it] == index);
            let first = self.start.first.as_ref().filter(|_| all_begin);
            let asked = GuidanceStep::new(index, (step.t, step.from), &x, &rows).first(first);
            let prediction = self.guidance.predict(self.network, &asked)?;
            cost += prediction.cost;
            shared += asked.shared();
            let mut eps = prediction.eps;
            let mut x0hat = implied_image(x.clone(), eps.clone(), step.from);
            if config.clip_denoised {
                x0hat = x0hat.clamp(-1.0, 1.0);
                eps = implied_noise(x.clone(), x0hat.clone(), step.from);
            }
            if let Some(shift) = prediction.shift {
                eps = eps - shift;
                x0hat = implied_image(x.clone(), eps.clone(), step.from);
            }
            let sigma = sigma(config.eta, step);
            let descent = self.trajectory.synthesis();
            let short = |row: usize| ends_short(descent, index, starts[order[row]]);
            let made = vec![step; rows.len()];
            let (clean, noise) = history.extrapolate(&x, &x0hat, &eps, &made, short);
            x = recompose(clean, noise, step.to, sigma);
            if let Some(samples) = self.start.samples.as_deref().filter(|_| sigma > 0.0) {
                x = x.clone()
                    + fresh_noise(&x, config.seed, samples, &rows, self.start.draw, index) * sigma;
            }
            observe(&Step {
                indices: &vec![index; rows.len()],
                rows: &rows,
                x: &x,
                x0hat: &x0hat,
                eps: &eps,
            });
        }
        Ok(Synthesised {
            image: x,
            cost,
            shared,
        })
    }
}

/// Deviation of the fresh noise (Song et al. 2021, eq. 16).
fn sigma(eta: f64, step: Move) -> f64 {
    eta * ((1.0 - step.to) / (1.0 - step.from) * (1.0 - step.from / step.to))
        .max(0.0)
        .sqrt()
}

fn fresh_noise(
    x: &Tensor<4>,
    seed: u64,
    samples: &[u64],
    rows: &Rows,
    draw: u64,
    index: usize,
) -> Tensor<4> {
    let shape = x.dims();
    let each = shape[1..].iter().product();
    let mut values = Vec::with_capacity(shape[0] * each);
    let step = draw << 32 | index as u64;
    for position in rows.positions() {
        let mut stream = random::stream(seed, b"ddim-eta", samples[*position], step);
        random::append_normal(&mut stream, each, &mut values);
    }
    Tensor::from_data(TensorData::new(values, shape), &x.device())
}

fn check(start: &Start, config: &SynthesisConfig, trajectory: &Trajectory) -> Result<(), Error> {
    let [batch, ..] = start.latent.dims();
    let samples = start.samples.as_ref().map_or(batch, Vec::len);
    if start.indices.len() != batch || samples != batch {
        return Err(Error::Shape {
            what: "start of a synthesis",
            expected: format!("an index and an identity for each of {batch} samples"),
            got: format!("{} indices and {samples} identities", start.indices.len()),
        });
    }
    if let Some(index) = start
        .indices
        .iter()
        .find(|index| **index >= trajectory.len())
    {
        return Err(Error::Setting {
            setting: "start index",
            value: index.to_string(),
            reason: format!(
                "the spacing has the indices 0 to {}",
                trajectory.len().saturating_sub(1)
            ),
        });
    }
    let eta_error = |reason: &str| {
        Err(Error::Setting {
            setting: "eta",
            value: config.eta.to_string(),
            reason: reason.into(),
        })
    };
    if !(0.0..=1.0).contains(&config.eta) {
        return eta_error("it has to lie between 0 (deterministic) and 1");
    }
    if config.eta > 0.0 && config.solver != Solver::Ddim {
        return eta_error("fresh noise goes with the solver \"ddim\" only");
    }
    if config.eta > 0.0 && start.samples.is_none() {
        return eta_error(
            "fresh noise is drawn by sample: give the samples' identities, or set it to 0",
        );
    }
    Ok(())
}
