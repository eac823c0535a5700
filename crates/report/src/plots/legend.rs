//! Which line is which.

use plotters::prelude::DrawingBackend;

use super::pen::{HPos, Line, Pen, Point, Rect, Type, VPos};
use crate::Result;
use crate::palette::{BLACK, FRAME, Marker, WHITE};

const LABEL: Type = Type::regular(13.0, BLACK);
/// Length of the piece of line beside a label.
const SAMPLE: f64 = 34.0;
/// Between a sample and its label.
const SPACE: f64 = 7.0;
/// Between entries side by side.
const GAP: f64 = 24.0;
/// Height of a row of entries.
const ROW: f64 = 21.0;
/// Between the frame of a legend and its entries.
const PADDING: f64 = 8.0;

/// One entry: a sample of the line and what it stands for.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) label: String,
    pub(super) line: Line,
    pub(super) marker: Option<Marker>,
}

impl Entry {
    fn width(&self) -> f64 {
        SAMPLE + SPACE + LABEL.width(&self.label)
    }

    fn draw<DB: DrawingBackend>(&self, pen: &Pen<DB>, (x, y): Point) -> Result<()> {
        pen.line(&[(x, y), (x + SAMPLE, y)], self.line)?;
        if let Some(marker) = self.marker {
            pen.marker((x + SAMPLE / 2.0, y), marker, 8.0, self.line.colour)?;
        }
        pen.text(
            &self.label,
            (x + SAMPLE + SPACE, y),
            (HPos::Left, VPos::Center),
            LABEL,
        )
    }
}

/// A legend that runs in rows under a figure.
pub(super) struct Below {
    rows: Vec<Vec<Entry>>,
}

impl Below {
    /// Breaks `entries` into rows no wider than `width`, where an entry alone does not pass it.
    pub(super) fn new(entries: Vec<Entry>, width: f64) -> Self {
        let mut rows: Vec<Vec<Entry>> = Vec::new();
        let mut taken = f64::INFINITY;
        for entry in entries {
            let needed = entry.width() + GAP;
            if taken + needed - GAP > width {
                rows.push(Vec::new());
                taken = 0.0;
            }
            taken += needed;
            if let Some(row) = rows.last_mut() {
                row.push(entry);
            }
        }
        Self { rows }
    }

    /// The width of its widest row.
    pub(super) fn width(&self) -> f64 {
        let width =
            |row: &Vec<Entry>| row.iter().map(|entry| entry.width() + GAP).sum::<f64>() - GAP;
        self.rows.iter().map(width).fold(0.0, f64::max)
    }

    /// The height it takes.
    pub(super) fn height(&self) -> f64 {
        self.rows.len() as f64 * ROW
    }

    /// Draws it with its upper left corner at a place.
    pub(super) fn draw<DB: DrawingBackend>(&self, pen: &Pen<DB>, (left, top): Point) -> Result<()> {
        for (i, row) in self.rows.iter().enumerate() {
            let mut x = left;
            for entry in row {
                entry.draw(pen, (x, top + (i as f64 + 0.5) * ROW))?;
                x += entry.width() + GAP;
            }
        }
        Ok(())
    }
}

/// Draws a framed legend into the lower right corner of `plane`, under a heading unless that is empty.
pub(super) fn inside<DB: DrawingBackend>(
    pen: &Pen<DB>,
    plane: Rect,
    heading: &str,
    entries: &[Entry],
) -> Result<()> {
    let (width, height) = inside_size(entries);
    let head = if heading.is_empty() { 0.0 } else { ROW };
    let height = height + head;
    let (right, bottom) = (plane.right - 10.0, plane.bottom - 10.0);
    let rect = Rect {
        left: right - width,
        top: bottom - height,
        right,
        bottom,
    };
    pen.rectangle(rect, WHITE, 0.9)?;
    pen.frame(rect, Line::solid(0.67, FRAME))?;
    let (left, top) = (rect.left + PADDING, rect.top + PADDING + head);
    pen.text(
        heading,
        (right - PADDING, top - 0.5 * ROW),
        (HPos::Right, VPos::Center),
        LABEL,
    )?;
    for (i, entry) in entries.iter().enumerate() {
        entry.draw(pen, (left, top + (i as f64 + 0.5) * ROW))?;
    }
    Ok(())
}

/// The width and height of the legend that [`inside`] draws without a heading.
pub(super) fn inside_size(entries: &[Entry]) -> (f64, f64) {
    let width = entries.iter().map(Entry::width).fold(0.0, f64::max);
    (
        width + 2.0 * PADDING,
        entries.len() as f64 * ROW + 2.0 * PADDING,
    )
}
