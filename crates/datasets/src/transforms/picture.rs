//! One picture of 8-bit values.

use std::path::Path;

use image::ImageReader;

use crate::{Error, ImageShape, Result};

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
        let pixels = (0..shape.channels)
            .flat_map(|channel| values.iter().skip(channel).step_by(shape.channels).copied())
            .collect();
        Self::new(shape, pixels)
    }

    /// Reads a PNG or JPEG file as three colours; grey becomes three equal ones, transparency is dropped.
    ///
    /// # Errors
    ///
    /// [`Error::Io`], or [`Error::Format`] where it cannot be decoded.
    pub fn read(path: &Path) -> Result<Self> {
        let reader = ImageReader::open(path).map_err(Error::io(path, "open the image"))?;
        let reader = reader
            .with_guessed_format()
            .map_err(Error::io(path, "read the image"))?;
        let decoded = reader.decode().map_err(|error| {
            let mend = "unpack the data set's archive again; PNG and JPEG are read";
            Error::format(path, "image", error.to_string(), mend)
        })?;
        let decoded = decoded.into_rgb8();
        let (width, height) = (decoded.width() as usize, decoded.height() as usize);
        Self::from_interleaved(
            ImageShape {
                channels: 3,
                height,
                width,
            },
            decoded.as_raw(),
        )
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
