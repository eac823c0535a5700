//! Published values against ours.

use super::methods::is_bound;
use super::{Cell, Column, Line, Part, Sheet};
use crate::format::{MISSING, percent, points};
use crate::{Metric, MetricRow};

/// For every published value ours beside it, and the difference.
///
/// One line a method and set, three columns a metric. Only what was published is shown: our further methods,
/// sets and metrics are left out.
#[derive(Debug, Clone, PartialEq)]
pub struct Comparison {
    title: String,
    decimals: usize,
    metrics: Vec<Metric>,
    lines: Vec<ComparisonLine>,
}

/// A method on a set, and for every metric the published value and ours.
#[derive(Debug, Clone, PartialEq)]
struct ComparisonLine {
    method: String,
    set: String,
    values: Vec<(Option<f64>, Option<f64>)>,
}

impl Comparison {
    /// Matches `ours` to `published` by method, set, role and metric; lines keep the published order.
    ///
    /// The experiments' names play no part, and of several rows that match the first is taken.
    pub fn new(title: impl Into<String>, published: &[MetricRow], ours: &[MetricRow]) -> Self {
        let metrics: Vec<Metric> = Metric::ALL
            .into_iter()
            .filter(|&metric| published.iter().any(|row| row.metric == metric))
            .collect();
        let find = |rows: &[MetricRow], like: &MetricRow, metric| {
            let same = |row: &&MetricRow| {
                row.method == like.method
                    && row.set == like.set
                    && row.role == like.role
                    && row.metric == metric
            };
            rows.iter()
                .find(same)
                .map(|row| row.value)
                .filter(|value| value.is_finite())
        };
        let mut seen = Vec::new();
        let mut lines = Vec::new();
        for row in published {
            let key = (&row.method, &row.set, row.role);
            if seen.contains(&key) {
                continue;
            }
            seen.push(key);
            let set = match row.set.as_str() {
                MetricRow::AVERAGE => format!("{} average", row.role),
                set => set.to_owned(),
            };
            let values = metrics
                .iter()
                .map(|&metric| (find(published, row, metric), find(ours, row, metric)))
                .collect();
            lines.push(ComparisonLine {
                method: row.method.clone(),
                set,
                values,
            });
        }
        Self {
            title: title.into(),
            decimals: 1,
            metrics,
            lines,
        }
    }

    /// Prints values with so many decimals.
    #[must_use]
    pub fn decimals(mut self, decimals: usize) -> Self {
        self.decimals = decimals;
        self
    }

    /// The comparison as a sheet, ready to print.
    pub fn sheet(&self) -> Sheet {
        let mut columns = vec![Column::words("method"), Column::words("set")];
        for metric in &self.metrics {
            columns.extend(
                ["published", "ours", "difference"]
                    .map(|title| Column::numbers(metric.title(), title)),
            );
        }
        let mut notes = vec![
            "values in percent, differences (ours − published) in percentage points".to_owned(),
        ];
        if self.lines.iter().any(|line| is_bound(&line.method)) {
            notes.push("-oracle, -envelope: look at test labels".to_owned());
        }
        let lines: Vec<Line> = self
            .lines
            .iter()
            .map(|line| Line::Row(self.row(line)))
            .collect();
        let missing = |line: &Line| matches!(line, Line::Row(row) if row.iter().flatten().any(|part| part.text == MISSING));
        if lines.iter().any(missing) {
            notes.push(format!(
                "{MISSING}: not published, not computed or not defined"
            ));
        }
        Sheet {
            title: self.title.clone(),
            columns,
            lines,
            notes,
        }
    }

    fn row(&self, line: &ComparisonLine) -> Vec<Cell> {
        let mut row = vec![
            vec![Part::plain(&line.method)],
            vec![Part::plain(&line.set)],
        ];
        for &(published, ours) in &line.values {
            let shown = |value: Option<f64>| {
                value.map_or(MISSING.to_owned(), |value| percent(value, self.decimals))
            };
            let difference = match (published, ours) {
                (Some(published), Some(ours)) => points(ours - published, self.decimals),
                _ => MISSING.to_owned(),
            };
            row.extend(
                [shown(published), shown(ours), difference].map(|text| vec![Part::plain(text)]),
            );
        }
        row
    }
}
