//! What every plot has in common: a size, a drawing function, and two files.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use plotters::prelude::{DrawingBackend, IntoDrawingArea, SVGBackend};

use super::pen::{FINE, Pen};
use super::raster::Raster;
use crate::canvas::Canvas;
use crate::{Result, write_atomic};

/// How many pixels of a PNG file make a pixel as shown.
const DENSITY: u32 = 2;

/// A plot that can be drawn on any backend.
///
/// The plots of this crate are all there are: what they draw with, [`Pen`], shows its methods to them alone.
/// Lengths are in pixels of the picture as it is shown, from its upper left corner.
pub trait Figure {
    /// The size as shown, width and height.
    fn size(&self) -> (u32, u32);

    /// Draws the plot; the one function behind both files.
    ///
    /// # Errors
    ///
    /// [`Error::Empty`](crate::Error::Empty) if there is nothing to show,
    /// [`Error::Draw`](crate::Error::Draw) if the backend fails.
    fn draw<DB: DrawingBackend>(&self, pen: &Pen<DB>) -> Result<()>;

    /// The plot as an SVG document.
    ///
    /// # Errors
    ///
    /// As [`Figure::draw`].
    fn to_svg(&self) -> Result<String> {
        let (width, height) = self.size();
        let mut svg = String::new();
        let area =
            SVGBackend::with_string(&mut svg, (width * FINE, height * FINE)).into_drawing_area();
        self.draw(&Pen::new(&area)?)?;
        area.present()?;
        drop(area);
        // Drawn on a finer grid, since plotters knows whole coordinates only; shown at the size asked for.
        let fine = format!(
            "<svg width=\"{}\" height=\"{}\"",
            width * FINE,
            height * FINE
        );
        Ok(svg.replacen(
            &fine,
            &format!("<svg width=\"{width}\" height=\"{height}\""),
            1,
        ))
    }

    /// The plot as a PNG file, with two pixels for each as shown, so that it stays sharp in print.
    ///
    /// # Errors
    ///
    /// As [`Figure::draw`], and [`Error::Encode`](crate::Error::Encode).
    fn to_png(&self) -> Result<Vec<u8>> {
        let (width, height) = self.size();
        let mut canvas = Canvas::new((width * FINE) as usize, (height * FINE) as usize);
        let area = Raster {
            canvas: &mut canvas,
        }
        .into_drawing_area();
        self.draw(&Pen::new(&area)?)?;
        drop(area);
        canvas.reduced((FINE / DENSITY) as usize).to_png()
    }

    /// Writes `<stem>.svg` and `<stem>.png` and returns their paths.
    ///
    /// # Errors
    ///
    /// As [`Figure::to_svg`] and [`Figure::to_png`], and [`Error::Write`](crate::Error::Write).
    fn write(&self, stem: impl AsRef<Path>) -> Result<[PathBuf; 2]> {
        let svg = with_suffix(stem.as_ref(), ".svg");
        let png = with_suffix(stem.as_ref(), ".png");
        write_atomic(&svg, self.to_svg()?)?;
        write_atomic(&png, self.to_png()?)?;
        Ok([svg, png])
    }
}

/// The stem with a suffix put behind it, whatever dots it holds (`cifar10-v1.5`).
fn with_suffix(stem: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(stem);
    name.push(suffix);
    PathBuf::from(name)
}
