//! Attention and its gradients against the definition in double precision.

mod common;

use burn::tensor::{Device, Tensor, TensorData};
use common::{error, numbers, with_gradients};
use diffguard_kernels::attention;

/// Batch times heads, depth, queries, keys.
type Sizes = (usize, usize, usize, usize);

/// The result and the gradients of its product with `dy`: `y`, `dq`, `dk`, `dv`, all `[unit, token, depth]`.
fn exact([q, k, v, dy]: &[Vec<f32>; 4], (units, depth, queries, keys): Sizes) -> [Vec<f64>; 4] {
    let scale = 1.0 / (depth as f64).sqrt();
    let [mut y, mut dq] = [(); 2].map(|()| vec![0f64; q.len()]);
    let [mut dk, mut dv] = [(); 2].map(|()| vec![0f64; k.len()]);
    let dot = |a: &[f32], b: &[f32]| -> f64 {
        let products = a.iter().zip(b);
        products.map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
    };
    for unit in 0..units {
        for query in 0..queries {
            let at = (unit * queries + query) * depth;
            let (q, dy) = (&q[at..at + depth], &dy[at..at + depth]);
            let key = |j: usize| (unit * keys + j) * depth;
            let scores: Vec<f64> = (0..keys)
                .map(|j| scale * dot(q, &k[key(j)..key(j) + depth]))
                .collect();
            let greatest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let sum: f64 = scores.iter().map(|score| (score - greatest).exp()).sum();
            let p: Vec<f64> = scores
                .iter()
                .map(|score| (score - greatest).exp() / sum)
                .collect();
            let dp: Vec<f64> = (0..keys)
                .map(|j| dot(dy, &v[key(j)..key(j) + depth]))
                .collect();
            let mean: f64 = p.iter().zip(&dp).map(|(p, dp)| p * dp).sum();
            for j in 0..keys {
                let ds = scale * p[j] * (dp[j] - mean);
                for d in 0..depth {
                    y[at + d] += p[j] * f64::from(v[key(j) + d]);
                    dq[at + d] += ds * f64::from(k[key(j) + d]);
                    dk[key(j) + d] += ds * f64::from(q[d]);
                    dv[key(j) + d] += p[j] * f64::from(dy[d]);
                }
            }
        }
    }
    [y, dq, dk, dv]
}

#[test]
fn attention_is_within_5e_6_of_the_definition() {
    let device = Device::flex();
    // One block of queries, several, a cut one; keys as many as queries, fewer and one.
    for (batch, heads, depth, queries, keys) in [
        (2, 1, 16, 49, 49),
        (1, 3, 5, 300, 300),
        (3, 2, 8, 20, 77),
        (1, 1, 4, 600, 1030),
        (2, 1, 3, 7, 1),
        (1, 1, 1, 1, 1),
    ] {
        let units = batch * heads;
        let [of_q, of_k] = [queries, keys].map(|tokens| units * tokens * depth);
        let parts = [
            numbers(of_q, 1),
            numbers(of_k, 2),
            numbers(of_k, 3),
            numbers(of_q, 4),
        ];
        // Scores as large as 20, so that some rows are nearly one-hot.
        let parts = parts.map(|part| part.into_iter().map(|v| 3.0 * v).collect::<Vec<f32>>());
        let exact = exact(&parts, (units, depth, queries, keys));
        let mut tensors = parts.into_iter().zip([queries, keys, keys, queries]);
        let mut next = || {
            let (values, tokens) = tensors.next().expect("four parts");
            let shape = [batch, heads, tokens, depth];
            Tensor::<4>::from_data(TensorData::new(values, shape), &device)
        };
        let leaves = [next(), next(), next()];
        let dy = next();
        // Laid out by pixel, and by channel.
        for by_channel in [false, true] {
            let ours = with_gradients(leaves.clone(), &dy, |leaves| {
                let [q, k, v] = leaves.map(|leaf| match by_channel {
                    true => (leaf.swap_dims(2, 3) * 1.0).swap_dims(2, 3),
                    false => leaf,
                });
                attention(q, k, v)
            });
            for ((what, ours), exact) in ["y", "dq", "dk", "dv"].iter().zip(ours).zip(&exact) {
                let ours: Vec<f32> = ours.into_data().try_to_vec().expect("f32 values");
                // One key: the softmax is constant, its gradients are zero.
                let worst = match exact.iter().all(|v| v.abs() < 1e-12) {
                    true => f64::from(ours.iter().fold(0f32, |most, v| most.max(v.abs()))),
                    false => error(&ours, exact),
                };
                assert!(
                    worst < 5e-6,
                    "{what} of {batch} x {heads} x {depth}, {queries} over {keys}: {worst:e}"
                );
            }
        }
    }
}
