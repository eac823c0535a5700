//! A small picture, and the difference of two.

use crate::palette::{Rgb, difference};
use crate::{Error, Result};

/// A small picture as it lies in memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tile {
    /// Width in pixels.
    pub width: usize,
    /// Height in pixels.
    pub height: usize,
    /// 1 for grey, 3 for red, green and blue.
    pub channels: usize,
    /// The pixels row by row from the upper left, the channels of a pixel beside each other.
    pub pixels: Vec<u8>,
}

/// How strong a difference is drawn, for the tiles and for the legend under a grid.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DifferenceScale {
    /// The difference that is drawn darkest, as a share of the full range from black to white; in `(0, 1]`.
    pub full: f64,
}

impl Default for DifferenceScale {
    /// Darkest from half the range on, as differences of natural pictures seldom go beyond.
    fn default() -> Self {
        Self { full: 0.5 }
    }
}

impl Tile {
    /// A tile from its parts.
    ///
    /// # Errors
    ///
    /// [`Error::Shape`] if it is empty, has neither one nor three channels, or if the number of pixels is wrong.
    pub fn new(width: usize, height: usize, channels: usize, pixels: Vec<u8>) -> Result<Self> {
        let tile = Self {
            width,
            height,
            channels,
            pixels,
        };
        tile.check()?;
        Ok(tile)
    }

    /// A tile from a network's values `[channel, height, width]`, where `range` is black to white: `(0.0, 1.0)`
    /// or `(-1.0, 1.0)`. Values beyond it are cut off, what is no number becomes black.
    ///
    /// # Errors
    ///
    /// As [`Tile::new`].
    pub fn from_planes(
        channels: usize,
        height: usize,
        width: usize,
        values: &[f32],
        range: (f32, f32),
    ) -> Result<Self> {
        let (low, high) = range;
        let byte = |value: f32| ((value - low) / (high - low) * 255.0).round() as u8;
        let area = width * height;
        if values.len() != channels * area {
            return Err(shape(width, height, channels, values.len()));
        }
        let pixels = (0..area)
            .flat_map(|i| (0..channels).map(move |c| c * area + i))
            .map(|i| byte(values[i]))
            .collect();
        Self::new(width, height, channels, pixels)
    }

    /// The absolute difference of two tiles, averaged over the channels, from white (none) to dark red (`scale`
    /// and more); the range is fixed, so that tiles can be compared with each other.
    ///
    /// # Errors
    ///
    /// [`Error::Shape`] if the tiles are malformed or of different shapes, or if the scale is not in `(0, 1]`.
    pub fn difference(a: &Self, b: &Self, scale: DifferenceScale) -> Result<Self> {
        a.check()?;
        b.check()?;
        scale.check()?;
        if (a.width, a.height, a.channels) != (b.width, b.height, b.channels) {
            return Err(Error::Shape(format!(
                "the difference of tiles needs equal shapes, not {}x{}x{} and {}x{}x{}",
                a.width, a.height, a.channels, b.width, b.height, b.channels
            )));
        }
        let pixels = a
            .pixels
            .chunks(a.channels)
            .zip(b.pixels.chunks(a.channels))
            .flat_map(|(a, b)| {
                let sum: u32 = a
                    .iter()
                    .zip(b)
                    .map(|(&a, &b)| u32::from(a.abs_diff(b)))
                    .sum();
                let share = f64::from(sum) / (255.0 * a.len() as f64);
                let Rgb(red, green, blue) = difference(share / scale.full);
                [red, green, blue]
            });
        Self::new(a.width, a.height, 3, pixels.collect())
    }

    /// The colour at a place; grey is spread over the three channels.
    pub(crate) fn colour(&self, x: usize, y: usize) -> Rgb {
        let start = (y * self.width + x) * self.channels;
        match self.pixels[start..start + self.channels] {
            [red, green, blue] => Rgb(red, green, blue),
            [grey, ..] => Rgb(grey, grey, grey),
            [] => Rgb(0, 0, 0),
        }
    }

    pub(crate) fn check(&self) -> Result<()> {
        let fits = self.pixels.len() == self.width * self.height * self.channels;
        if !fits || self.pixels.is_empty() || ![1, 3].contains(&self.channels) {
            return Err(shape(
                self.width,
                self.height,
                self.channels,
                self.pixels.len(),
            ));
        }
        Ok(())
    }
}

impl DifferenceScale {
    pub(crate) fn check(self) -> Result<()> {
        if self.full > 0.0 && self.full <= 1.0 {
            return Ok(());
        }
        Err(Error::Shape(format!(
            "the full difference must be above 0 and at most 1, not {}",
            self.full
        )))
    }
}

fn shape(width: usize, height: usize, channels: usize, values: usize) -> Error {
    Error::Shape(format!(
        "a tile of {width}x{height} pixels with {channels} channels cannot hold {values} values: it needs one or \
         three channels and width * height * channels values"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn planes_are_interleaved_and_cut_off() {
        let values = [-1.0, 1.0, 0.0, 9.0, f32::NAN, -9.0];
        let tile = Tile::from_planes(3, 1, 2, &values, (-1.0, 1.0)).unwrap();
        assert_eq!(tile.pixels, [0, 128, 0, 255, 255, 0]);
        assert!(Tile::from_planes(3, 1, 2, &values[1..], (-1.0, 1.0)).is_err());
        assert!(Tile::new(1, 1, 2, vec![0, 0]).is_err());
    }

    #[test]
    fn differences_run_from_white_to_dark_red() {
        let a = Tile::new(2, 1, 1, vec![10, 0]).unwrap();
        let b = Tile::new(2, 1, 1, vec![10, 255]).unwrap();
        let tile = Tile::difference(&a, &b, DifferenceScale::default()).unwrap();
        assert_eq!(tile.pixels, [255, 255, 255, 80, 0, 10]);
        let rgb = Tile::new(1, 1, 3, vec![0; 3]).unwrap();
        assert!(Tile::difference(&a, &rgb, DifferenceScale::default()).is_err());
        assert!(Tile::difference(&a, &b, DifferenceScale { full: 0.0 }).is_err());
    }
}
