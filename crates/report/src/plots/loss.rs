//! How a loss fell during training.

use plotters::prelude::DrawingBackend;

use super::axes;
use super::figure::Figure;
use super::legend::{Below, Entry};
use super::lines::Scale;
use super::panels::Panels;
use super::pen::{Line, Pen};
use crate::palette::series_style;
use crate::{Error, Result};

/// Loss against training step: the raw values lightly, a smoothed line over them.
#[derive(Debug, Clone, PartialEq)]
pub struct LossPlot {
    /// The figure's title.
    pub title: String,
    /// What is counted along the bottom, such as `training step`.
    pub x_label: String,
    /// The loss's name.
    pub y_label: String,
    /// The scale of the vertical axis.
    pub y_scale: Scale,
    /// The losses, in the order of the legend.
    pub series: Vec<LossSeries>,
}

/// One loss.
#[derive(Debug, Clone, PartialEq)]
pub struct LossSeries {
    /// What it is, such as `training` or `validation`.
    pub label: String,
    /// Step and value, in the order of training; values that cannot be shown are left out.
    pub points: Vec<(f64, f64)>,
    /// The share of the past in the smoothed line, in `[0, 1)`: an exponential moving average freed of its
    /// start's bias, as Adam's. 0 draws no smoothed line but the raw values alone.
    pub smoothing: f64,
}

impl LossPlot {
    fn panels(&self) -> Panels {
        Panels::new(1, (0.0, 0.0), (1080.0, 620.0))
    }

    fn legend(&self) -> Below {
        let label = |series: &LossSeries| match series.smoothing > 0.0 {
            true => format!("{} (smoothed, {})", series.label, series.smoothing),
            false => series.label.clone(),
        };
        let entry = |(i, series)| Entry {
            label: label(series),
            line: line(i),
            marker: None,
        };
        Below::new(
            self.series.iter().enumerate().map(entry).collect(),
            self.panels().inner_width(),
        )
    }

    fn places(&self, points: &[(f64, f64)]) -> Vec<(f64, f64)> {
        let places = points.iter().map(|&(x, y)| (x, self.y_scale.place(y)));
        places
            .filter(|(x, y)| x.is_finite() && y.is_finite())
            .collect()
    }
}

impl Figure for LossPlot {
    fn size(&self) -> (u32, u32) {
        self.panels().size(&self.title, Some(&self.legend()))
    }

    fn draw<DB: DrawingBackend>(&self, pen: &Pen<DB>) -> Result<()> {
        if self
            .series
            .iter()
            .all(|series| self.places(&series.points).is_empty())
        {
            let missing = "pass at least one value that the axes can show".to_owned();
            return Err(Error::Empty {
                title: self.title.clone(),
                missing,
            });
        }
        if let Some(series) = self
            .series
            .iter()
            .find(|series| !(0.0..1.0).contains(&series.smoothing))
        {
            return Err(Error::Shape(format!(
                "`{}`: the smoothing of `{}` must be at least 0 and less than 1, not {}",
                self.title, series.label, series.smoothing
            )));
        }
        let points = || self.series.iter().flat_map(|series| &series.points);
        let x = Scale::Linear.axis(&self.x_label, points().map(|point| point.0), 8);
        let mut y = self
            .y_scale
            .axis(&self.y_label, points().map(|point| point.1), 7);
        if self.y_scale == Scale::Linear && points().all(|&(_, loss)| loss.is_nan() || loss >= 0.0)
        {
            // The room around the values must not suggest that the loss can be negative.
            y.low = y.low.max(0.0);
            y.ticks.retain(|(value, _)| *value >= 0.0);
        }
        let places = self
            .panels()
            .frame(pen, &self.title, Some(&self.legend()))?;
        for place in places {
            let plane = axes::draw(pen, place, "", &x, &y)?;
            let on_plane = |points: Vec<(f64, f64)>| -> Vec<_> {
                points.into_iter().map(|(x, y)| plane.at(x, y)).collect()
            };
            // All raw values lie under all smoothed lines.
            for (i, series) in self
                .series
                .iter()
                .enumerate()
                .filter(|(_, series)| series.smoothing > 0.0)
            {
                let raw = Line {
                    opacity: 0.28,
                    width: 1.0,
                    dash: &[],
                    ..line(i)
                };
                pen.line(&on_plane(self.places(&series.points)), raw)?;
            }
            for (i, series) in self.series.iter().enumerate() {
                let smooth = smooth(&series.points, series.smoothing);
                pen.line(&on_plane(self.places(&smooth)), line(i))?;
            }
        }
        Ok(())
    }
}

fn line(index: usize) -> Line {
    let style = series_style(index);
    Line {
        dash: style.dash,
        ..Line::solid(2.2, style.colour)
    }
}

/// The exponential moving average of the finite values, `past` its weight for what went before.
fn smooth(points: &[(f64, f64)], past: f64) -> Vec<(f64, f64)> {
    let (mut mean, mut weight) = (0.0, 0.0);
    let mut step = |&(x, y): &(f64, f64)| {
        mean = past * mean + (1.0 - past) * y;
        weight = past * weight + (1.0 - past);
        (x, mean / weight)
    };
    points
        .iter()
        .filter(|(x, y)| x.is_finite() && y.is_finite())
        .map(&mut step)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn smoothing_starts_unbiased_and_skips_gaps() {
        let points = [(0.0, 4.0), (1.0, f64::NAN), (2.0, 1.0)];
        assert_eq!(smooth(&points, 0.5), [(0.0, 4.0), (2.0, 2.0)]);
        assert_eq!(smooth(&points, 0.0), [(0.0, 4.0), (2.0, 1.0)]);
    }
}
