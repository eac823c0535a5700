//! Mean deviation similarity index (Nafchi et al. 2016), with piq's conventions. burn-train 0.22.1 has none.

use std::f64::consts::PI;

use burn::tensor::Tensor;

use super::{
    Similarity, View,
    maps::{mix, prewitt_magnitude, shrink_factor, similarity_map},
    mean_each,
    ssim::halve,
};
use crate::Error;

const NAME: &str = "mdsi";
/// Luminance and the two colour axes (ibid., for [0, 255]).
const LHM: [[f32; 3]; 3] = [
    [0.2989, 0.587, 0.114],
    [0.3, 0.04, -0.35],
    [0.34, -0.6, 0.17],
];
/// Constants of the gradients' similarities and of the colours' (ibid., for [0, 255]).
const C1: f64 = 140.0;
const C2: f64 = 55.0;
const C3: f64 = 550.0;
/// Share of the gradients' similarity.
const ALPHA: f64 = 0.6;
/// Power of the pooled maps and of the result.
const Q: f64 = 0.25;

/// `-MDSI`; grey images count as colour images of three equal channels.
pub const MDSI: Similarity = Similarity {
    name: NAME,
    summary: "mean deviation similarity index (gradients and colours)",
    range: "not above 0",
    needs_classifier: false,
    needs_weights: &[],
    score,
};

fn score(x: &View<'_>, y: &View<'_>) -> Result<Tensor<1>, Error> {
    let (x, y) = (axes(x)?, axes(y)?);
    let mean = (x[0].clone() + y[0].clone()) / 2.0;
    let [of_x, of_y, of_mean] = [x[0].clone(), y[0].clone(), mean].map(prewitt_magnitude);
    let gradients = similarity_map(of_x.clone(), of_y.clone(), C1)
        + similarity_map(of_x, of_mean.clone(), C2)
        - similarity_map(of_y, of_mean, C2);
    let [_, x_h, x_m] = x;
    let [_, y_h, y_m] = y;
    let products = x_h.clone() * y_h.clone() + x_m.clone() * y_m.clone();
    let squares = x_h.square() + x_m.square() + y_h.square() + y_m.square();
    let colours = (products * 2.0 + C3) / (squares + C3);
    Ok(-pooled(gradients * ALPHA + colours * (1.0 - ALPHA)))
}

/// The fourth root of the mean deviation of the maps' fourth roots, which are complex where a map is negative.
fn pooled(map: Tensor<4>) -> Tensor<1> {
    let [batch, ..] = map.dims();
    let modulus = map.clone().abs().powf_scalar(Q);
    let negative = map.lower_elem(0.0).float();
    let real = modulus.clone() * (negative.clone() * ((PI * Q).cos() - 1.0) + 1.0);
    let imaginary = modulus * negative * (PI * Q).sin();
    let deviation = |part: Tensor<4>| {
        let mean = mean_each(part.clone()).reshape([batch, 1, 1, 1]);
        (part - mean).square()
    };
    mean_each((deviation(real) + deviation(imaginary)).sqrt()).powf_scalar(Q)
}

/// The three axes on [0, 255], each `[batch, 1, h, w]`, of the image shrunk to a side near 256.
fn axes(view: &View<'_>) -> Result<[Tensor<4>; 3], Error> {
    let image = view.rgb(NAME)? * 255.0;
    let [_, _, height, width] = image.dims();
    let factor = shrink_factor(height, width);
    let (before, behind) = ((factor - 1) / 2, factor / 2);
    let image = halve(image.pad((before, behind, before, behind), 0.0), factor);
    Ok(LHM.map(|weights| mix(image.clone(), weights)))
}
