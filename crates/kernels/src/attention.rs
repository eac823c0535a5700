//! Attention with the pixels of a channel beside each other, as convolutions leave them: forward and backward, without the
//! whole matrix of scores.

use std::mem::MaybeUninit;

use burn::backend::Dispatch;
use burn::tensor::Tensor;
use burn::tensor::ops::AttentionModuleOptions;
use rayon::prelude::*;

use crate::extension::KernelOps;
use crate::filled::filled;
use crate::is_flex;
use crate::lanes::{LANES, flat_mut, with_scratch};
use crate::matmul::matmul_into;
use crate::simd::{exp, vectorised};

/// `softmax(q k^T / sqrt(depth)) v` of `q`, `k` and `v` `[batch, head, token, depth]`, where `k` and `v` may have another
/// number of tokens than `q`: `[batch, head, token of q, depth]`.
///
/// Tensors whose tokens lie beside each other in memory, `[batch, head, depth, token]` with the last two dimensions
/// swapped, are read without a copy, and so is the result laid out.
pub fn attention(q: Tensor<4>, k: Tensor<4>, v: Tensor<4>) -> Tensor<4> {
    if !is_flex(&q.device()) {
        let options = AttentionModuleOptions::default();
        return burn::tensor::module::attention(q, k, v, None, None, options);
    }
    let [q, k, v] = [q, k, v].map(|tokens| tokens.swap_dims(2, 3).into_dispatch());
    Tensor::<4>::from_dispatch(<Dispatch as KernelOps>::attention(q, k, v)).swap_dims(2, 3)
}

/// Most queries whose scores are held at a time.
const MOST: usize = 256;

/// Sizes of the attention of one image and head.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    pub depth: usize,
    pub queries: usize,
    pub keys: usize,
}

impl Shape {
    fn scale(&self) -> f32 {
        1.0 / (self.depth as f32).sqrt()
    }

    /// Queries whose scores are held at a time: about half a megabyte of them.
    fn block(&self) -> usize {
        ((128 << 10) / self.keys.max(1)).clamp(16, MOST)
    }

    /// First query and number of queries of each block.
    fn blocks(&self) -> impl Iterator<Item = (usize, usize)> {
        let (queries, block) = (self.queries, self.block());
        (0..queries)
            .step_by(block)
            .map(move |from| (from, block.min(queries - from)))
    }
}

/// `scores[key, query]` of the queries `from..from + n`.
fn scores(q: &[f32], k: &[f32], shape: Shape, (from, n): (usize, usize), scores: &mut [f32]) {
    matmul_into(
        (shape.keys, n, shape.depth),
        scores,
        (n, 1),
        false,
        k,
        (1, shape.keys),
        &q[from..],
        (shape.queries, 1),
    );
}

/// `scores` `[key, query]` to `exp(scale * (score - greatest of the query))`; `inverse` becomes 1 / the sum of each query's.
fn exponentials(scores: &mut [f32], inverse: &mut [f32], scale: f32) {
    let n = inverse.len();
    vectorised(
        #[inline(always)]
        || {
            let mut greatest = [f32::NEG_INFINITY; MOST];
            let greatest = &mut greatest[..n];
            for row in scores.chunks_exact(n) {
                for (greatest, score) in greatest.iter_mut().zip(row) {
                    *greatest = greatest.max(*score);
                }
            }
            inverse.fill(0.0);
            for row in scores.chunks_exact_mut(n) {
                for ((score, greatest), sum) in row.iter_mut().zip(&*greatest).zip(&mut *inverse) {
                    *score = exp(scale * (*score - greatest));
                    *sum += *score;
                }
            }
            for sum in inverse.iter_mut() {
                *sum = 1.0 / *sum;
            }
        },
    );
}

/// `q`, `k` and `v` `[unit, depth, token]`; the result is laid out alike.
pub(crate) fn forward(q: &[f32], k: &[f32], v: &[f32], shape: Shape) -> Vec<f32> {
    let (of_q, of_k) = (shape.depth * shape.queries, shape.depth * shape.keys);
    if of_k == 0 {
        return vec![0f32; q.len()];
    }
    let write = |unit: usize, y: &mut [MaybeUninit<f32>]| {
        y.fill(MaybeUninit::new(0.0));
        // SAFETY: all of it was just written.
        let y = unsafe { y.assume_init_mut() };
        let most = shape.keys * shape.block();
        with_scratch(most.div_ceil(LANES), |scratch| {
            let (scratch, mut inverse) = (flat_mut(scratch), [0f32; MOST]);
            let q = &q[unit * of_q..][..of_q];
            let [k, v] = [k, v].map(|whole| &whole[unit * of_k..][..of_k]);
            for (from, n) in shape.blocks() {
                let (held, inverse) = (&mut scratch[..shape.keys * n], &mut inverse[..n]);
                scores(q, k, shape, (from, n), held);
                exponentials(held, inverse, shape.scale());
                matmul_into(
                    (shape.depth, n, shape.keys),
                    &mut y[from..],
                    (shape.queries, 1),
                    false,
                    v,
                    (shape.keys, 1),
                    held,
                    (n, 1),
                );
                vectorised(
                    #[inline(always)]
                    || {
                        for row in y.chunks_exact_mut(shape.queries) {
                            for (y, inverse) in row[from..from + n].iter_mut().zip(&*inverse) {
                                *y *= inverse;
                            }
                        }
                    },
                );
            }
        });
    };
    // SAFETY: each unit's part is written.
    unsafe { filled(q.len(), of_q, write) }
}

/// Gradients with respect to q, k and v. With P the softmax and S the scaled scores: `dv = dy P^T`, `dS = P (v^T dy - D)`
/// where D is the sum of `P (v^T dy)` over a query's keys, `dq = k dS` and `dk = q dS^T`, both times the scale.
pub(crate) fn backward(
    q: &[f32],
    k: &[f32],
    v: &[f32],
    dy: &[f32],
    shape: Shape,
) -> (Vec<f32>, Vec<f32>, Vec<f32>) {
    let (of_q, of_k) = (shape.depth * shape.queries, shape.depth * shape.keys);
    let mut dq = vec![0f32; q.len()];
    let (mut dk, mut dv) = (vec![0f32; k.len()], vec![0f32; v.len()]);
    if dq.is_empty() || of_k == 0 {
        return (dq, dk, dv);
    }
    let (depth, queries, keys) = (shape.depth, shape.queries, shape.keys);
    dq.par_chunks_mut(of_q)
        .zip(dk.par_chunks_mut(of_k))
        .zip(dv.par_chunks_mut(of_k))
        .enumerate()
        .for_each(|(unit, ((dq, dk), dv))| {
            let [q, dy] = [q, dy].map(|whole| &whole[unit * of_q..][..of_q]);
            let [k, v] = [k, v].map(|whole| &whole[unit * of_k..][..of_k]);
            for (from, n) in shape.blocks() {
                let (mut p, mut ds) = (vec![0f32; keys * n], vec![0f32; keys * n]);
                let mut inverse = vec![0f32; n];
                scores(q, k, shape, (from, n), &mut p);
                exponentials(&mut p, &mut inverse, shape.scale());
                // v^T dy, the gradient of P.
                scores(dy, v, shape, (from, n), &mut ds);
                vectorised(
                    #[inline(always)]
                    || {
                        let mut sums = [0f32; MOST];
                        let sums = &mut sums[..n];
                        for (p, dp) in p.chunks_exact_mut(n).zip(ds.chunks_exact(n)) {
                            let row = p.iter_mut().zip(dp).zip(&inverse).zip(&mut *sums);
                            for (((p, dp), inverse), sum) in row {
                                *p *= inverse;
                                *sum += *p * dp;
                            }
                        }
                        for (p, dp) in p.chunks_exact(n).zip(ds.chunks_exact_mut(n)) {
                            for ((p, dp), sum) in p.iter().zip(dp).zip(&*sums) {
                                *dp = shape.scale() * p * (*dp - sum);
                            }
                        }
                    },
                );
                let product = |dst: &mut [f32], a: &[f32], b: &[f32]| {
                    matmul_into(
                        (depth, keys, n),
                        dst,
                        (keys, 1),
                        true,
                        a,
                        (queries, 1),
                        b,
                        (1, n),
                    );
                };
                product(dv, &dy[from..], &p);
                product(dk, &q[from..], &ds);
                matmul_into(
                    (depth, n, keys),
                    &mut dq[from..],
                    (queries, 1),
                    false,
                    k,
                    (keys, 1),
                    &ds,
                    (n, 1),
                );
            }
        });
    (dq, dk, dv)
}
