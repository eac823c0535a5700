//! A small perceptron, trained on one thread with Adam: same seed, same bits.

use ndarray::{Array1, Array2, ArrayView2, Axis, Zip};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use crate::linalg::{by_blocks, inner_products, standard_normal};

/// Dense layers with ReLU between them, and a sigmoid at the end: features to a number in (0, 1).
#[derive(Debug, Clone)]
pub(super) struct Mlp {
    layers: Vec<Layer>,
}

#[derive(Debug, Clone)]
struct Layer {
    /// [out, in]
    weight: Array2<f32>,
    /// `[out]`
    bias: Array1<f32>,
}

/// How to train.
#[derive(Debug, Clone, Copy)]
pub(super) struct Training {
    pub epochs: usize,
    pub batch: usize,
    /// At the start; a half cosine takes it to 0.
    pub learning_rate: f64,
    pub seed: u64,
}

impl Mlp {
    /// He et al.'s normal initialisation for widths `[input, hidden…, 1]`; the last bias gives `prior` at the start.
    pub fn new(widths: &[usize], prior: f64, seed: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut layers: Vec<Layer> = widths
            .windows(2)
            .map(|pair| {
                let std = (2.0 / pair[0] as f64).sqrt();
                Layer {
                    weight: Array2::from_shape_simple_fn((pair[1], pair[0]), || {
                        (std * standard_normal(&mut rng)) as f32
                    }),
                    bias: Array1::zeros(pair[1]),
                }
            })
            .collect();
        if let Some(last) = layers.last_mut() {
            let prior = prior.clamp(1e-3, 1.0 - 1e-3);
            last.weight *= 0.1;
            last.bias.fill((prior / (1.0 - prior)).ln() as f32);
        }
        Self { layers }
    }

    /// The inputs of every layer, and the output before its sigmoid, [n, 1].
    fn forward(&self, x: ArrayView2<f32>) -> (Vec<Array2<f32>>, Array2<f32>) {
        let mut inputs = vec![x.to_owned()];
        for (index, layer) in self.layers.iter().enumerate() {
            let mut h = inner_products(inputs[index].view(), layer.weight.view()) + &layer.bias;
            if index + 1 == self.layers.len() {
                return (inputs, h);
            }
            h.mapv_inplace(|h| h.max(0.0));
            inputs.push(h);
        }
        let last = inputs[0].clone();
        (inputs, last)
    }

    /// The output of each row of `x`.
    pub fn predict(&self, x: ArrayView2<f32>) -> Vec<f64> {
        by_blocks(x.nrows(), |range| {
            let (_, output) = self.forward(x.slice(ndarray::s![range, ..]));
            output.iter().map(|&o| sigmoid(f64::from(o))).collect()
        })
    }

    /// Mean squared error against `targets`, and its gradient by every layer.
    fn gradient(&self, x: ArrayView2<f32>, targets: &[f32]) -> (f64, Vec<Layer>) {
        let (inputs, output) = self.forward(x);
        let n = targets.len() as f64;
        let mut loss = 0.0;
        let mut back = output;
        for (o, &target) in back.iter_mut().zip(targets) {
            let p = sigmoid(f64::from(*o));
            let off = p - f64::from(target);
            loss += off * off / n;
            *o = (2.0 * off * p * (1.0 - p) / n) as f32;
        }
        let mut gradients = Vec::with_capacity(self.layers.len());
        for (layer, input) in self.layers.iter().zip(&inputs).rev() {
            gradients.push(Layer {
                weight: inner_products(back.t(), input.t()),
                bias: back.sum_axis(Axis(0)),
            });
            if gradients.len() < self.layers.len() {
                let mut earlier = inner_products(back.view(), layer.weight.t());
                Zip::from(&mut earlier).and(input).for_each(|g, &h| {
                    if h <= 0.0 {
                        *g = 0.0;
                    }
                });
                back = earlier;
            }
        }
        gradients.reverse();
        (loss, gradients)
    }

    /// Minimises the mean squared error (Adam with its published constants); the loss of each epoch.
    pub fn train(&mut self, x: ArrayView2<f32>, targets: &[f32], how: Training) -> Vec<f64> {
        const BETA1: f64 = 0.9;
        const BETA2: f64 = 0.999;
        const EPSILON: f64 = 1e-8;
        let zero = |layer: &Layer| Layer {
            weight: Array2::zeros(layer.weight.dim()),
            bias: Array1::zeros(layer.bias.dim()),
        };
        let mut first: Vec<Layer> = self.layers.iter().map(zero).collect();
        let mut second = first.clone();
        let mut order: Vec<usize> = (0..targets.len()).collect();
        let steps = how.epochs * targets.len().div_ceil(how.batch);
        let (mut step, mut losses) = (0usize, Vec::new());
        for epoch in 0..how.epochs {
            let mut rng = ChaCha8Rng::seed_from_u64(how.seed);
            rng.set_stream(1 + epoch as u64);
            order.sort_unstable();
            order.shuffle(&mut rng);
            let mut sum = 0.0;
            for rows in order.chunks(how.batch) {
                let wanted: Vec<f32> = rows.iter().map(|&row| targets[row]).collect();
                let (loss, gradients) = self.gradient(x.select(Axis(0), rows).view(), &wanted);
                sum += loss * rows.len() as f64;
                let share = step as f64 / steps as f64;
                let rate = how.learning_rate * 0.5 * (1.0 + (std::f64::consts::PI * share).cos());
                step += 1;
                let rate =
                    rate * (1.0 - BETA2.powi(step as i32)).sqrt() / (1.0 - BETA1.powi(step as i32));
                let update = |w: &mut f32, g: f32, m: &mut f32, v: &mut f32| {
                    *m += (1.0 - BETA1 as f32) * (g - *m);
                    *v += (1.0 - BETA2 as f32) * (g * g - *v);
                    *w -= rate as f32 * *m / (v.sqrt() + EPSILON as f32);
                };
                for (((layer, g), m), v) in self
                    .layers
                    .iter_mut()
                    .zip(&gradients)
                    .zip(&mut first)
                    .zip(&mut second)
                {
                    Zip::from(&mut layer.weight)
                        .and(&g.weight)
                        .and(&mut m.weight)
                        .and(&mut v.weight)
                        .for_each(|w, &g, m, v| update(w, g, m, v));
                    Zip::from(&mut layer.bias)
                        .and(&g.bias)
                        .and(&mut m.bias)
                        .and(&mut v.bias)
                        .for_each(|w, &g, m, v| update(w, g, m, v));
                }
            }
            losses.push(sum / targets.len() as f64);
        }
        losses
    }
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gradient_equals_central_differences() {
        let mut mlp = Mlp::new(&[3, 5, 4, 1], 0.6, 3);
        let x = Array2::from_shape_fn((7, 3), |(i, j)| ((i * 5 + j * 3) % 7) as f32 / 3.0 - 1.0);
        let targets: Vec<f32> = (0..7).map(|i| i as f32 / 7.0).collect();
        let (_, gradients) = mlp.gradient(x.view(), &targets);
        let step = 1e-2;
        for (index, at) in [(0, (2, 1)), (1, (3, 4)), (2, (0, 2))] {
            let mut loss = |shift: f32| {
                mlp.layers[index].weight[at] += shift;
                let (loss, _) = mlp.gradient(x.view(), &targets);
                mlp.layers[index].weight[at] -= shift;
                loss
            };
            let numeric = (loss(step) - loss(-step)) / (2.0 * f64::from(step));
            let exact = f64::from(gradients[index].weight[at]);
            assert!(
                (numeric - exact).abs() < 1e-4 + 1e-2 * exact.abs(),
                "layer {index}: {numeric} against {exact}"
            );
        }
    }
}
