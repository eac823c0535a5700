//! Visual information fidelity in the pixel domain (Sheikh and Bovik 2006), with piq's conventions. burn-train 0.22.1
//! has none. The variances are differences of nearly equal numbers, so this is computed on the host in double
//! precision.

use burn::tensor::{Tensor, TensorData};
use rayon::prelude::*;

use super::{Similarity, View, maps::luma};
use crate::Error;

const NAME: &str = "vif";
const UNCLAMPED: &str = "vif-unclamped";
/// Variance of the eye's noise on [0, 255] (ibid.).
const NOISE: f64 = 2.0;
/// Where the reference takes a variance for zero.
const EPSILON: f64 = 1e-8;
/// Sides of the Gaussian windows, from the finest scale; their deviation is a fifth.
const WINDOWS: [usize; 4] = [17, 9, 5, 3];
/// Smallest side of which the coarsest window leaves a pixel.
const SMALLEST_SIDE: usize = 41;

/// What the eye learns of the scene from the reference image, as a share of what it learns from the synthesis, limited
/// to 1. VIF is not symmetric: the authors pass the original first and the reconstruction second, which `vif_p` takes
/// for its own reference, and so it is here.
pub const VIF: Similarity = Similarity {
    name: NAME,
    summary: "visual information fidelity in the pixel domain (images of 41 pixels or more)",
    range: "0 to 1",
    needs_classifier: false,
    needs_weights: &[],
    score: |x, y| Ok(scores(x, y, NAME)?.clamp(0.0, 1.0)),
};

/// The same without the upper limit.
pub const VIF_UNCLAMPED: Similarity = Similarity {
    name: UNCLAMPED,
    summary: "the same, above 1 where the reference has more contrast than the synthesis",
    range: "not below 0; 1 for equal images",
    needs_classifier: false,
    needs_weights: &[],
    score: |x, y| scores(x, y, UNCLAMPED),
};

fn scores(x: &View<'_>, y: &View<'_>, wanted_by: &'static str) -> Result<Tensor<1>, Error> {
    let [batch, _, height, width] = x.image().dims();
    if height.min(width) < SMALLEST_SIDE {
        return Err(Error::Similarity {
            name: wanted_by,
            reason: format!(
                "images of {height}x{width} pixels; its coarsest window needs at least {SMALLEST_SIDE} on each side \
                 (use ssim or gmsd)"
            ),
        });
    }
    let planes = |view| -> Result<Vec<Plane>, Error> {
        let values: Vec<f64> = (luma(view, wanted_by)? * 255.0)
            .into_data()
            .iter::<f64>()
            .collect();
        let plane = |values: &[f64]| Plane {
            width,
            values: values.to_vec(),
        };
        Ok(values.chunks_exact(height * width).map(plane).collect())
    };
    let scores: Vec<f32> = planes(x)?
        .into_par_iter()
        .zip(planes(y)?)
        .map(|(x, y)| vif(x, y) as f32)
        .collect();
    Ok(Tensor::from_data(
        TensorData::new(scores, [batch]),
        &x.image().device(),
    ))
}

/// One channel of one image, row by row.
struct Plane {
    width: usize,
    values: Vec<f64>,
}

impl Plane {
    fn height(&self) -> usize {
        self.values.len() / self.width
    }

    /// The product of two planes, value by value.
    fn times(&self, other: &Self) -> Self {
        let values = self.values.iter().zip(&other.values);
        Self {
            width: self.width,
            values: values.map(|(a, b)| a * b).collect(),
        }
    }

    /// The mean under a separable window, at every place where it fits.
    fn blurred(&self, window: &[f64]) -> Self {
        let width = self.width + 1 - window.len();
        let height = self.height() + 1 - window.len();
        let mut along_rows = vec![0.0; self.height() * width];
        for (row, out) in self
            .values
            .chunks_exact(self.width)
            .zip(along_rows.chunks_exact_mut(width))
        {
            for (offset, weight) in window.iter().enumerate() {
                for (out, value) in out.iter_mut().zip(&row[offset..]) {
                    *out += weight * value;
                }
            }
        }
        let mut values = vec![0.0; height * width];
        for (y, out) in values.chunks_exact_mut(width).enumerate() {
            for (offset, weight) in window.iter().enumerate() {
                let row = &along_rows[(y + offset) * width..][..width];
                for (out, value) in out.iter_mut().zip(row) {
                    *out += weight * value;
                }
            }
        }
        Self { width, values }
    }

    /// Every second row and column.
    fn halved(&self) -> Self {
        let rows = self.values.chunks_exact(self.width).step_by(2);
        Self {
            width: self.width.div_ceil(2),
            values: rows
                .flat_map(|row| row.iter().step_by(2).copied())
                .collect(),
        }
    }
}

/// Eq. 14 of the paper with a Gaussian window in place of wavelet bands, `y` being its reference.
fn vif(mut x: Plane, mut y: Plane) -> f64 {
    let (mut of_x, mut of_y) = (0.0, 0.0);
    for (scale, side) in WINDOWS.into_iter().enumerate() {
        let window = gaussian(side, side as f64 / 5.0);
        if scale > 0 {
            (x, y) = (x.blurred(&window).halved(), y.blurred(&window).halved());
        }
        let blurred = |plane: &Plane| plane.blurred(&window);
        let (mean_x, mean_y) = (blurred(&x), blurred(&y));
        let [xx, yy, xy] = [(&x, &x), (&y, &y), (&x, &y)].map(|(a, b)| blurred(&a.times(b)));
        for i in 0..mean_x.values.len() {
            let (mean_x, mean_y) = (mean_x.values[i], mean_y.values[i]);
            let (x_part, y_part) = information(
                (xx.values[i] - mean_x * mean_x).max(0.0),
                (yy.values[i] - mean_y * mean_y).max(0.0),
                xy.values[i] - mean_x * mean_y,
            );
            of_x += x_part;
            of_y += y_part;
        }
    }
    (of_x + EPSILON) / (of_y + EPSILON)
}

/// What the eye learns at one place from `x` about the scene, and what from `y`, of their variances and covariance.
fn information(var_x: f64, var_y: f64, covariance: f64) -> (f64, f64) {
    let (mut gain, mut noise) = match () {
        () if var_x < EPSILON => (0.0, 0.0),
        () if var_y < EPSILON => (0.0, var_x),
        () => {
            let gain = covariance / (var_y + EPSILON);
            (gain, var_x - gain * covariance)
        }
    };
    if gain < 0.0 {
        (gain, noise) = (0.0, var_x);
    }
    let var_y = if var_y < EPSILON { 0.0 } else { var_y };
    let of_x = (1.0 + gain * gain * var_y / (noise.max(EPSILON) + NOISE)).log10();
    (of_x, (1.0 + var_y / NOISE).log10())
}

/// A Gaussian window of `side` weights whose sum is 1.
fn gaussian(side: usize, sigma: f64) -> Vec<f64> {
    let centre = (side - 1) as f64 / 2.0;
    let weight = |i| (-(i as f64 - centre).powi(2) / (2.0 * sigma * sigma)).exp();
    let total: f64 = (0..side).map(weight).sum();
    (0..side).map(|i| weight(i) / total).collect()
}
