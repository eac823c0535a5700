//! Axes with ticks at round numbers, in margins as wide as their labels.
//!
//! Plotters' own charts take fixed margins and place titles apart from them, which small panels side by side
//! have no room for.

use plotters::prelude::DrawingBackend;

use super::pen::{HPos, Line, Pen, Point, Rect, Type, VPos};
use crate::Result;
use crate::format::fixed;
use crate::palette::{BLACK, FRAME, GRID, SOFT};

/// Tick labels.
pub(super) const TICK: Type = Type::regular(12.5, SOFT);
/// What an axis measures.
const LABEL: Type = Type::regular(14.0, BLACK);
/// What a panel shows.
pub(super) const PANEL: Type = Type::bold(14.0, BLACK);
/// What the figure shows.
pub(super) const TITLE: Type = Type::bold(18.0, BLACK);

/// Length of a tick mark.
const MARK: f64 = 5.0;
/// Between a tick mark and its label.
const SPACE: f64 = 5.0;

/// One axis: its range, its ticks and what it measures.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Axis {
    pub(super) label: String,
    pub(super) low: f64,
    pub(super) high: f64,
    pub(super) ticks: Vec<(f64, String)>,
}

impl Axis {
    /// An axis over exactly `low..high` with about `count` ticks at round numbers.
    pub(super) fn exact(label: impl Into<String>, low: f64, high: f64, count: usize) -> Self {
        let (step, decimals) = round_step((high - low) / count.max(1) as f64);
        // A tick on the range's end must not be lost to rounding.
        let slack = step * 1e-6;
        let first = ((low - slack) / step).ceil() as i64;
        let last = ((high + slack) / step).floor() as i64;
        let tick = |i: i64| {
            (
                i as f64 * step,
                fixed(i as f64 * step, decimals).replace('-', "−"),
            )
        };
        Self {
            label: label.into(),
            low,
            high,
            ticks: (first..=last).map(tick).collect(),
        }
    }

    /// An axis over all `values` and a little more, with about `count` ticks at round numbers.
    pub(super) fn around(
        label: impl Into<String>,
        values: impl Iterator<Item = f64>,
        count: usize,
    ) -> Self {
        let (low, high) = range(values).unwrap_or((0.0, 1.0));
        let space = match high - low {
            0.0 => high.abs().max(1.0) * 0.1,
            width => width * 0.05,
        };
        Self::exact(label, low - space, high + space, count)
    }

    /// An axis whose values are the decadic logarithms of what its ticks say.
    pub(super) fn logarithmic(
        label: impl Into<String>,
        logarithms: impl Iterator<Item = f64>,
        count: usize,
    ) -> Self {
        let (low, high) = range(logarithms).unwrap_or((0.0, 1.0));
        let space = ((high - low) * 0.05).max(0.02);
        let (low, high) = (low - space, high + space);
        let label = label.into();
        if high - low < 0.8 {
            // Within less than a decade round values stand nearly evenly.
            let mut ticks = Self::exact("", 10f64.powf(low), 10f64.powf(high), count).ticks;
            ticks
                .iter_mut()
                .for_each(|(value, _)| *value = value.log10());
            return Self {
                label,
                low,
                high,
                ticks,
            };
        }
        let decades = (high - low) as usize;
        let within: &[f64] = if decades < 3 {
            &[1.0, 2.0, 5.0]
        } else {
            &[1.0]
        };
        let every = (decades / count.max(1)).max(1) as i32;
        let ticks = (low.floor() as i32..=high.ceil() as i32)
            .filter(|decade| decade % every == 0)
            .flat_map(|decade| within.iter().map(move |&digit| (digit, decade)))
            .map(|(digit, decade)| (digit.log10() + f64::from(decade), power(digit, decade)))
            .filter(|&(at, _)| (low..=high).contains(&at))
            .collect();
        Self {
            label,
            low,
            high,
            ticks,
        }
    }

    fn widest_tick(&self) -> f64 {
        self.ticks
            .iter()
            .map(|(_, text)| TICK.width(text))
            .fold(0.0, f64::max)
    }
}

/// The lowest and highest finite value.
pub(super) fn range(values: impl Iterator<Item = f64>) -> Option<(f64, f64)> {
    values
        .filter(|value| value.is_finite())
        .fold(None, |range, value| match range {
            None => Some((value, value)),
            Some((low, high)) => Some((value.min(low), value.max(high))),
        })
}

/// The round number (1, 2 or 5 times a power of ten) nearest to `step`, and the decimals it needs.
fn round_step(step: f64) -> (f64, usize) {
    if !(step.is_finite() && step > 0.0) {
        return (1.0, 0);
    }
    let decade = step.log10().floor();
    let (digit, decade) = match step / 10f64.powf(decade) {
        ..1.5 => (1.0, decade),
        1.5..3.3 => (2.0, decade),
        3.3..7.5 => (5.0, decade),
        _ => (1.0, decade + 1.0),
    };
    (
        digit * 10f64.powf(decade),
        (-decade).clamp(0.0, 12.0) as usize,
    )
}

/// `digit * 10^decade` as it reads best.
fn power(digit: f64, decade: i32) -> String {
    match decade {
        -3..=4 => fixed(digit * 10f64.powi(decade), (-decade).max(0) as usize),
        _ => format!("{digit}e{decade}").replace('-', "−"),
    }
}

/// The part of a figure between two axes.
pub(super) struct Plane {
    pub(super) rect: Rect,
    x: (f64, f64),
    y: (f64, f64),
}

impl Plane {
    /// Where a pair of values lies; values off the axes are put on the edge.
    pub(super) fn at(&self, x: f64, y: f64) -> Point {
        let share =
            |value: f64, (low, high): (f64, f64)| ((value - low) / (high - low)).clamp(0.0, 1.0);
        (
            self.rect.left + share(x, self.x) * self.rect.width(),
            self.rect.bottom - share(y, self.y) * self.rect.height(),
        )
    }
}

/// Draws a panel's title, grid and axes into `rect` and returns what they enclose.
pub(super) fn draw<DB: DrawingBackend>(
    pen: &Pen<DB>,
    rect: Rect,
    title: &str,
    x: &Axis,
    y: &Axis,
) -> Result<Plane> {
    let label_room = |axis: &Axis| {
        if axis.label.is_empty() {
            0.0
        } else {
            LABEL.em + 8.0
        }
    };
    let left = y.widest_tick() + MARK + SPACE + label_room(y);
    let bottom = TICK.em + MARK + SPACE + label_room(x);
    let top = if title.is_empty() {
        8.0
    } else {
        PANEL.em + 12.0
    };
    // The last label of the x axis is centred on its tick, which may stand on the very edge.
    let right = x
        .ticks
        .last()
        .map_or(0.0, |(_, text)| TICK.width(text) / 2.0)
        .max(8.0);
    let inner = Rect {
        left: rect.left + left,
        top: rect.top + top,
        right: rect.right - right,
        bottom: rect.bottom - bottom,
    };

    let plane = Plane {
        rect: inner,
        x: (x.low, x.high),
        y: (y.low, y.high),
    };
    let grid = Line::solid(1.0, GRID);
    let frame = Line::solid(1.0, FRAME);
    for (value, text) in &x.ticks {
        let (at, _) = plane.at(*value, y.low);
        pen.line(&[(at, inner.top), (at, inner.bottom)], grid)?;
        pen.line(&[(at, inner.bottom), (at, inner.bottom + MARK)], frame)?;
        pen.text(
            text,
            (at, inner.bottom + MARK + SPACE - 1.0),
            (HPos::Center, VPos::Top),
            TICK,
        )?;
    }
    for (value, text) in &y.ticks {
        let (_, at) = plane.at(x.low, *value);
        pen.line(&[(inner.left, at), (inner.right, at)], grid)?;
        pen.line(&[(inner.left - MARK, at), (inner.left, at)], frame)?;
        pen.text(
            text,
            (inner.left - MARK - SPACE, at),
            (HPos::Right, VPos::Center),
            TICK,
        )?;
    }
    pen.frame(inner, frame)?;

    let middle = (inner.left + inner.right) / 2.0;
    pen.text(
        title,
        (middle, rect.top + 2.0),
        (HPos::Center, VPos::Top),
        PANEL,
    )?;
    pen.text(
        &x.label,
        (middle, rect.bottom - LABEL.em),
        (HPos::Center, VPos::Top),
        LABEL,
    )?;
    let centre = (
        rect.left + LABEL.em / 2.0 + 2.0,
        (inner.top + inner.bottom) / 2.0,
    );
    pen.text_upwards(&y.label, centre, LABEL)?;
    Ok(plane)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(axis: &Axis) -> Vec<&str> {
        axis.ticks.iter().map(|(_, text)| text.as_str()).collect()
    }

    #[test]
    fn ticks_are_round_and_within_the_range() {
        assert_eq!(
            labels(&Axis::exact("", 0.0, 1.0, 5)),
            ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]
        );
        assert_eq!(labels(&Axis::exact("", -3.0, 12.0, 4)), ["0", "5", "10"]);
        assert_eq!(
            labels(&Axis::exact("", -0.031, 0.02, 3)),
            ["−0.02", "0.00", "0.02"]
        );
        assert_eq!(
            labels(&Axis::exact("", 0.0, 25000.0, 5)),
            ["0", "5000", "10000", "15000", "20000", "25000"]
        );
        assert_eq!(
            labels(&Axis::around("", [2.0, f64::NAN, 2.0].into_iter(), 3)),
            ["1.8", "1.9", "2.0", "2.1", "2.2"]
        );
    }

    #[test]
    fn logarithmic_ticks_say_the_value() {
        let axis =
            |low: f64, high: f64| Axis::logarithmic("", [low.log10(), high.log10()].into_iter(), 6);
        assert_eq!(
            labels(&axis(1e-5, 10.0)),
            ["1e−5", "1e−4", "0.001", "0.01", "0.1", "1", "10"]
        );
        assert_eq!(labels(&axis(0.02, 0.4)), ["0.02", "0.05", "0.1", "0.2"]);
        assert_eq!(
            labels(&axis(0.3, 0.5)),
            ["0.30", "0.35", "0.40", "0.45", "0.50"]
        );
    }
}
