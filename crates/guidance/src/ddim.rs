//! The three lines of algebra that every DDIM step is made of (Song et al. 2021, eq. 12 with `eta = 0`).

use burn::tensor::{Tensor, TensorData};

/// The noise level `abar` of the rows of a step.
#[derive(Debug, Clone, PartialEq)]
pub enum Level {
    /// All rows have the same.
    Same(f64),
    /// One a row.
    Each(Vec<f64>),
}

impl Level {
    /// The level of rows that have `values`, one a row.
    pub fn of(values: Vec<f64>) -> Self {
        match values.split_first() {
            Some((first, rest)) if rest.iter().all(|value| value == first) => Self::Same(*first),
            _ => Self::Each(values),
        }
    }

    /// `x f(abar)`, row by row.
    pub(crate) fn times(&self, x: Tensor<4>, f: impl Fn(f64) -> f64) -> Tensor<4> {
        match self {
            Self::Same(abar) => x * f(*abar),
            Self::Each(abar) => {
                let factors = column(abar, f, &x);
                x * factors
            }
        }
    }

    /// `x / f(abar)`, row by row.
    fn divide(&self, x: Tensor<4>, f: impl Fn(f64) -> f64) -> Tensor<4> {
        match self {
            Self::Same(abar) => x / f(*abar),
            Self::Each(abar) => {
                let divisors = column(abar, f, &x);
                x / divisors
            }
        }
    }
}

fn column(abar: &[f64], f: impl Fn(f64) -> f64, like: &Tensor<4>) -> Tensor<4> {
    let values: Vec<f32> = abar.iter().map(|abar| f(*abar) as f32).collect();
    let rows = values.len();
    Tensor::from_data(TensorData::new(values, [rows, 1, 1, 1]), &like.device())
}

impl From<f64> for Level {
    fn from(abar: f64) -> Self {
        Self::Same(abar)
    }
}

impl From<&Level> for Level {
    fn from(level: &Level) -> Self {
        level.clone()
    }
}

/// `x0hat(x_t) = (x_t - sqrt(1 - abar) eps) / sqrt(abar)`: the clean image that the noise `eps` implies.
///
/// All tensors `[batch, channel, height, width]`; `abar` in (0, 1] is the level of `x_t`.
pub fn implied_image(x_t: Tensor<4>, eps: Tensor<4>, abar: impl Into<Level>) -> Tensor<4> {
    let abar = abar.into();
    let noise = abar.times(eps, |abar| (1.0 - abar).sqrt());
    abar.divide(x_t - noise, f64::sqrt)
}

/// `eps = (x_t - sqrt(abar) x0hat) / sqrt(1 - abar)`: the noise that a clean image implies.
///
/// All tensors `[batch, channel, height, width]`; `abar` in (0, 1) is the level of `x_t`.
pub fn implied_noise(x_t: Tensor<4>, x0hat: Tensor<4>, abar: impl Into<Level>) -> Tensor<4> {
    let abar = abar.into();
    let signal = abar.times(x0hat, f64::sqrt);
    abar.divide(x_t - signal, |abar| (1.0 - abar).sqrt())
}

/// `sqrt(abar) x0hat + sqrt(1 - abar - sigma^2) eps`: clean image and noise put together at the level `abar`.
///
/// All tensors `[batch, channel, height, width]`; `sigma` is the standard deviation of fresh noise that the caller
/// adds (0 for a deterministic step).
pub fn recompose(
    x0hat: Tensor<4>,
    eps: Tensor<4>,
    abar: impl Into<Level>,
    sigma: f64,
) -> Tensor<4> {
    let abar = abar.into();
    let signal = abar.times(x0hat, f64::sqrt);
    signal + abar.times(eps, |abar| (1.0 - abar - sigma * sigma).max(0.0).sqrt())
}
