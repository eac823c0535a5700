//! The image condition: deterministic inversion from the input upward to noise (P eq. 6).

use burn::tensor::{Bool, Tensor, TensorData};
use diffguard_models::NoisePredictor;
use serde::{Deserialize, Serialize};

use crate::{
    Cost, Error,
    ddim::{Level, implied_image, implied_noise, recompose},
    early_stop::{EarlyStopConfig, Look, Watch},
    guidance::{Guidance, GuidanceStep},
    rows::{Rows, int_tensor},
    similarity::View,
    solver::{History, Solver},
    spacing::SpacingConfig,
    trajectory::{Move, Trajectory},
};

/// How images are inverted, or noised in place of that.
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
    /// The integrator (`"ddim"`).
    #[serde(skip_serializing_if = "Solver::is_default")]
    pub solver: Solver,
    /// Times that an image is noised in place of being inverted, to the level where the inversion would end; a score is the
    /// mean over them (none: it is inverted). See [`noised`](crate::noising::noised).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub draws: Option<usize>,
    /// Samples that go through the network at once at most (all). With early stop, those that have stopped make room
    /// for the rest: samples at different steps then share a network call.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rows: Option<usize>,
}

impl Default for InversionConfig {
    fn default() -> Self {
        Self {
            spacing: SpacingConfig::default(),
            fraction: 1.0,
            reserve: 0,
            clip_denoised: false,
            early_stop: None,
            solver: Solver::default(),
            draws: None,
            rows: None,
        }
    }
}

impl InversionConfig {
    /// Number of moves that are made at most.
    ///
    /// # Errors
    /// When `fraction` is not in (0, 1], or together with `reserve` leaves nothing to be done; when `draws` is 0, or stands
    /// beside a setting of the moves that it takes the place of.
    pub fn moves(&self, trajectory: &Trajectory) -> Result<usize, Error> {
        self.check_draws()?;
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

    /// Starts of syntheses that an image has: 1, or as many as it is noised.
    pub fn starts(&self) -> usize {
        self.draws.unwrap_or(1)
    }

    /// No draw at all.
    pub(crate) fn undrawn() -> Error {
        Error::Setting {
            setting: "draws",
            value: "0".into(),
            reason: "an image is noised at least once".into(),
        }
    }

    fn check_draws(&self) -> Result<(), Error> {
        let Some(draws) = self.draws else {
            return Ok(());
        };
        let own = [
            ("clip_denoised", self.clip_denoised),
            ("early_stop", self.early_stop.is_some()),
            ("solver", !self.solver.is_default()),
            ("rows", self.rows.is_some()),
        ];
        if draws == 0 {
            return Err(Self::undrawn());
        }
        match own.iter().find(|(_, given)| *given) {
            None => Ok(()),
            Some((setting, _)) => Err(Error::Setting {
                setting: "draws",
                value: draws.to_string(),
                reason: format!(
                    "`{setting}` is a setting of inversions, and noised images are not inverted"
                ),
            }),
        }
    }
}

/// What an observer sees after each step of an inversion or a synthesis.
#[derive(Debug)]
pub struct Step<'a> {
    /// Index of the move that was made, of each row.
    pub indices: &'a [usize],
    /// The samples that took part, by their positions in the batch; the rows of the tensors below.
    pub rows: &'a Rows,
    /// The image after the move, `[row, channel, height, width]`.
    pub x: &'a Tensor<4>,
    /// The clean image that was implied before the move, after guidance, shaped as `x`.
    pub x0hat: &'a Tensor<4>,
    /// The noise that the move was made with, shaped as `x`.
    pub eps: &'a Tensor<4>,
}

/// Inverted images, or noised ones.
#[derive(Debug, Clone)]
pub struct Inverted {
    /// `[batch, channel, height, width]`, each sample as it was when it stopped.
    pub latent: Tensor<4>,
    /// Index of the last move of each sample; [`Trajectory::start_after`] tells where its synthesis starts.
    pub stops: Vec<usize>,
    /// Rows that went through the network.
    pub cost: Cost,
}

/// DDIM inversion, P eq. 6: `x_next = sqrt(abar_next) x0hat + sqrt(1 - abar_next) eps`, unconditional; or with another
/// [`Solver`].
///
/// - `image`: `[batch, channel, height, width]`, in [-1, 1] (or a latent, for a latent model: see [`Look::decoding`]);
/// - `observe`: called after each step.
///
/// Samples that have stopped early leave the batch.
///
/// # Errors
/// On settings that leave nothing to be done, and for an early stop that looks through a network: see [`invert_with`].
pub fn invert(
    network: &dyn NoisePredictor,
    trajectory: &Trajectory,
    config: &InversionConfig,
    image: Tensor<4>,
    observe: &mut dyn FnMut(&Step<'_>),
) -> Result<Inverted, Error> {
    let look = Look::new(|image| View::new(image, None));
    invert_with(network, trajectory, config, image, &look, observe)
}

/// As [`invert`], where an early stop sees the images through `look`.
///
/// # Errors
/// On settings that leave nothing to be done, for a network that cannot predict without a label or takes no such
/// images, and when a metric of the early stop cannot be computed.
pub fn invert_with(
    network: &dyn NoisePredictor,
    trajectory: &Trajectory,
    config: &InversionConfig,
    image: Tensor<4>,
    look: &Look<'_, '_>,
    observe: &mut dyn FnMut(&Step<'_>),
) -> Result<Inverted, Error> {
    network.check_unlabelled()?;
    let [_, channels, height, width] = image.dims();
    network.check_input([channels, height, width])?;
    let predict = |x: &Tensor<4>, made: &[Move], _: &[usize], rows: &Rows| {
        let cost = Cost {
            unet_rows: rows.len() as u64,
            ..Cost::default()
        };
        Ok((network.eps(x.clone(), network_steps(made, x), None), cost))
    };
    run(&predict, trajectory, config, image, look, observe)
}

/// As [`invert_with`], under a guidance, as a synthesis would be. The paper and the authors invert unconditionally.
///
/// # Errors
/// As there, and when the guidance refuses.
pub fn invert_guided(
    network: &dyn NoisePredictor,
    trajectory: &Trajectory,
    config: &InversionConfig,
    guidance: &dyn Guidance,
    image: Tensor<4>,
    look: &Look<'_, '_>,
    observe: &mut dyn FnMut(&Step<'_>),
) -> Result<Inverted, Error> {
    let [batch, ..] = image.dims();
    let device = image.device();
    let predict = |x: &Tensor<4>, made: &[Move], indices: &[usize], rows: &Rows| {
        let mut cost = Cost::default();
        let mut eps = Vec::new();
        let mut first = 0;
        // A guidance sees one noise level at a time; rows that entered together are beside each other.
        for together in indices.chunk_by(|a, b| a == b) {
            let here = first..first + together.len();
            let positions = rows.positions()[here.clone()].to_vec();
            let x = x.clone().narrow(0, first, together.len());
            let rows = Rows::new(positions, batch, &device);
            let step = GuidanceStep::new(together[0], (made[first].t, made[first].from), &x, &rows);
            let prediction = guidance.predict(network, &step)?;
            cost += prediction.cost;
            eps.push(match prediction.shift {
                None => prediction.eps,
                Some(shift) => prediction.eps - shift,
            });
            first = here.end;
        }
        Ok((Tensor::cat(eps, 0), cost))
    };
    run(&predict, trajectory, config, image, look, observe)
}

/// The noise in `x`, given the rows' moves, their indices and the rows; and its cost.
type Predict<'a> =
    dyn Fn(&Tensor<4>, &[Move], &[usize], &Rows) -> Result<(Tensor<4>, Cost), Error> + 'a;

fn run(
    predict: &Predict<'_>,
    trajectory: &Trajectory,
    config: &InversionConfig,
    image: Tensor<4>,
    look: &Look<'_, '_>,
    observe: &mut dyn FnMut(&Step<'_>),
) -> Result<Inverted, Error> {
    let [batch, ..] = image.dims();
    let device = image.device();
    let mut moves = trajectory.inversion_of(config.solver);
    moves.truncate(config.moves(trajectory)?);
    if let Some(draws) = config.draws {
        return Err(Error::Setting {
            setting: "draws",
            value: draws.to_string(),
            reason: "an image that is noised is not inverted; leave it out".into(),
        });
    }
    let capacity = capacity(config.rows, batch)?;
    let mut watch = match &config.early_stop {
        Some(rule) => Some(Watch::new(rule, look)?),
        None => None,
    };
    let mut history = History::new(config.solver);
    let mut cost = Cost::default();
    let mut stops = vec![0; batch];
    let mut stopped = Stopped::default();
    let mut entered = 0;
    let mut rows = Rows::new(Vec::new(), batch, &device);
    let mut indices: Vec<usize> = Vec::new();
    let mut x = image.clone();

    while stopped.positions.len() < batch {
        let joining = (capacity - rows.len()).min(batch - entered);
        if joining > 0 {
            let fresh = image.clone().narrow(0, entered, joining);
            x = match rows.is_empty() {
                true => fresh,
                false => Tensor::cat(vec![x, fresh], 0),
            };
            let mut positions = rows.positions().to_vec();
            positions.extend(entered..entered + joining);
            rows = Rows::new(positions, batch, &device);
            indices.resize(rows.len(), 0);
            entered += joining;
        }

        let made: Vec<Move> = indices.iter().map(|index| moves[*index]).collect();
        let from = Level::of(made.iter().map(|step| step.from).collect());
        let to = Level::of(made.iter().map(|step| step.to).collect());
        let (mut eps, spent) = predict(&x, &made, &indices, &rows)?;
        cost += spent;
        let mut x0hat = implied_image(x.clone(), eps.clone(), &from);
        if config.clip_denoised {
            (x0hat, eps) = clip_above_the_first(&x, x0hat, eps, &from, &indices);
        }
        let (clean, noise) = history.extrapolate(&x, &x0hat, &eps, &made, |_| false);
        x = recompose(clean, noise, &to, 0.0);
        observe(&Step {
            indices: &indices,
            rows: &rows,
            x: &x,
            x0hat: &x0hat,
            eps: &eps,
        });

        let last: Vec<bool> = indices.iter().map(|i| i + 1 == moves.len()).collect();
        let mut leaves = last.clone();
        let going: Vec<usize> = (0..rows.len()).filter(|row| !last[*row]).collect();
        if let (Some(watch), false) = (&mut watch, going.is_empty()) {
            let stop = if going.len() == rows.len() {
                watch.stops(&image, &rows, &x)?
            } else {
                let positions = going.iter().map(|row| rows.positions()[*row]).collect();
                let x = x.clone().select(0, int_tensor(&going, &device));
                watch.stops(&image, &Rows::new(positions, batch, &device), &x)?
            };
            for (row, stop) in going.into_iter().zip(stop) {
                leaves[row] = stop;
            }
        }
        let (gone, kept): (Vec<usize>, Vec<usize>) = (0..rows.len()).partition(|row| leaves[*row]);
        if !gone.is_empty() {
            for row in &gone {
                stops[rows.positions()[*row]] = indices[*row];
            }
            stopped.push(&rows, &x, &gone);
            let positions = kept.iter().map(|row| rows.positions()[*row]).collect();
            rows = Rows::new(positions, batch, &device);
            if !kept.is_empty() {
                x = x.select(0, int_tensor(&kept, &device));
            }
            history.keep(&kept);
        }
        indices = kept.iter().map(|row| indices[*row] + 1).collect();
    }

    Ok(Inverted {
        latent: match stopped.positions.is_empty() {
            true => image,
            false => stopped.into_batch(),
        },
        stops,
        cost: watch.map_or(cost, |watch| cost + watch.cost()),
    })
}

/// Rows at once, of a setting and the batch size.
pub(crate) fn capacity(rows: Option<usize>, batch: usize) -> Result<usize, Error> {
    match rows {
        Some(0) => Err(Error::Setting {
            setting: "rows",
            value: "0".into(),
            reason: "at least one sample has to go through the network at once".into(),
        }),
        rows => Ok(rows.unwrap_or(batch).min(batch)),
    }
}

/// The network's step of each row, `[row]`.
fn network_steps(moves: &[Move], x: &Tensor<4>) -> Tensor<1> {
    let steps: Vec<f32> = moves.iter().map(|step| step.t as f32).collect();
    let rows = steps.len();
    Tensor::from_data(TensorData::new(steps, [rows]), &x.device())
}

/// Clamps the implied images to [-1, 1] and derives the noise from them again, but for rows in their first step.
fn clip_above_the_first(
    x: &Tensor<4>,
    x0hat: Tensor<4>,
    eps: Tensor<4>,
    from: &Level,
    indices: &[usize],
) -> (Tensor<4>, Tensor<4>) {
    let first: Vec<bool> = indices.iter().map(|index| *index == 0).collect();
    if !first.contains(&false) {
        return (x0hat, eps);
    }
    let clipped = x0hat.clone().clamp(-1.0, 1.0);
    let noise = implied_noise(x.clone(), clipped.clone(), from);
    if !first.contains(&true) {
        return (clipped, noise);
    }
    let rows = first.len();
    let first = Tensor::<4, Bool>::from_data(TensorData::new(first, [rows, 1, 1, 1]), &x.device())
        .expand(x.dims());
    (
        clipped.mask_where(first.clone(), x0hat),
        noise.mask_where(first, eps),
    )
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
