//! What the tests of accuracy share.
#![allow(dead_code, reason = "each test takes what it needs")]

use burn::tensor::Tensor;

/// Numbers around zero of a small linear congruential generator: burn's stream is shared by all tests.
pub fn numbers(count: usize, seed: u64) -> Vec<f32> {
    let mut state = seed;
    let mut uniform = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1u64 << 24) as f32 - 0.5
    };
    (0..count)
        .map(|_| uniform() + uniform() + uniform())
        .collect()
}

/// Largest error as a share of the largest value.
pub fn error(ours: &[f32], exact: &[f64]) -> f64 {
    let largest = exact.iter().fold(0f64, |most, v| most.max(v.abs()));
    let worst = ours.iter().zip(exact);
    worst.fold(0f64, |most, (ours, exact)| {
        most.max((f64::from(*ours) - exact).abs())
    }) / largest
}

/// Runs `f` on leaves and returns its result and the gradients of a fixed weighting of it.
pub fn with_gradients<const N: usize>(
    leaves: [Tensor<4>; N],
    weighting: &Tensor<4>,
    f: impl Fn([Tensor<4>; N]) -> Tensor<4>,
) -> Vec<Tensor<4>> {
    let leaves = leaves.map(|leaf| leaf.autodiff().require_grad());
    let y = f(leaves.clone());
    let gradients = (y.clone() * weighting.clone()).sum().backward();
    let mut all = vec![y.without_autodiff()];
    all.extend(
        leaves
            .iter()
            .map(|leaf| leaf.grad(&gradients).expect("every leaf takes part")),
    );
    all
}
