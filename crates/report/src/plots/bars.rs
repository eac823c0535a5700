//! One number a method, with its confidence interval, as horizontal bars.

use plotters::prelude::DrawingBackend;

use super::axes::{Axis, PANEL, TICK, TITLE};
use super::figure::Figure;
use super::pen::{HPos, Line, Pen, Point, Rect, Type, VPos};
use crate::format::fixed;
use crate::palette::{BLACK, BLUE, FRAME, GRID, Rgb, SOFT, WHITE, mix};
use crate::{Error, Result};

/// Bars under headings.
#[derive(Debug, Clone, PartialEq)]
pub struct BarPlot {
    /// The figure's title.
    pub title: String,
    /// What the bars measure, such as `AUROC`.
    pub measure: String,
    /// The groups from top to bottom, such as the near and the far average.
    pub groups: Vec<BarGroup>,
    /// The order of the bars within each group.
    pub order: BarOrder,
}

/// Bars that belong together.
#[derive(Debug, Clone, PartialEq)]
pub struct BarGroup {
    /// The heading over them.
    pub heading: String,
    /// The bars.
    pub bars: Vec<Bar>,
}

/// One bar.
#[derive(Debug, Clone, PartialEq)]
pub struct Bar {
    /// The method's name.
    pub label: String,
    /// Its value, a fraction; not a number is shown as missing.
    pub value: f64,
    /// The ends of its 95 % confidence interval, if it has one.
    pub interval: Option<(f64, f64)>,
    /// What the method is.
    pub kind: BarKind,
}

/// What a bar stands for, which decides its looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BarKind {
    /// A method, light blue.
    Method,
    /// A method to look at first, dark blue.
    Highlight,
    /// A bound that looks at test labels: white and hatched, and said to be one under the bars.
    Oracle,
}

/// The order of bars in a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BarOrder {
    /// As they are passed.
    Given,
    /// The largest value on top.
    Descending,
}

const LABEL: Type = Type::regular(13.5, BLACK);
const VALUE: Type = Type::regular(12.5, BLACK);
const HATCH: Rgb = Rgb(120, 120, 120);

const MARGIN: f64 = 20.0;
const ROW: f64 = 26.0;
const BAR: f64 = 17.0;
const HEADING: f64 = 34.0;
/// Width of the axis.
const PLANE: f64 = 640.0;
/// Between labels, bars and values.
const SPACE: f64 = 10.0;

impl BarPlot {
    fn bars(&self) -> impl Iterator<Item = &Bar> {
        self.groups.iter().flat_map(|group| &group.bars)
    }

    /// From one half, what guessing gets, or lower if a value is lower, to one.
    fn axis(&self) -> Axis {
        let ends = self.bars().flat_map(|bar| {
            let (low, high) = bar.interval.unwrap_or((bar.value, bar.value));
            [bar.value, low, high]
        });
        let (low, high) = super::axes::range(ends).unwrap_or((0.5, 1.0));
        // Down to the next whole tenth.
        let low = if low < 0.5 {
            (low * 10.0).floor() / 10.0
        } else {
            0.5
        };
        Axis::exact(&self.measure, low, high.max(1.0), 6)
    }

    /// The rectangle between the axes, the notes' place aside.
    fn plane(&self) -> Rect {
        let labels = self.bars().map(|bar| LABEL.width(&bar.label));
        let headings = self
            .groups
            .iter()
            .map(|group| PANEL.width(&group.heading) - PLANE);
        let left = MARGIN + labels.chain(headings).fold(0.0, f64::max) + SPACE;
        let rows = self.bars().count() as f64 * ROW + self.groups.len() as f64 * HEADING;
        let top = MARGIN + TITLE.em + 8.0;
        Rect {
            left,
            top,
            right: left + PLANE,
            bottom: top + rows + 6.0,
        }
    }

    fn notes(&self) -> Vec<&'static str> {
        let mut notes = Vec::new();
        if self.bars().any(|bar| bar.interval.is_some()) {
            notes.push("whiskers: 95 % confidence interval");
        }
        if self.bars().any(|bar| bar.kind == BarKind::Oracle) {
            notes.push("hatched: looks at test labels, a bound and no competitor");
        }
        notes
    }
}

impl Figure for BarPlot {
    fn size(&self) -> (u32, u32) {
        let plane = self.plane();
        let values = VALUE.width("0.000");
        let right = plane.right + SPACE + values + MARGIN;
        let title = TITLE.width(&self.title) + 2.0 * MARGIN;
        let notes = self.notes().len() as f64 * 18.0;
        (
            right.max(title).ceil() as u32,
            (plane.bottom + 56.0 + notes + MARGIN).ceil() as u32,
        )
    }

    fn draw<DB: DrawingBackend>(&self, pen: &Pen<DB>) -> Result<()> {
        if self.bars().next().is_none() {
            let missing = "pass at least one bar".to_owned();
            return Err(Error::Empty {
                title: self.title.clone(),
                missing,
            });
        }
        let (plane, axis) = (self.plane(), self.axis());
        let at = |value: f64| {
            plane.left
                + ((value - axis.low) / (axis.high - axis.low)).clamp(0.0, 1.0) * plane.width()
        };
        pen.text(
            &self.title,
            (MARGIN, MARGIN),
            (HPos::Left, VPos::Top),
            TITLE,
        )?;
        for (value, text) in &axis.ticks {
            let x = at(*value);
            pen.line(
                &[(x, plane.bottom), (x, plane.bottom + 5.0)],
                Line::solid(1.0, FRAME),
            )?;
            pen.text(
                text,
                (x, plane.bottom + 9.0),
                (HPos::Center, VPos::Top),
                TICK,
            )?;
        }
        let mut y = plane.top;
        for group in &self.groups {
            let middle = (plane.left, y + HEADING - 10.0);
            pen.text(&group.heading, middle, (HPos::Left, VPos::Center), PANEL)?;
            y += HEADING;
            let (top, bottom) = (y, y + group.bars.len() as f64 * ROW);
            for (value, _) in &axis.ticks {
                pen.line(
                    &[(at(*value), y), (at(*value), bottom)],
                    Line::solid(1.0, GRID),
                )?;
            }
            for bar in self.sorted(group) {
                let middle = y + ROW / 2.0;
                pen.text(
                    &bar.label,
                    (plane.left - SPACE, middle),
                    (HPos::Right, VPos::Center),
                    LABEL,
                )?;
                pen.text(
                    &fixed(bar.value, 3),
                    (plane.right + SPACE, middle),
                    (HPos::Left, VPos::Center),
                    VALUE,
                )?;
                if bar.value.is_finite() {
                    let (top, bottom) = (middle - BAR / 2.0, middle + BAR / 2.0);
                    draw_bar(
                        pen,
                        Rect {
                            left: plane.left,
                            top,
                            right: at(bar.value),
                            bottom,
                        },
                        bar.kind,
                    )?;
                }
                if let Some((low, high)) = bar
                    .interval
                    .filter(|(low, high)| low.is_finite() && high.is_finite())
                {
                    whisker(pen, (at(low), at(high)), middle)?;
                }
                y += ROW;
            }
            pen.line(
                &[(plane.left, top), (plane.left, bottom)],
                Line::solid(1.0, FRAME),
            )?;
        }
        pen.line(
            &[(plane.left, plane.bottom), (plane.right, plane.bottom)],
            Line::solid(1.0, FRAME),
        )?;
        let middle = (plane.left + plane.right) / 2.0;
        pen.text(
            &axis.label,
            (middle, plane.bottom + 30.0),
            (HPos::Center, VPos::Top),
            LABEL,
        )?;
        for (i, note) in self.notes().into_iter().enumerate() {
            let at = (plane.left, plane.bottom + 56.0 + i as f64 * 18.0);
            pen.text(note, at, (HPos::Left, VPos::Top), Type::regular(12.0, SOFT))?;
        }
        Ok(())
    }
}

impl BarPlot {
    fn sorted<'a>(&self, group: &'a BarGroup) -> Vec<&'a Bar> {
        let mut bars: Vec<&Bar> = group.bars.iter().collect();
        if self.order == BarOrder::Descending {
            // Values that are not numbers go to the bottom.
            let key = |bar: &Bar| {
                if bar.value.is_finite() {
                    bar.value
                } else {
                    f64::NEG_INFINITY
                }
            };
            bars.sort_by(|a, b| key(b).total_cmp(&key(a)));
        }
        bars
    }
}

fn draw_bar<DB: DrawingBackend>(pen: &Pen<DB>, rect: Rect, kind: BarKind) -> Result<()> {
    match kind {
        BarKind::Method => pen.rectangle(rect, mix(BLUE, WHITE, 0.55), 1.0),
        BarKind::Highlight => pen.rectangle(rect, BLUE, 1.0),
        BarKind::Oracle => {
            for stroke in hatching(rect) {
                pen.line(&stroke, Line::solid(0.8, HATCH))?;
            }
            pen.frame(rect, Line::solid(1.0, HATCH))
        }
    }
}

/// Strokes that rise to the right at 45 degrees, cut at the rectangle's sides.
fn hatching(rect: Rect) -> Vec<[Point; 2]> {
    const EVERY: f64 = 6.0;
    let height = rect.height();
    let count = ((rect.width() + height) / EVERY).floor() as usize;
    let stroke = |i: usize| {
        let foot = rect.left - height + i as f64 * EVERY;
        let (from, to) = (foot.max(rect.left), (foot + height).min(rect.right));
        [
            (from, rect.bottom - (from - foot)),
            (to, rect.bottom - (to - foot)),
        ]
    };
    (1..=count).map(stroke).collect()
}

fn whisker<DB: DrawingBackend>(pen: &Pen<DB>, (low, high): (f64, f64), y: f64) -> Result<()> {
    // A white line under the black one keeps it readable on dark bars.
    for (line, reach) in [
        (Line::solid(3.4, WHITE), 5.0),
        (Line::solid(1.4, BLACK), 4.0),
    ] {
        let more = reach - 4.0;
        pen.line(&[(low - more, y), (high + more, y)], line)?;
        for x in [low, high] {
            pen.line(&[(x, y - reach), (x, y + reach)], line)?;
        }
    }
    Ok(())
}
