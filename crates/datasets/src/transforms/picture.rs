//! One picture of 8-bit values.

use std::path::Path;

use crate::{Error, ImageShape, Result, decode};

/// A picture, `[channel, height, width]`, no side of which is 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    shape: ImageShape,
    pixels: Vec<u8>,
}

impl Picture {
    /// Takes planar values `[channel, height, width]`.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] where they do not fit the shape, or the shape is empty.
    pub fn new(shape: ImageShape, pixels: Vec<u8>) -> Result<Self> {
        if shape.is_empty() || shape.len() != pixels.len() {
            return Err(Error::Invalid {
                what: "picture".into(),
                problem: format!(
                    "{shape:?} does not fit {} values, or has a side of 0",
                    pixels.len()
                ),
            });
        }
        Ok(Self { shape, pixels })
    }

    /// Takes values `[height, width, channel]`, as image files have them.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    pub fn from_interleaved(shape: ImageShape, values: &[u8]) -> Result<Self> {
        if shape.channels != 3 || !values.len().is_multiple_of(3) {
            let plane = |channel| values.iter().skip(channel).step_by(shape.channels).copied();
            let pixels = (0..shape.channels).flat_map(plane).collect();
            return Self::new(shape, pixels);
        }
        let size = values.len() / 3;
        let mut pixels = vec![0; values.len()];
        let (red, others) = pixels.split_at_mut(size);
        let (green, blue) = others.split_at_mut(size);
        for (((pixel, red), green), blue) in values
            .as_chunks::<3>()
            .0
            .iter()
            .zip(red)
            .zip(green)
            .zip(blue)
        {
            [*red, *green, *blue] = *pixel;
        }
        Self::new(shape, pixels)
    }

    /// Reads a PNG or JPEG file as three colours (see [`decode::rgb`]).
    ///
    /// # Errors
    ///
    /// [`Error::Io`], or [`Error::Format`] where it cannot be decoded.
    pub fn read(path: &Path) -> Result<Self> {
        let bytes = std::fs::read(path).map_err(Error::io(path, "read the image"))?;
        decode::rgb(&bytes, path, "image")
    }

    /// Its size.
    pub fn shape(&self) -> ImageShape {
        self.shape
    }

    /// The values, `[channel, height, width]`.
    pub fn pixels(&self) -> &[u8] {
        &self.pixels
    }

    /// The values, `[channel, height, width]`.
    pub fn into_pixels(self) -> Vec<u8> {
        self.pixels
    }
}
