//! The image condition: deterministic DDIM inversion from the input upward to noise (P eq. 6).

use burn::tensor::Tensor;
use diffguard_models::NoisePredictor;
use serde::{Deserialize, Serialize};

use crate::{
    Cost, Error,
    ddim::{implied_image, implied_noise, recompose},
    early_stop::{EarlyStopConfig, StopRule},
    rows::{Rows, int_tensor},
    spacing::SpacingConfig,
    trajectory::Trajectory,
};

/// How images are inverted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct InversionConfig {
    /// The steps that are visited (`"ddim25"`).
    pub spacing: SpacingConfig,
    /// Share of the spacing's steps that are made, the lower ones, in (0, 1] (1: all of them). 0.6 of 25 steps makes
    /// 15.
    pub fraction: f64,
    /// Number of the highest steps that are never made (0; the authors' early stop keeps 10 of 100 in reserve).
    pub reserve: usize,
    /// Clamp the implied image to [-1, 1] and derive the noise from it again, except in the first step (false; the
    /// authors do for pixel models, not for latent ones).
    pub clip_denoised: bool,
    /// Stop each sample where it no longer resembles the input (none).
    pub early_stop: Option<EarlyStopConfig>,
}

impl Default for InversionConfig {
    fn default() -> Self {
        Self {
            spacing: SpacingConfig::default(),
            fraction: 1.0,
            reserve: 0,
            clip_denoised: false,
            early_stop: None,
        }
    }
}

impl InversionConfig {
    /// Number of moves that are made at most.
    ///
    /// # Errors
    /// When `fraction` is not in (0, 1], or together with `reserve` leaves nothing to be done.
    pub fn moves(&self, trajectory: &Trajectory) -> Result<usize, Error> {
        if !(self.fraction > 0.0 && self.fraction <= 1.0) {
            return Err(Error::Setting {
                setting: "fraction",
                value: self.fraction.to_string(),
                reason: "the share of the steps that are made has to lie above 0 and not above 1"
                    .into(),
            });
        }
        let steps = trajectory.len();
        let share = (self.fraction * steps as f64).round() as usize;
        match share.min(steps.saturating_sub(self.reserve)) {
            0 => Err(Error::Setting {
                setting: "fraction, reserve",
                value: format!("{}, {}", self.fraction, self.reserve),
                reason: format!("of {steps} steps none is left to be made"),
            }),
            moves => Ok(moves),
        }
    }
}

/// What an observer sees after each step of an inversion or a synthesis.
#[derive(Debug)]
pub struct Step<'a> {
    /// Index of the move that was made.
    pub index: usize,
    /// The samples that took part, by their positions in the batch; the rows of the tensors below.
    pub rows: &'a Rows,
    /// The image after the move, `[row, channel, height, width]`.
    pub x: &'a Tensor<4>,
    /// The clean image that was implied before the move, after guidance, shaped as `x`.
    pub x0hat: &'a Tensor<4>,
    /// The noise that the move was made with, shaped as `x`.
    pub eps: &'a Tensor<4>,
}

/// Inverted images.
#[derive(Debug, Clone)]
pub struct Inverted {
    /// `[batch, channel, height, width]`, each sample as it was when it stopped.
    pub latent: Tensor<4>,
    /// Index of the last move of each sample; [`Trajectory::start_after`] tells where its synthesis starts.
    pub stops: Vec<usize>,
    /// Rows that went through the network.
    pub cost: Cost,
}

/// DDIM inversion, P eq. 6: `x_next = sqrt(abar_next) x0hat + sqrt(1 - abar_next) eps`, unconditional.
///
/// - `image`: `[batch, channel, height, width]`, in [-1, 1] (or a latent, for a latent model);
/// - `observe`: called after each step.
///
/// Samples that have stopped early leave the batch.
///
/// # Errors
/// On settings that leave nothing to be done.
pub fn invert(
    network: &dyn NoisePredictor,
    trajectory: &Trajectory,
    config: &InversionConfig,
    image: Tensor<4>,
    observe: &mut dyn FnMut(&Step<'_>),
) -> Result<Inverted, Error> {
    let [batch, ..] = image.dims();
    let device = image.device();
    let moves = config.moves(trajectory)?;
    let mut cost = Cost::default();
    let mut rows = Rows::all(batch);
    let mut stops = vec![moves - 1; batch];
    let mut stopped = Stopped::default();
    let mut x = image.clone();

    for (index, step) in trajectory.inversion()[..moves].iter().enumerate() {
        let t = Tensor::full([rows.len()], step.t, &device);
        let mut eps = network.eps(x.clone(), t, None);
        cost.unet_rows += rows.len() as u64;
        let mut x0hat = implied_image(x.clone(), eps.clone(), step.from);
        if config.clip_denoised && index > 0 {
            x0hat = x0hat.clamp(-1.0, 1.0);
            eps = implied_noise(x, x0hat.clone(), step.from);
        }
        x = recompose(x0hat.clone(), eps.clone(), step.to, 0.0);
        observe(&Step {
            index,
            rows: &rows,
            x: &x,
            x0hat: &x0hat,
            eps: &eps,
        });

        let Some(rule) = &config.early_stop else {
            continue;
        };
        let stop = rule.stops(rows.select(&image), x.clone())?;
        if !stop.contains(&true) {
            continue;
        }
        let (gone, kept): (Vec<usize>, Vec<usize>) = (0..rows.len()).partition(|row| stop[*row]);
        for row in &gone {
            stops[rows.positions()[*row]] = index;
        }
        stopped.push(&rows, &x, &gone);
        let positions: Vec<usize> = kept.iter().map(|row| rows.positions()[*row]).collect();
        rows = Rows::new(positions, batch, &device);
        if rows.is_empty() {
            return Ok(Inverted {
                latent: stopped.into_batch(),
                stops,
                cost,
            });
        }
        x = x.select(0, int_tensor(&kept, &device));
    }

    let last: Vec<usize> = (0..rows.len()).collect();
    stopped.push(&rows, &x, &last);
    Ok(Inverted {
        latent: stopped.into_batch(),
        stops,
        cost,
    })
}

/// The samples that have stopped, in the order in which they did.
#[derive(Default)]
struct Stopped {
    positions: Vec<usize>,
    latents: Vec<Tensor<4>>,
}

impl Stopped {
    fn push(&mut self, rows: &Rows, x: &Tensor<4>, which: &[usize]) {
        self.positions
            .extend(which.iter().map(|row| rows.positions()[*row]));
        self.latents.push(if which.len() == rows.len() {
            x.clone()
        } else {
            x.clone().select(0, int_tensor(which, &x.device()))
        });
    }

    /// All of them, in the order of the batch.
    fn into_batch(self) -> Tensor<4> {
        in_batch_order(Tensor::cat(self.latents, 0), &self.positions)
    }
}

/// Rows that belong at `positions` (a permutation), put where they belong.
pub(crate) fn in_batch_order(rows: Tensor<4>, positions: &[usize]) -> Tensor<4> {
    if positions.is_sorted() {
        return rows;
    }
    let mut row_of = vec![0; positions.len()];
    for (row, position) in positions.iter().enumerate() {
        row_of[*position] = row;
    }
    let device = rows.device();
    rows.select(0, int_tensor(&row_of, &device))
}
