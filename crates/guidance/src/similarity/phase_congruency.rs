//! Phase congruency by log-Gabor filters (Kovesi 1999), as FSIM uses it and with piq's conventions.

use std::f64::consts::{LN_2, PI};
use std::sync::Arc;

use rustfft::{Fft, FftPlanner, num_complex::Complex};

/// Smallest side of an image.
pub(super) const SMALLEST_SIDE: usize = 2;
const SCALES: usize = 4;
const ORIENTATIONS: usize = 4;
/// Wavelength of the finest filter in pixels; each next one is twice as long.
const SHORTEST_WAVE: f64 = 6.0;
/// Bandwidth: deviation of a filter's Gaussian over its centre frequency.
const SIGMA_F: f64 = 0.55;
/// Angle between orientations over the deviation of the angular Gaussian.
const DELTA_THETA: f64 = 1.2;
/// Cut-off and order of the low pass that every filter is multiplied by.
const CUTOFF: f64 = 0.45;
const ORDER: i32 = 15;
/// Noise threshold in standard deviations above the mean, and what the estimate is too large by.
const K: f64 = 2.0;
const OVERESTIMATE: f64 = 1.7;
/// Single precision's, as the reference has it: it decides the value of flat images.
const EPSILON: f64 = f32::EPSILON as f64;

/// The filters for images of one size, in the frequency domain with the origin in the first corner.
pub(super) struct LogGabor {
    transform: Transform,
    orientations: Vec<Orientation>,
}

struct Orientation {
    /// From the finest to the coarsest.
    filters: Vec<Vec<f64>>,
    /// Noise threshold of an image whose median squared response to the finest filter is 1; it grows with the root.
    threshold: f64,
}

impl LogGabor {
    pub(super) fn new(height: usize, width: usize) -> Self {
        let transform = Transform::new(height, width);
        let (rows, columns) = (frequencies(height), frequencies(width));
        // The reference has its x along the rows of an image.
        let polar: Vec<(f64, f64)> = rows
            .iter()
            .flat_map(|&x| columns.iter().map(move |&y| (x.hypot(y), (-y).atan2(x))))
            .collect();
        let radial: Vec<Vec<f64>> = (0..SCALES as i32)
            .map(|scale| {
                let centre = 1.0 / (SHORTEST_WAVE * 2f64.powi(scale));
                let band = |radius: f64| {
                    let low_pass = 1.0 / (1.0 + (radius / CUTOFF).powi(2 * ORDER));
                    let octaves = (radius / centre).ln() / SIGMA_F.ln();
                    (-0.5 * octaves * octaves).exp() * low_pass
                };
                let mut filter: Vec<f64> = polar.iter().map(|&(radius, _)| band(radius)).collect();
                filter[0] = 0.0;
                filter
            })
            .collect();
        let deviation = PI / (ORIENTATIONS as f64 * DELTA_THETA);
        let orientations = (0..ORIENTATIONS)
            .map(|orientation| {
                let angle = orientation as f64 * PI / ORIENTATIONS as f64;
                let spread: Vec<f64> = polar
                    .iter()
                    .map(|&(_, theta)| {
                        let off = (theta - angle).sin().atan2((theta - angle).cos());
                        (-0.5 * (off / deviation).powi(2)).exp()
                    })
                    .collect();
                let filters = radial
                    .iter()
                    .map(|radial| radial.iter().zip(&spread).map(|(r, s)| r * s).collect())
                    .collect();
                Orientation::new(filters, &transform)
            })
            .collect();
        Self {
            transform,
            orientations,
        }
    }

    /// Phase congruency in [0, 1] at each pixel of a grey image on [0, 255].
    pub(super) fn phase_congruency(&self, image: &[f64]) -> Vec<f64> {
        let mut spectrum: Vec<Complex<f64>> = image.iter().map(|&v| v.into()).collect();
        self.transform.forward(&mut spectrum);
        let (mut energy, mut amplitude) = (vec![0.0; image.len()], vec![0.0; image.len()]);
        for orientation in &self.orientations {
            let responses: Vec<Vec<Complex<f64>>> = orientation
                .filters
                .iter()
                .map(|filter| {
                    let mut response: Vec<_> =
                        spectrum.iter().zip(filter).map(|(s, f)| s * f).collect();
                    self.transform.inverse(&mut response);
                    response
                })
                .collect();
            let squares = responses[0].iter().map(Complex::norm_sqr).collect();
            let threshold = orientation.threshold * lower_median(squares).sqrt();
            for i in 0..image.len() {
                let at = || responses.iter().map(|response| response[i]);
                let sum: Complex<f64> = at().sum();
                let mean = sum / (sum.norm() + EPSILON);
                // Even and odd parts are real and imaginary: the dot product less the cross product's length.
                let aligned = at().map(|r| {
                    r.re * mean.re + r.im * mean.im - (r.re * mean.im - r.im * mean.re).abs()
                });
                energy[i] += (aligned.sum::<f64>() - threshold).max(0.0);
                amplitude[i] += at().map(|r| r.norm_sqr().sqrt()).sum::<f64>();
            }
        }
        let ratio = |(energy, amplitude)| (energy + EPSILON) / (amplitude + EPSILON);
        energy.into_iter().zip(amplitude).map(ratio).collect()
    }
}

impl Orientation {
    fn new(filters: Vec<Vec<f64>>, transform: &Transform) -> Self {
        let pixels = filters[0].len() as f64;
        // The real parts of the filters in space, times the root of the number of pixels.
        let in_space: Vec<Vec<f64>> = filters
            .iter()
            .map(|filter| {
                let mut values: Vec<Complex<f64>> = filter.iter().map(|&v| v.into()).collect();
                transform.inverse(&mut values);
                values.iter().map(|v| v.re * pixels.sqrt()).collect()
            })
            .collect();
        let product = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        let (mut squares, mut products) = (0.0, 0.0);
        for (i, one) in in_space.iter().enumerate() {
            squares += product(one, one);
            products += in_space[i + 1..]
                .iter()
                .map(|other| product(one, other))
                .sum::<f64>();
        }
        // The median of a chi-squared variable with two degrees of freedom is ln 2 of its mean.
        let noise_power = 1.0 / LN_2 / product(&filters[0], &filters[0]);
        let rayleigh = (noise_power * (squares + 2.0 * products)).sqrt();
        let mean = rayleigh * (PI / 2.0).sqrt();
        let deviation = rayleigh * (2.0 - PI / 2.0).sqrt();
        Self {
            filters,
            threshold: (mean + K * deviation) / OVERESTIMATE,
        }
    }
}

/// Frequencies along an axis, the zero first, in cycles a pixel; of odd lengths they end at one half, too.
fn frequencies(length: usize) -> Vec<f64> {
    let half = length / 2;
    let step = 1.0 / (length - length % 2) as f64;
    (0..length)
        .map(|i| ((i + half) % length) as f64 - half as f64)
        .map(|offset| offset * step)
        .collect()
}

/// The median, or the smaller of the two middle values.
fn lower_median(mut values: Vec<f64>) -> f64 {
    let middle = (values.len() - 1) / 2;
    *values.select_nth_unstable_by(middle, f64::total_cmp).1
}

/// Fourier transforms of images of one size.
struct Transform {
    height: usize,
    width: usize,
    rows: [Arc<dyn Fft<f64>>; 2],
    columns: [Arc<dyn Fft<f64>>; 2],
}

impl Transform {
    fn new(height: usize, width: usize) -> Self {
        let mut planner = FftPlanner::new();
        let mut both = |length| {
            [
                planner.plan_fft_forward(length),
                planner.plan_fft_inverse(length),
            ]
        };
        Self {
            height,
            width,
            rows: both(width),
            columns: both(height),
        }
    }

    fn forward(&self, values: &mut [Complex<f64>]) {
        self.both_axes(values, 0);
    }

    fn inverse(&self, values: &mut [Complex<f64>]) {
        self.both_axes(values, 1);
        let scale = 1.0 / values.len() as f64;
        values.iter_mut().for_each(|value| *value *= scale);
    }

    fn both_axes(&self, values: &mut [Complex<f64>], direction: usize) {
        self.rows[direction].process(values);
        let mut columns = transposed(values, self.width);
        self.columns[direction].process(&mut columns);
        values.copy_from_slice(&transposed(&columns, self.height));
    }
}

fn transposed(values: &[Complex<f64>], width: usize) -> Vec<Complex<f64>> {
    (0..width)
        .flat_map(|column| values[column..].iter().step_by(width).copied())
        .collect()
}
