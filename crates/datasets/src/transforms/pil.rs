//! PIL's resize of 8-bit pictures, to the last bit.
//!
//! It always antialiases: where it shrinks, the filter grows with the factor. It works across, then down, each with
//! weights of 22 binary digits after the point, and rounds and clamps to 8 bits after each pass.

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

/// The weights of one output position: the first input position and a weight for each from there on.
struct Taps {
    first: usize,
    weights: Vec<i64>,
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
        picture.pixels().to_vec()
    } else {
        let taps = taps(columns, width, filter);
        let lines = picture.pixels().chunks(columns);
        lines
            .flat_map(|line| taps.iter().map(|taps| weigh(taps, |column| line[column])))
            .collect()
    };
    let down = if height == rows {
        across
    } else {
        let taps = taps(rows, height, filter);
        let mut down = Vec::with_capacity(channels * height * width);
        for plane in across.chunks(rows * width) {
            for taps in &taps {
                down.extend(
                    (0..width).map(|column| weigh(taps, |row| plane[row * width + column])),
                );
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

/// The weighted sum of the values that `taps` reach, in 8 bits.
fn weigh(taps: &Taps, value: impl Fn(usize) -> u8) -> u8 {
    let half = 1 << (PRECISION - 1);
    let weighted = taps
        .weights
        .iter()
        .zip(taps.first..)
        .map(|(weight, place)| weight * i64::from(value(place)));
    ((half + weighted.sum::<i64>()) >> PRECISION).clamp(0, 255) as u8
}

/// The weights of every output position when `input` values become `output`.
fn taps(input: usize, output: usize, filter: Filter) -> Vec<Taps> {
    let scale = input as f64 / output as f64;
    let spread = scale.max(1.0);
    let support = filter.support() * spread;
    (0..output)
        .map(|position| {
            let centre = (position as f64 + 0.5) * scale;
            let first = (centre - support + 0.5).max(0.0) as usize;
            let end = ((centre + support + 0.5) as usize).min(input);
            let weights: Vec<f64> = (first..end)
                .map(|place| filter.at((place as f64 - centre + 0.5) * (1.0 / spread)))
                .collect();
            let sum: f64 = weights.iter().sum();
            let fixed = |weight: f64| (weight / sum * f64::from(1 << PRECISION)).round() as i64;
            Taps {
                first,
                weights: weights.into_iter().map(fixed).collect(),
            }
        })
        .collect()
}
