//! Panels of one size in rows and columns, under a title and over a legend.

use plotters::prelude::DrawingBackend;

use super::axes::TITLE;
use super::legend::Below;
use super::pen::{HPos, Pen, Rect, VPos};
use crate::Result;

const MARGIN: f64 = 20.0;
const GAP: f64 = 18.0;
/// Room for the title over the panels.
const HEAD: f64 = 34.0;

/// How the panels of a figure stand.
pub(super) struct Panels {
    count: usize,
    columns: usize,
    /// Size of a panel.
    width: f64,
    height: f64,
}

impl Panels {
    /// So many panels of a size, in at most three columns; a single panel takes the size of `single`.
    pub(super) fn new(count: usize, panel: (f64, f64), single: (f64, f64)) -> Self {
        let columns = match count {
            0 | 1 => 1,
            2 | 4 => 2,
            _ => 3,
        };
        let (width, height) = if count <= 1 { single } else { panel };
        Self {
            count: count.max(1),
            columns,
            width,
            height,
        }
    }

    fn rows(&self) -> usize {
        self.count.div_ceil(self.columns)
    }

    /// The width between the figure's margins.
    pub(super) fn inner_width(&self) -> f64 {
        self.columns as f64 * (self.width + GAP) - GAP
    }

    fn height(&self) -> f64 {
        self.rows() as f64 * (self.height + GAP) - GAP
    }

    /// The size of the whole figure.
    pub(super) fn size(&self, title: &str, legend: Option<&Below>) -> (u32, u32) {
        let inner = self.inner_width().max(TITLE.width(title));
        let inner = inner.max(legend.map_or(0.0, Below::width));
        let legend = legend.map_or(0.0, |legend| legend.height() + GAP);
        let size = |length: f64| length.ceil() as u32;
        (
            size(inner + 2.0 * MARGIN),
            size(MARGIN + HEAD + self.height() + legend + MARGIN),
        )
    }

    /// Draws the title and the legend, and returns the panels' places.
    pub(super) fn frame<DB: DrawingBackend>(
        &self,
        pen: &Pen<DB>,
        title: &str,
        legend: Option<&Below>,
    ) -> Result<Vec<Rect>> {
        pen.text(title, (MARGIN, MARGIN), (HPos::Left, VPos::Top), TITLE)?;
        let top = MARGIN + HEAD;
        if let Some(legend) = legend {
            legend.draw(pen, (MARGIN, top + self.height() + GAP))?;
        }
        let place = |i: usize| {
            let left = MARGIN + (i % self.columns) as f64 * (self.width + GAP);
            let top = top + (i / self.columns) as f64 * (self.height + GAP);
            Rect {
                left,
                top,
                right: left + self.width,
                bottom: top + self.height,
            }
        };
        Ok((0..self.count).map(place).collect())
    }
}
