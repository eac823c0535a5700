//! The three lines of algebra that every DDIM step is made of (Song et al. 2021, eq. 12 with `eta = 0`).

use burn::tensor::Tensor;

/// `x0hat(x_t) = (x_t - sqrt(1 - abar) eps) / sqrt(abar)`: the clean image that the noise `eps` implies.
///
/// All tensors `[batch, channel, height, width]`; `abar` in (0, 1] is the level of `x_t`.
pub fn implied_image(x_t: Tensor<4>, eps: Tensor<4>, abar: f64) -> Tensor<4> {
    (x_t - eps * (1.0 - abar).sqrt()) / abar.sqrt()
}

/// `eps = (x_t - sqrt(abar) x0hat) / sqrt(1 - abar)`: the noise that a clean image implies.
///
/// All tensors `[batch, channel, height, width]`; `abar` in (0, 1) is the level of `x_t`.
pub fn implied_noise(x_t: Tensor<4>, x0hat: Tensor<4>, abar: f64) -> Tensor<4> {
    (x_t - x0hat * abar.sqrt()) / (1.0 - abar).sqrt()
}

/// `sqrt(abar) x0hat + sqrt(1 - abar - sigma^2) eps`: clean image and noise put together at the level `abar`.
///
/// All tensors `[batch, channel, height, width]`; `sigma` is the standard deviation of fresh noise that the caller
/// adds (0 for a deterministic step).
pub fn recompose(x0hat: Tensor<4>, eps: Tensor<4>, abar: f64, sigma: f64) -> Tensor<4> {
    x0hat * abar.sqrt() + eps * (1.0 - abar - sigma * sigma).max(0.0).sqrt()
}
