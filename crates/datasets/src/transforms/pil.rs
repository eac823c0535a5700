//! PIL's resize of 8-bit pictures, to the last bit.
//!
//! It always antialiases: where it shrinks, the filter grows with the factor. It works across, then down, each with
//! weights of 22 binary digits after the point, and rounds and clamps to 8 bits after each pass.

use std::borrow::Cow;

use super::Picture;
use crate::{Error, ImageShape, Result};

/// Binary digits after the point of a weight: 32, less 8 for the value, less 2 for sign and overshoot.
const PRECISION: u32 = 22;

/// The interpolation of a resize.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filter {
    /// A triangle.
    Bilinear,
    /// Keys' cubic with a = -0.5.
    Bicubic,
}

impl Filter {
    /// Half its width at factor 1.
    fn support(self) -> f64 {
        match self {
            Self::Bilinear => 1.0,
            Self::Bicubic => 2.0,
        }
    }

    /// Its value at a distance.
    fn at(self, distance: f64) -> f64 {
        const A: f64 = -0.5;
        let x = distance.abs();
        match self {
            Self::Bilinear if x < 1.0 => 1.0 - x,
            Self::Bicubic if x < 1.0 => ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0,
            Self::Bicubic if x < 2.0 => (((x - 5.0) * x + 8.0) * x - 4.0) * A,
            _ => 0.0,
        }
    }
}

/// The weights of all output positions: `reach` of them each, some of them 0 where fewer are needed.
struct Taps {
    /// The first input position of each output position.
    first: Vec<usize>,
    weights: Vec<i32>,
    reach: usize,
}

impl Taps {
    /// The first input position of each output position, and the weights from there on.
    fn iter(&self) -> impl Iterator<Item = (usize, &[i32])> {
        let weights = self.weights.chunks_exact(self.reach);
        self.first.iter().copied().zip(weights)
    }
}

/// Resizes a picture to `height` x `width` (PIL's `Image.resize`).
///
/// # Errors
///
/// [`Error::Invalid`] where a side is 0.
pub fn resize_to(
    picture: &Picture,
    height: usize,
    width: usize,
    filter: Filter,
) -> Result<Picture> {
    if height == 0 || width == 0 {
        return Err(Error::Invalid {
            what: "resize".into(),
            problem: format!("{height} x {width} has a side of 0"),
        });
    }
    let ImageShape {
        channels,
        height: rows,
        width: columns,
    } = picture.shape();
    let across = if width == columns {
        Cow::Borrowed(picture.pixels())
    } else {
        let taps = taps(columns, width, filter);
        let mut across = Vec::with_capacity(channels * rows * width);
        for line in picture.pixels().chunks_exact(columns) {
            across.extend(taps.iter().map(|(first, weights)| {
                let values = &line[first..first + weights.len()];
                let weighted = weights.iter().zip(values);
                rounded(HALF + weighted.map(|(w, &v)| w * i32::from(v)).sum::<i32>())
            }));
        }
        Cow::Owned(across)
    };
    let down = if height == rows {
        across.into_owned()
    } else {
        let taps = taps(rows, height, filter);
        let mut down = Vec::with_capacity(channels * height * width);
        let mut sums = vec![0; width];
        for plane in across.chunks_exact(rows * width) {
            for (first, weights) in taps.iter() {
                sums.fill(HALF);
                let lines = plane[first * width..].chunks_exact(width);
                for (weight, line) in weights.iter().zip(lines) {
                    for (sum, &value) in sums.iter_mut().zip(line) {
                        *sum += weight * i32::from(value);
                    }
                }
                down.extend(sums.iter().map(|&sum| rounded(sum)));
            }
        }
        down
    };
    Picture::new(
        ImageShape {
            channels,
            height,
            width,
        },
        down,
    )
}

/// Half a unit of the last place that is kept.
const HALF: i32 = 1 << (PRECISION - 1);

/// A weighted sum in 8 bits.
fn rounded(sum: i32) -> u8 {
    (sum >> PRECISION).clamp(0, 255) as u8
}

/// The weights of every output position when `input` values become `output`.
fn taps(input: usize, output: usize, filter: Filter) -> Taps {
    let scale = input as f64 / output as f64;
    let spread = scale.max(1.0);
    let support = filter.support() * spread;
    let ranges = (0..output).map(|position| {
        let centre = (position as f64 + 0.5) * scale;
        let first = (centre - support + 0.5).max(0.0) as usize;
        let end = ((centre + support + 0.5) as usize).min(input);
        (centre, first, end)
    });
    let reach = ranges.clone().map(|(_, first, end)| end - first).max();
    let reach = reach.unwrap_or(0);
    let mut taps = Taps {
        first: Vec::with_capacity(output),
        weights: vec![0; output * reach],
        reach,
    };
    let mut weights = Vec::with_capacity(reach);
    for ((centre, first, end), fixed) in ranges.zip(taps.weights.chunks_exact_mut(reach)) {
        weights.clear();
        weights.extend(
            (first..end).map(|place| filter.at((place as f64 - centre + 0.5) * (1.0 / spread))),
        );
        let sum: f64 = weights.iter().sum();
        // Weights of 0 may stand before the others, so that all of them lie within the input.
        let start = first.min(input - reach);
        for (fixed, weight) in fixed[first - start..].iter_mut().zip(&weights) {
            *fixed = (weight / sum * f64::from(1 << PRECISION)).round() as i32;
        }
        taps.first.push(start);
    }
    taps
}
