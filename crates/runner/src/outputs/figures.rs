//! Line plots over an axis of a sweep.

use std::path::{Path, PathBuf};

use diffguard_report::plots::{Figure as _, LineChart, LinePoint, LineSeries, Scale};
use diffguard_report::{Metric, MetricRow, Role};

use super::cost::{average, of_row};
use super::{Run, tables::best_column};
use crate::experiment::Figure;
use crate::{Error, Result};

/// Draws the figures of an experiment.
///
/// # Errors
/// When an axis has points that are no numbers, or a file cannot be written.
pub(super) fn figures(run: &Run, rows: &[MetricRow], out: &Path) -> Result<Vec<PathBuf>> {
    let mut written = Vec::new();
    for figure in &run.record.configuration.figures {
        written.extend(chart(run, rows, figure)?.write(out.join(&figure.name))?);
    }
    Ok(written)
}

fn chart(run: &Run, rows: &[MetricRow], figure: &Figure) -> Result<LineChart> {
    let mut series: Vec<LineSeries> = Vec::new();
    let cells = &run.record.configuration.cells;
    for role in Role::ALL {
        for cell in cells.iter().filter(|cell| cell.base == figure.guard) {
            let column = match figure.similarity {
                Some(similarity) => Some(format!("diffguard-{}/{similarity}", cell.guard)),
                None => best_column(run, &cell.guard),
            };
            let x = match figure.axis == Figure::EVALUATIONS {
                true => column
                    .as_deref()
                    .and_then(|column| of_row(run, column))
                    .map(|cost| cost.unet_evaluations),
                false => cell
                    .at(&figure.axis)
                    .map(|point| number(figure, point))
                    .transpose()?,
            };
            let found = column.and_then(|column| average(rows, &column, role, Metric::Auroc));
            let (Some(x), Some(row)) = (x, found) else {
                continue;
            };
            // On the axis of cost the first axis makes the line.
            let along = match figure.axis == Figure::EVALUATIONS {
                true => cell.point.first().map(|(axis, _)| axis.clone()),
                false => Some(figure.axis.clone()),
            };
            let others: Vec<String> = cell
                .point
                .iter()
                .filter(|(axis, _)| Some(axis) != along.as_ref())
                .map(|(axis, value)| format!("{axis} {value}"))
                .collect();
            let label = [vec![role.title().to_owned()], others].concat().join(", ");
            let point = LinePoint {
                x,
                y: row.value,
                interval: row.ci_low.zip(row.ci_high),
            };
            match series.iter_mut().find(|line| line.label == label) {
                Some(line) => line.points.push(point),
                None => series.push(LineSeries {
                    label,
                    points: vec![point],
                }),
            }
        }
    }
    if series.is_empty() {
        return Err(Error::Setting(format!(
            "figure `{}`: no guard `{}` varies along `{}`",
            figure.name, figure.guard, figure.axis
        )));
    }
    for line in &mut series {
        line.points.sort_by(|a, b| a.x.total_cmp(&b.x));
    }
    let y_label = match figure.similarity {
        Some(similarity) => format!("average AUROC of {similarity}"),
        None => "average AUROC, similarity by validation".to_owned(),
    };
    Ok(LineChart {
        title: figure.title.clone(),
        x_label: figure.label.clone().unwrap_or_else(|| figure.axis.clone()),
        y_label,
        x_scale: Scale::Linear,
        y_scale: Scale::Linear,
        series,
        references: Vec::new(),
    })
}

fn number(figure: &Figure, value: &str) -> Result<f64> {
    Figure::place(value).ok_or_else(|| {
        Error::Setting(format!(
            "figure `{}`: the point `{value}` of `{}` is no number",
            figure.name, figure.axis
        ))
    })
}
