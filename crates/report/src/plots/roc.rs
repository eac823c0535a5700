//! Receiver operating characteristics: several methods on one set, or a panel a set.

use plotters::prelude::DrawingBackend;

use super::axes::{self, Axis};
use super::figure::Figure;
use super::legend::{self, Below, Entry};
use super::panels::Panels;
use super::pen::{Line, Pen};
use crate::format::fixed;
use crate::palette::{FRAME, Rgb, series_style};
use crate::{Error, Result};

/// ROC curves, a panel a set. A method keeps its colour and dash pattern through all panels.
#[derive(Debug, Clone, PartialEq)]
pub struct RocPlot {
    /// The figure's title.
    pub title: String,
    /// One panel a set; a single panel is drawn large.
    pub panels: Vec<RocPanel>,
}

/// The curves on one out-of-distribution set.
#[derive(Debug, Clone, PartialEq)]
pub struct RocPanel {
    /// The set's name, or empty where the figure's title says it.
    pub title: String,
    /// The methods' curves, in the order of the legend.
    pub curves: Vec<RocCurve>,
}

/// The curve of one method.
#[derive(Debug, Clone, PartialEq)]
pub struct RocCurve {
    /// The method's name.
    pub label: String,
    /// False positive rate (OOD accepted) and true positive rate (ID accepted), fractions, from (0, 0) to (1, 1).
    pub points: Vec<(f64, f64)>,
    /// The area under the curve, a fraction, for the legend.
    pub auroc: Option<f64>,
}

impl RocPlot {
    /// The methods of all panels, in the order in which they first appear.
    fn methods(&self) -> Vec<&str> {
        let mut methods: Vec<&str> = Vec::new();
        for curve in self.panels.iter().flat_map(|panel| &panel.curves) {
            if !methods.contains(&curve.label.as_str()) {
                methods.push(&curve.label);
            }
        }
        methods
    }

    fn line(&self, label: &str) -> Line {
        let index = self
            .methods()
            .iter()
            .position(|method| *method == label)
            .unwrap_or(0);
        let style = series_style(index);
        Line {
            dash: style.dash,
            ..Line::solid(2.2, style.colour)
        }
    }

    fn panels(&self) -> Panels {
        Panels::new(self.panels.len(), (400.0, 400.0), (800.0, 780.0))
    }

    /// The entries of a panel's own legend.
    fn entries(&self, panel: &RocPanel) -> Vec<Entry> {
        let label = |curve: &RocCurve| {
            let auroc = curve.auroc.map(|auroc| fixed(auroc, 3));
            match (self.panels.len(), auroc) {
                (1, Some(auroc)) => format!("{}  (AUROC {auroc})", curve.label),
                (1, None) => curve.label.clone(),
                // The methods' names stand under the figure.
                (_, auroc) => auroc.unwrap_or_default(),
            }
        };
        let entry = |curve| Entry {
            label: label(curve),
            line: self.line(&curve.label),
            marker: None,
        };
        panel.curves.iter().map(entry).collect()
    }

    /// The legend under the figure: for several panels, or for one whose own legend has no room.
    fn below(&self) -> Option<Below> {
        let width = self.panels().inner_width();
        match self.panels.as_slice() {
            [panel] => {
                let entries = self.entries(panel);
                let (wide, high) = legend::inside_size(&entries);
                (wide > 480.0 || high > 400.0).then(|| Below::new(entries, width))
            }
            _ => {
                let entry = |label: &str| Entry {
                    label: label.to_owned(),
                    line: self.line(label),
                    marker: None,
                };
                Some(Below::new(
                    self.methods().into_iter().map(entry).collect(),
                    width,
                ))
            }
        }
    }
}

impl Figure for RocPlot {
    fn size(&self) -> (u32, u32) {
        self.panels().size(&self.title, self.below().as_ref())
    }

    fn draw<DB: DrawingBackend>(&self, pen: &Pen<DB>) -> Result<()> {
        if self.panels.iter().all(|panel| panel.curves.is_empty()) {
            let missing = "pass at least one curve".to_owned();
            return Err(Error::Empty {
                title: self.title.clone(),
                missing,
            });
        }
        let below = self.below();
        let places = self.panels().frame(pen, &self.title, below.as_ref())?;
        for (panel, place) in self.panels.iter().zip(places) {
            let x = Axis::exact("false positive rate (OOD accepted)", 0.0, 1.0, 5);
            let y = Axis::exact("true positive rate (ID accepted)", 0.0, 1.0, 5);
            let plane = axes::draw(pen, place, &panel.title, &x, &y)?;
            pen.line(
                &[plane.at(0.0, 0.0), plane.at(1.0, 1.0)],
                Line::solid(1.0, CHANCE),
            )?;
            for curve in &panel.curves {
                let points: Vec<_> = curve
                    .points
                    .iter()
                    .filter(|(fpr, tpr)| fpr.is_finite() && tpr.is_finite())
                    .map(|&(fpr, tpr)| plane.at(fpr, tpr))
                    .collect();
                pen.line(&points, self.line(&curve.label))?;
            }
            pen.frame(plane.rect, Line::solid(1.0, FRAME))?;
            let entries = self.entries(panel);
            if self.panels.len() > 1 || below.is_none() {
                let heading = if self.panels.len() > 1 { "AUROC" } else { "" };
                legend::inside(pen, plane.rect, heading, &entries)?;
            }
        }
        Ok(())
    }
}

/// The diagonal of a score that tells nothing.
const CHANCE: Rgb = Rgb(190, 190, 190);
