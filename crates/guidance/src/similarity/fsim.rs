//! Feature similarity (Zhang et al. 2011), with piq's conventions. burn-train 0.22.1 has none. Phase congruency needs
//! Fourier transforms, so this is computed on the host, in double precision, an image a thread.

use burn::tensor::{Tensor, TensorData};
use rayon::prelude::*;

use super::{
    Similarity, View,
    maps::shrink_factor,
    phase_congruency::{LogGabor, SMALLEST_SIDE},
    ssim::halve,
};
use crate::Error;

const NAME: &str = "fsim";
const GREY: &str = "fsim-grey";
/// Constants of the four similarities: phase congruency, gradient, I and Q (ibid., for [0, 255]).
const T1: f64 = 0.85;
const T2: f64 = 160.0;
const T3: f64 = 200.0;
const T4: f64 = 200.0;
/// Power of the colours' similarity.
const LAMBDA: f64 = 0.03;
/// RGB to YIQ.
const YIQ: [[f64; 3]; 3] = [
    [0.299, 0.587, 0.114],
    [0.5959, -0.2746, -0.3213],
    [0.2115, -0.5227, 0.3112],
];

/// FSIMc of colour images, FSIM of grey ones.
pub const FSIM: Similarity = Similarity {
    name: NAME,
    summary: "feature similarity: phase congruency, gradients, and colours where there are any",
    range: "0 to 1",
    needs_classifier: false,
    needs_weights: &[],
    score: |x, y| scores(x, y, NAME, true),
};

/// FSIM of the luma alone.
pub const FSIM_GREY: Similarity = Similarity {
    name: GREY,
    summary: "feature similarity of the luma alone",
    range: "0 to 1",
    needs_classifier: false,
    needs_weights: &[],
    score: |x, y| scores(x, y, GREY, false),
};

/// What FSIM compares of one image; every map row by row.
pub(super) struct Features {
    phase_congruency: Vec<f64>,
    gradient: Vec<f64>,
    /// I and Q.
    colours: Option<[Vec<f64>; 2]>,
}

fn scores(
    x: &View<'_>,
    y: &View<'_>,
    wanted_by: &'static str,
    chromatic: bool,
) -> Result<Tensor<1>, Error> {
    let scores: Vec<f32> = x
        .fsim_features(wanted_by)?
        .par_iter()
        .zip(y.fsim_features(wanted_by)?)
        .map(|(x, y)| compare(x, y, chromatic).clamp(0.0, 1.0) as f32)
        .collect();
    let shape = [scores.len()];
    Ok(Tensor::from_data(
        TensorData::new(scores, shape),
        &x.image().device(),
    ))
}

fn compare(x: &Features, y: &Features, chromatic: bool) -> f64 {
    let alike = |x: f64, y: f64, c: f64| (2.0 * x * y + c) / (x * x + y * y + c);
    let (mut total, mut weights) = (0.0, 0.0);
    for i in 0..x.gradient.len() {
        let (phase_x, phase_y) = (x.phase_congruency[i], y.phase_congruency[i]);
        let weight = phase_x.max(phase_y);
        let mut score =
            alike(phase_x, phase_y, T1) * alike(x.gradient[i], y.gradient[i], T2) * weight;
        if chromatic && let (Some([xi, xq]), Some([yi, yq])) = (&x.colours, &y.colours) {
            let colours = alike(xi[i], yi[i], T3) * alike(xq[i], yq[i], T4);
            score *= colours.abs().powf(LAMBDA);
        }
        total += score;
        weights += weight;
    }
    total / weights
}

/// The features of each image of a batch, shrunk to a side near 256 first.
pub(super) fn features(view: &View<'_>, wanted_by: &'static str) -> Result<Vec<Features>, Error> {
    let image = view.unit_image() * 255.0;
    let [_, channels, height, width] = image.dims();
    if channels != 1 && channels != 3 {
        return Err(Error::Similarity {
            name: wanted_by,
            reason: format!("images of {channels} channels; it needs 1 or 3"),
        });
    }
    let image = halve(image, shrink_factor(height, width));
    let [_, _, height, width] = image.dims();
    if height.min(width) < SMALLEST_SIDE {
        return Err(Error::Similarity {
            name: wanted_by,
            reason: format!(
                "images of {height}x{width} pixels; it needs at least {SMALLEST_SIDE} on each side"
            ),
        });
    }
    let values: Vec<f64> = image.into_data().iter::<f64>().collect();
    let filters = LogGabor::new(height, width);
    Ok(values
        .par_chunks_exact(channels * height * width)
        .map(|image| {
            let channels: Vec<&[f64]> = image.chunks_exact(height * width).collect();
            let mixed = |weights: [f64; 3]| -> Vec<f64> {
                (0..height * width)
                    .map(|i| weights.iter().zip(&channels).map(|(w, c)| w * c[i]).sum())
                    .collect()
            };
            let (luma, colours) = match channels.len() {
                1 => (channels[0].to_vec(), None),
                _ => (mixed(YIQ[0]), Some([mixed(YIQ[1]), mixed(YIQ[2])])),
            };
            Features {
                phase_congruency: filters.phase_congruency(&luma),
                gradient: scharr_magnitude(&luma, width),
                colours,
            }
        })
        .collect())
}

/// Length of the Scharr gradient, zeros around the image.
fn scharr_magnitude(plane: &[f64], width: usize) -> Vec<f64> {
    let height = plane.len() / width;
    let at = |y: isize, x: isize| {
        let inside = y >= 0 && x >= 0 && y < height as isize && x < width as isize;
        if inside {
            plane[y as usize * width + x as usize]
        } else {
            0.0
        }
    };
    (0..plane.len())
        .map(|i| {
            let (y, x) = ((i / width) as isize, (i % width) as isize);
            let [mut across, mut down] = [0.0; 2];
            for (offset, weight) in [(-1, 3.0), (0, 10.0), (1, 3.0)] {
                across += weight * (at(y + offset, x + 1) - at(y + offset, x - 1));
                down += weight * (at(y + 1, x + offset) - at(y - 1, x + offset));
            }
            (across / 16.0).hypot(down / 16.0)
        })
        .collect()
}
