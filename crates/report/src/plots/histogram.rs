//! How the scores of in-distribution and out-of-distribution samples lie against each other.

use plotters::prelude::DrawingBackend;

use super::axes::{self, Axis};
use super::figure::Figure;
use super::legend::{Below, Entry};
use super::panels::Panels;
use super::pen::{HPos, Line, Pen, Point, Type, VPos};
use crate::format::fixed;
use crate::palette::{BLACK, BLUE, VERMILLION};
use crate::{Error, Result};

/// Score densities of one method, a panel a set, all over one range.
///
/// The range leaves out at most 0.5 % of any panel's in-distribution or OOD scores on either side; samples
/// beyond it are counted in the first and last bin.
#[derive(Debug, Clone, PartialEq)]
pub struct HistogramPlot {
    /// The figure's title.
    pub title: String,
    /// What the score is; higher is more in-distribution.
    pub score: String,
    /// How many bins the range is cut into; 60 is a good start.
    pub bins: usize,
    /// One panel a set.
    pub panels: Vec<HistogramPanel>,
}

/// The scores against one out-of-distribution set.
#[derive(Debug, Clone, PartialEq)]
pub struct HistogramPanel {
    /// The set's name.
    pub title: String,
    /// The in-distribution samples' scores.
    pub id: Vec<f64>,
    /// The out-of-distribution samples' scores.
    pub ood: Vec<f64>,
    /// The score at or above which a sample is accepted when 95 % of the in-distribution samples are.
    pub threshold: Option<f64>,
    /// The area under the ROC curve, a fraction, for the panel's heading.
    pub auroc: Option<f64>,
}

const ID: Line = Line::solid(1.8, BLUE);
const OOD: Line = Line {
    dash: &[5.0, 2.5],
    ..Line::solid(2.0, VERMILLION)
};
const THRESHOLD: Line = Line {
    dash: &[2.0, 2.5],
    ..Line::solid(1.4, BLACK)
};

impl HistogramPlot {
    fn panels(&self) -> Panels {
        Panels::new(self.panels.len(), (400.0, 300.0), (900.0, 560.0))
    }

    fn legend(&self) -> Below {
        let entry = |label: &str, line| Entry {
            label: label.to_owned(),
            line,
            marker: None,
        };
        let mut entries = vec![
            entry("in-distribution", ID),
            entry("out-of-distribution", OOD),
        ];
        if self.panels.iter().any(|panel| panel.threshold.is_some()) {
            entries.push(entry(
                "threshold that accepts 95 % of the in-distribution samples",
                THRESHOLD,
            ));
        }
        Below::new(entries, self.panels().inner_width())
    }

    /// The range of scores shown: all but the outermost, so that a few stragglers do not squeeze the rest.
    fn range(&self) -> Option<(f64, f64)> {
        let ends = self
            .panels
            .iter()
            .flat_map(|panel| [&panel.id, &panel.ood])
            .flat_map(|scores| {
                let mut scores: Vec<f64> = scores
                    .iter()
                    .copied()
                    .filter(|score| score.is_finite())
                    .collect();
                scores.sort_by(f64::total_cmp);
                let cut = scores.len() / 200;
                [
                    scores.get(cut).copied(),
                    scores.iter().rev().nth(cut).copied(),
                ]
            });
        let (low, high) = axes::range(ends.flatten())?;
        match high - low {
            width if width > 0.0 => Some((low, high)),
            _ => Some((low - 0.5, high + 0.5)),
        }
    }
}

impl Figure for HistogramPlot {
    fn size(&self) -> (u32, u32) {
        self.panels().size(&self.title, Some(&self.legend()))
    }

    fn draw<DB: DrawingBackend>(&self, pen: &Pen<DB>) -> Result<()> {
        let empty = |missing: &str| Error::Empty {
            title: self.title.clone(),
            missing: missing.to_owned(),
        };
        let range = self
            .range()
            .ok_or_else(|| empty("pass at least one finite score"))?;
        if self.bins == 0 {
            return Err(empty("ask for at least one bin"));
        }
        let legend = self.legend();
        let places = self.panels().frame(pen, &self.title, Some(&legend))?;
        for (panel, place) in self.panels.iter().zip(places) {
            let [id, ood] = [&panel.id, &panel.ood].map(|scores| density(scores, range, self.bins));
            let peak = id
                .iter()
                .chain(&ood)
                .copied()
                .fold(0.0, f64::max)
                .max(f64::MIN_POSITIVE);
            let x = Axis::exact(&self.score, range.0, range.1, 5);
            let y = Axis {
                ticks: Vec::new(),
                ..Axis::exact("density", 0.0, peak * 1.06, 4)
            };
            let title = match panel.auroc {
                Some(auroc) => format!("{} – AUROC {}", panel.title, fixed(auroc, 3)),
                None => panel.title.clone(),
            };
            let plane = axes::draw(pen, place, &title, &x, &y)?;
            for (density, line, opacity) in [(&id, ID, 0.28), (&ood, OOD, 0.14)] {
                let outline: Vec<Point> =
                    steps(density, range).map(|(x, y)| plane.at(x, y)).collect();
                pen.polygon(&outline, line.colour, opacity)?;
                pen.line(&outline, line)?;
            }
            if let Some(threshold) = panel
                .threshold
                .filter(|at| (range.0..=range.1).contains(at))
            {
                let (at, _) = plane.at(threshold, 0.0);
                pen.line(&[(at, plane.rect.top), (at, plane.rect.bottom)], THRESHOLD)?;
            }
            if panel.id.is_empty() || panel.ood.is_empty() {
                let note = if panel.id.is_empty() {
                    "no in-distribution scores"
                } else {
                    "no OOD scores"
                };
                let at = (plane.rect.left + 8.0, plane.rect.top + 8.0);
                pen.text(
                    note,
                    at,
                    (HPos::Left, VPos::Top),
                    Type::regular(12.0, BLACK),
                )?;
            }
        }
        Ok(())
    }
}

/// The share of scores in each bin over the bin's width; zero everywhere without scores.
fn density(scores: &[f64], (low, high): (f64, f64), bins: usize) -> Vec<f64> {
    let width = (high - low) / bins as f64;
    let mut counts = vec![0usize; bins];
    let scores = scores.iter().filter(|score| !score.is_nan());
    for &score in scores.clone() {
        // A negative number casts to the first bin.
        counts[(((score - low) / width) as usize).min(bins - 1)] += 1;
    }
    let total = scores.count().max(1) as f64 * width;
    counts
        .into_iter()
        .map(|count| count as f64 / total)
        .collect()
}

/// The outline of the bins, from the axis up and back down to it.
fn steps(density: &[f64], (low, high): (f64, f64)) -> impl Iterator<Item = (f64, f64)> {
    let width = (high - low) / density.len() as f64;
    let edge = move |i: usize| low + width * i as f64;
    let tops = density
        .iter()
        .enumerate()
        .flat_map(move |(i, &y)| [(edge(i), y), (edge(i + 1), y)]);
    std::iter::once((low, 0.0))
        .chain(tops)
        .chain(std::iter::once((high, 0.0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn densities_integrate_to_one_and_keep_stragglers() {
        let density = density(&[-9.0, 0.1, 0.9, 1.0, 7.0, f64::NAN], (0.0, 1.0), 2);
        assert_eq!(density, [2.0 / 2.5, 3.0 / 2.5]);
    }
}
