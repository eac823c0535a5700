//! A metric against a swept value.

use plotters::prelude::DrawingBackend;

use super::axes::{self, Axis};
use super::figure::Figure;
use super::legend::{Below, Entry};
use super::panels::Panels;
use super::pen::{Line, Pen};
use crate::palette::{SOFT, series_style};
use crate::{Error, Result};

/// Lines through points, with error bars where they are given.
#[derive(Debug, Clone, PartialEq)]
pub struct LineChart {
    /// The figure's title.
    pub title: String,
    /// What is swept, with its unit.
    pub x_label: String,
    /// What is measured, with its unit.
    pub y_label: String,
    /// The scale of the horizontal axis.
    pub x_scale: Scale,
    /// The scale of the vertical axis.
    pub y_scale: Scale,
    /// The lines, in the order of the legend.
    pub series: Vec<LineSeries>,
    /// Horizontal lines to compare with, such as a published value: what it is, and the value.
    pub references: Vec<(String, f64)>,
}

/// One line.
#[derive(Debug, Clone, PartialEq)]
pub struct LineSeries {
    /// What the line stands for.
    pub label: String,
    /// Its points in the order in which they are joined.
    pub points: Vec<LinePoint>,
}

/// One point of a line. Points that cannot be shown on the axes' scales are left out.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LinePoint {
    /// The swept value.
    pub x: f64,
    /// The measured value.
    pub y: f64,
    /// The ends of the error bar, if there is one.
    pub interval: Option<(f64, f64)>,
}

/// The scale of an axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scale {
    /// Equal steps.
    Linear,
    /// Equal factors; values that are not positive are left out.
    Log,
}

impl Scale {
    /// A value's place along the axis; not a number where it has none.
    pub(super) fn place(self, value: f64) -> f64 {
        match self {
            Self::Linear => value,
            Self::Log if value > 0.0 => value.log10(),
            Self::Log => f64::NAN,
        }
    }

    /// An axis around `values`.
    pub(super) fn axis(self, label: &str, values: impl Iterator<Item = f64>, count: usize) -> Axis {
        let places = values.map(|value| self.place(value));
        match self {
            Self::Linear => Axis::around(label, places, count),
            Self::Log => Axis::logarithmic(label, places, count),
        }
    }
}

impl LineChart {
    fn panels(&self) -> Panels {
        Panels::new(1, (0.0, 0.0), (1080.0, 620.0))
    }

    fn legend(&self) -> Below {
        let series = self.series.iter().enumerate().map(|(i, series)| Entry {
            label: series.label.clone(),
            line: line(i),
            marker: Some(series_style(i).marker),
        });
        let references = self
            .references
            .iter()
            .enumerate()
            .map(|(i, (label, _))| Entry {
                label: label.clone(),
                line: reference(i),
                marker: None,
            });
        Below::new(
            series.chain(references).collect(),
            self.panels().inner_width(),
        )
    }

    /// The points of a series that the axes can show, as places along the axes.
    fn places(&self, series: &LineSeries) -> Vec<LinePoint> {
        let place = |point: &LinePoint| {
            let interval = point
                .interval
                .map(|(low, high)| (self.y_scale.place(low), self.y_scale.place(high)));
            LinePoint {
                x: self.x_scale.place(point.x),
                y: self.y_scale.place(point.y),
                interval: interval.filter(|(low, high)| low.is_finite() && high.is_finite()),
            }
        };
        let visible = |place: &LinePoint| place.x.is_finite() && place.y.is_finite();
        series.points.iter().map(place).filter(visible).collect()
    }
}

impl Figure for LineChart {
    fn size(&self) -> (u32, u32) {
        self.panels().size(&self.title, Some(&self.legend()))
    }

    fn draw<DB: DrawingBackend>(&self, pen: &Pen<DB>) -> Result<()> {
        if self
            .series
            .iter()
            .all(|series| self.places(series).is_empty())
        {
            let missing = "pass at least one point that the axes can show".to_owned();
            return Err(Error::Empty {
                title: self.title.clone(),
                missing,
            });
        }
        let points = || self.series.iter().flat_map(|series| &series.points);
        let heights = points().flat_map(|point| {
            let (low, high) = point.interval.unwrap_or((point.y, point.y));
            [point.y, low, high]
        });
        let references = self.references.iter().map(|&(_, value)| value);
        let x = self
            .x_scale
            .axis(&self.x_label, points().map(|point| point.x), 8);
        let y = self
            .y_scale
            .axis(&self.y_label, heights.chain(references), 7);

        let places = self
            .panels()
            .frame(pen, &self.title, Some(&self.legend()))?;
        for place in places {
            let plane = axes::draw(pen, place, "", &x, &y)?;
            for (i, &(_, value)) in self.references.iter().enumerate() {
                let value = self.y_scale.place(value);
                if value.is_finite() {
                    pen.line(
                        &[plane.at(x.low, value), plane.at(x.high, value)],
                        reference(i),
                    )?;
                }
            }
            for (i, series) in self.series.iter().enumerate() {
                let places = self.places(series);
                let points: Vec<_> = places
                    .iter()
                    .map(|place| plane.at(place.x, place.y))
                    .collect();
                pen.line(&points, line(i))?;
                for place in places {
                    let Some((low, high)) = place.interval else {
                        continue;
                    };
                    let (low, high) = (plane.at(place.x, low), plane.at(place.x, high));
                    let bar = Line::solid(1.3, series_style(i).colour);
                    pen.line(&[low, high], bar)?;
                    for (x, y) in [low, high] {
                        pen.line(&[(x - 4.0, y), (x + 4.0, y)], bar)?;
                    }
                }
                for point in points {
                    pen.marker(point, series_style(i).marker, 8.0, series_style(i).colour)?;
                }
            }
        }
        Ok(())
    }
}

fn line(index: usize) -> Line {
    let style = series_style(index);
    Line {
        dash: style.dash,
        ..Line::solid(2.0, style.colour)
    }
}

fn reference(index: usize) -> Line {
    const DASHES: [crate::palette::Dash; 3] = [&[6.0, 5.0], &[2.0, 4.0], &[9.0, 4.0, 2.0, 4.0]];
    Line {
        dash: DASHES[index % DASHES.len()],
        ..Line::solid(1.3, SOFT)
    }
}
