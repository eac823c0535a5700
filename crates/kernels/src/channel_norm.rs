//! LayerNorm over the channels of each pixel, with the pixels of a channel beside each other as convolutions leave them:
//! forward and backward.

use burn::backend::Dispatch;
use burn::tensor::Tensor;
use burn::tensor::module::layer_norm;
use rayon::prelude::*;

use crate::extension::KernelOps;
use crate::is_flex;
use crate::simd::vectorised;

/// `x` `[batch, channel, token]` normalised over the channels of each token (biased variance, `epsilon` added to it), times
/// `gamma` `[channel]` plus `beta` `[channel]`.
pub fn channel_norm(x: Tensor<3>, gamma: Tensor<1>, beta: Tensor<1>, epsilon: f64) -> Tensor<3> {
    if !is_flex(&x.device()) {
        return layer_norm(x.swap_dims(1, 2), gamma, Some(beta), epsilon).swap_dims(1, 2);
    }
    Tensor::from_dispatch(<Dispatch as KernelOps>::channel_norm(
        x.into_dispatch(),
        gamma.into_dispatch(),
        beta.into_dispatch(),
        epsilon as f32,
    ))
}

/// Sizes of one normalisation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    pub channels: usize,
    pub tokens: usize,
    pub epsilon: f32,
}

impl Shape {
    fn image(&self) -> usize {
        self.channels * self.tokens
    }

    /// Mean and 1 / standard deviation of every token of an image.
    #[inline(always)]
    fn statistics(&self, x: &[f32], mean: &mut [f32], rstd: &mut [f32]) {
        let count = self.channels as f32;
        mean.fill(0.0);
        for row in x.chunks_exact(self.tokens) {
            for (mean, x) in mean.iter_mut().zip(row) {
                *mean += x;
            }
        }
        for mean in mean.iter_mut() {
            *mean /= count;
        }
        rstd.fill(0.0);
        for row in x.chunks_exact(self.tokens) {
            for ((sum, x), mean) in rstd.iter_mut().zip(row).zip(&*mean) {
                *sum += (x - mean) * (x - mean);
            }
        }
        for sum in rstd.iter_mut() {
            *sum = 1.0 / (*sum / count + self.epsilon).sqrt();
        }
    }
}

pub(crate) fn forward(x: &[f32], gamma: &[f32], beta: &[f32], shape: Shape) -> Vec<f32> {
    let mut y = vec![0f32; x.len()];
    if y.is_empty() {
        return y;
    }
    y.par_chunks_mut(shape.image())
        .zip(x.par_chunks(shape.image()))
        .for_each_init(
            || [vec![0f32; shape.tokens], vec![0f32; shape.tokens]],
            |[mean, rstd], (y, x)| {
                vectorised(
                    #[inline(always)]
                    || {
                        shape.statistics(x, mean, rstd);
                        let rows = y
                            .chunks_exact_mut(shape.tokens)
                            .zip(x.chunks_exact(shape.tokens));
                        for ((y, x), (gamma, beta)) in rows.zip(gamma.iter().zip(beta)) {
                            let pixels = y.iter_mut().zip(x).zip(mean.iter().zip(&*rstd));
                            for ((y, x), (mean, rstd)) in pixels {
                                *y = (x - mean) * rstd * gamma + beta;
                            }
                        }
                    },
                );
            },
        );
    y
}

/// Gradients with respect to x, gamma and beta.
pub(crate) fn backward(
    x: &[f32],
    gamma: &[f32],
    dy: &[f32],
    shape: Shape,
) -> (Vec<f32>, Vec<f32>, Vec<f32>) {
    let mut dx = vec![0f32; x.len()];
    let (mut dgamma, mut dbeta) = (vec![0f32; shape.channels], vec![0f32; shape.channels]);
    if dx.is_empty() {
        return (dx, dgamma, dbeta);
    }
    // Each image's share of the parameters' gradients, summed in order afterwards.
    let parts: Vec<[Vec<f32>; 2]> = dx
        .par_chunks_mut(shape.image())
        .zip(x.par_chunks(shape.image()))
        .zip(dy.par_chunks(shape.image()))
        .map(|((dx, x), dy)| {
            let mut own = [vec![0f32; shape.channels], vec![0f32; shape.channels]];
            let [mut mean, mut rstd, mut first, mut second] =
                std::array::from_fn(|_| vec![0f32; shape.tokens]);
            vectorised(
                #[inline(always)]
                || {
                    shape.statistics(x, &mut mean, &mut rstd);
                    let [dgamma, dbeta] = &mut own;
                    let rows = x
                        .chunks_exact(shape.tokens)
                        .zip(dy.chunks_exact(shape.tokens));
                    for ((x, dy), (c, gamma)) in rows.zip(gamma.iter().enumerate()) {
                        for t in 0..shape.tokens {
                            let xhat = (x[t] - mean[t]) * rstd[t];
                            dgamma[c] += dy[t] * xhat;
                            dbeta[c] += dy[t];
                            first[t] += dy[t] * gamma;
                            second[t] += dy[t] * gamma * xhat;
                        }
                    }
                    let count = shape.channels as f32;
                    let rows = x
                        .chunks_exact(shape.tokens)
                        .zip(dy.chunks_exact(shape.tokens));
                    for ((dx, (x, dy)), gamma) in
                        dx.chunks_exact_mut(shape.tokens).zip(rows).zip(gamma)
                    {
                        for t in 0..shape.tokens {
                            let xhat = (x[t] - mean[t]) * rstd[t];
                            let mean_dxhat = (first[t] + xhat * second[t]) / count;
                            dx[t] = rstd[t] * (dy[t] * gamma - mean_dxhat);
                        }
                    }
                },
            );
            own
        })
        .collect();
    for [gamma, beta] in &parts {
        dgamma.iter_mut().zip(gamma).for_each(|(sum, d)| *sum += d);
        dbeta.iter_mut().zip(beta).for_each(|(sum, d)| *sum += d);
    }
    (dx, dgamma, dbeta)
}
