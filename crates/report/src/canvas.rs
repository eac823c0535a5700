//! A picture in memory that can be painted on and saved as PNG.

use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::{ExtendedColorType, ImageEncoder};

use crate::Result;
use crate::palette::{Rgb, WHITE};
use crate::text::{self, Weight};

/// An RGB picture, white at first. Whatever is painted outside it is dropped.
#[derive(Clone)]
pub(crate) struct Canvas {
    width: usize,
    height: usize,
    pixels: Vec<Rgb>,
}

impl Canvas {
    pub(crate) fn new(width: usize, height: usize) -> Self {
        Self {
            width,
            height,
            pixels: vec![WHITE; width * height],
        }
    }

    pub(crate) fn size(&self) -> (usize, usize) {
        (self.width, self.height)
    }

    /// Lays `colour` over a pixel with an opacity in `[0, 1]`.
    pub(crate) fn blend(&mut self, x: i32, y: i32, colour: Rgb, opacity: f64) {
        let (Ok(x), Ok(y)) = (usize::try_from(x), usize::try_from(y)) else {
            return;
        };
        if x < self.width && y < self.height {
            let pixel = &mut self.pixels[y * self.width + x];
            *pixel = if opacity >= 1.0 {
                colour
            } else {
                crate::palette::mix(*pixel, colour, opacity)
            };
        }
    }

    /// Fills the pixels from `x` to `x + width` and `y` to `y + height`, the ends not included.
    pub(crate) fn rectangle(
        &mut self,
        (x, y): (i32, i32),
        (width, height): (i32, i32),
        colour: Rgb,
    ) {
        for y in y..y + height {
            for x in x..x + width {
                self.blend(x, y, colour, 1.0);
            }
        }
    }

    /// Writes text from left to right with the baseline starting at `(x, y)`.
    pub(crate) fn text(
        &mut self,
        text: &str,
        em: f64,
        weight: Weight,
        at: (f64, f64),
        colour: Rgb,
    ) {
        text::rasterise(text, em, weight, at, |x, y, coverage| {
            self.blend(x, y, colour, f64::from(coverage));
        });
    }

    /// The picture at `1 / factor` of its size, each pixel the mean of `factor * factor`.
    pub(crate) fn reduced(&self, factor: usize) -> Self {
        let mut reduced = Self::new(self.width / factor, self.height / factor);
        let count = (factor * factor) as u32;
        for (i, pixel) in reduced.pixels.iter_mut().enumerate() {
            let (left, top) = (i % reduced.width * factor, i / reduced.width * factor);
            let mut sum = [0u32; 3];
            for y in top..top + factor {
                for &Rgb(r, g, b) in &self.pixels[y * self.width + left..][..factor] {
                    sum[0] += u32::from(r);
                    sum[1] += u32::from(g);
                    sum[2] += u32::from(b);
                }
            }
            let [r, g, b] = sum.map(|sum| ((sum + count / 2) / count) as u8);
            *pixel = Rgb(r, g, b);
        }
        reduced
    }

    pub(crate) fn to_png(&self) -> Result<Vec<u8>> {
        let bytes: Vec<u8> = self
            .pixels
            .iter()
            .flat_map(|&Rgb(r, g, b)| [r, g, b])
            .collect();
        let mut png = Vec::new();
        PngEncoder::new_with_quality(&mut png, CompressionType::Best, FilterType::Adaptive)
            .write_image(
                &bytes,
                self.width as u32,
                self.height as u32,
                ExtendedColorType::Rgb8,
            )?;
        Ok(png)
    }
}
