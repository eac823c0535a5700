//! How far a move sees: DDIM, and the higher-order DPM-Solver++ (2M) behind the same face.
//!
//! Both integrate the probability-flow equation from one noise level to the next. With `alpha = sqrt(abar)`,
//! `sigma = sqrt(1 - abar)` and half the log signal-to-noise ratio `lambda = ln(alpha / sigma)`, a move from `s` to `t`
//! of length `h = lambda_t - lambda_s` is
//!
//! `x_t = (sigma_t / sigma_s) x_s - alpha_t (exp(-h) - 1) D`,
//!
//! where DDIM takes `D = x0hat_s`, and DPM-Solver++ 2M (Lu et al. 2022, algorithm 2) extrapolates from the move before,
//! of length `h'`: `D = x0hat_s + (h / 2h') (x0hat_s - x0hat_s')`. That is second order at the same one network
//! evaluation a move. It is what DDIM's own algebra makes of `D` in place of `x0hat`, and so goes upward as well.
//!
//! Towards the image the moves grow long in `lambda`, and an extrapolation over the last one goes far astray where there are
//! few: of fewer than 15 it is of first order (`lower_order_final` of that paper's authors; 15 or 10 by the version).

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use crate::{
    ddim::{Level, implied_noise},
    rows::int_tensor,
    trajectory::Move,
};

/// The integrator of an inversion or a synthesis.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Solver {
    /// DDIM (Song et al. 2021): first order, the paper's.
    #[default]
    #[serde(rename = "ddim")]
    Ddim,
    /// DPM-Solver++ 2M (Lu et al. 2022): second order, for fewer steps. Deterministic.
    #[serde(rename = "dpm-solver++2m")]
    DpmSolverPlusPlus2M,
}

impl Solver {
    /// Whether it is the default, which a configuration does not write.
    pub(crate) fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// Moves below which the last one towards the image is of first order.
const FEW: usize = 15;

/// Whether a row that came down from the move at index `start` ends with the one at `index`, and has made few. A move onto the
/// image itself, of infinite length, is of first order in any case and not counted.
pub(crate) fn ends_short(descent: &[Move], index: usize, start: usize) -> bool {
    let last = descent
        .iter()
        .position(|step| length(*step).is_finite())
        .unwrap_or(0);
    index == last && start + 1 - last.min(start) < FEW
}

/// What a solver remembers from move to move, row by row.
pub(crate) struct History {
    solver: Solver,
    last: Option<Last>,
}

struct Last {
    /// `x0hat` of each row's last move, `[row, channel, height, width]`.
    x0hat: Tensor<4>,
    /// Length of each row's last move in `lambda`; rows behind these have made none.
    lengths: Vec<f64>,
}

impl History {
    pub(crate) fn new(solver: Solver) -> Self {
        Self { solver, last: None }
    }

    /// The clean image and the noise with which the rows' moves are to be made, of those that the network implies at
    /// `x`. Rows beyond those of the last call have just joined; those of which `plain` holds make their move in first order.
    pub(crate) fn extrapolate(
        &mut self,
        x: &Tensor<4>,
        x0hat: &Tensor<4>,
        eps: &Tensor<4>,
        moves: &[Move],
        plain: impl Fn(usize) -> bool,
    ) -> (Tensor<4>, Tensor<4>) {
        if self.solver == Solver::Ddim {
            return (x0hat.clone(), eps.clone());
        }
        let lengths: Vec<f64> = moves.iter().map(|step| length(*step)).collect();
        let last = self.last.replace(Last {
            x0hat: x0hat.clone(),
            lengths: lengths.clone(),
        });
        let Some(last) = last else {
            return (x0hat.clone(), eps.clone());
        };
        let [rows, channel, height, width] = x0hat.dims();
        let known = last.lengths.len();
        let mut before = last.x0hat;
        if rows > known {
            let joined = x0hat.clone().narrow(0, known, rows - known);
            before = Tensor::cat(vec![before, joined], 0);
        }
        // The first move of a row, and one that begins or ends at pure noise or at the image, are of first order.
        let weights = (0..rows).map(|row| match last.lengths.get(row) {
            Some(previous) if previous.is_finite() && lengths[row].is_finite() && !plain(row) => {
                lengths[row] / (2.0 * previous)
            }
            _ => 0.0,
        });
        let weights = Level::of(weights.collect());
        if weights == Level::Same(0.0) {
            return (x0hat.clone(), eps.clone());
        }
        debug_assert_eq!(before.dims(), [rows, channel, height, width]);
        let d = x0hat.clone() + weights.times(x0hat.clone() - before, |weight| weight);
        let from = Level::of(moves.iter().map(|step| step.from).collect());
        let noise = implied_noise(x.clone(), d.clone(), from);
        (d, noise)
    }

    /// Only these rows go on.
    pub(crate) fn keep(&mut self, rows: &[usize]) {
        if let Some(last) = &mut self.last {
            let device = last.x0hat.device();
            last.lengths = rows.iter().map(|row| last.lengths[*row]).collect();
            last.x0hat = last.x0hat.clone().select(0, int_tensor(rows, &device));
        }
    }
}

/// `lambda_to - lambda_from`; infinite where either end has no noise or no image.
fn length(step: Move) -> f64 {
    let lambda = |abar: f64| (abar / (1.0 - abar)).ln() / 2.0;
    lambda(step.to) - lambda(step.from)
}
