//! What is made of a run's traces: `traces.csv`, a section of the table's file, and line plots over the training step.

use std::path::{Path, PathBuf};

use diffguard_report::format::{fixed, percent};
use diffguard_report::plots::{Figure as _, LineChart, LinePoint, LineSeries, Scale};
use diffguard_report::table::{Column, Line, Mark, Part, Sheet};
use diffguard_report::write_atomic;

use super::Run;
use crate::Result;
use crate::parts::Split;
use crate::traces::{Measure, Series, Summary, Trace, TraceKind, summaries, to_csv};

/// Steps that the table shows.
const SHOWN: usize = 6;

/// Writes `traces.csv` and the plots of every trace.
///
/// # Errors
/// When a file cannot be written.
pub(super) fn write(run: &Run, summaries: &[Summary], out: &Path) -> Result<Vec<PathBuf>> {
    let path = out.join("traces.csv");
    write_atomic(&path, to_csv(summaries)?)?;
    let mut written = vec![path];
    for trace in &run.record.configuration.traces {
        let own: Vec<&Summary> = summaries
            .iter()
            .filter(|it| it.trace == trace.name)
            .collect();
        for (ending, chart) in charts(trace, &own) {
            let name = format!("{}{ending}", trace.name);
            written.extend(chart.write(out.join(name))?);
        }
    }
    Ok(written)
}

/// The plots of a trace, by the ending of their names.
fn charts(trace: &Trace, summaries: &[&Summary]) -> Vec<(&'static str, LineChart)> {
    let chart = |what: &str, y_label: &str, series: Vec<LineSeries>| LineChart {
        title: match what {
            "" => trace.title.clone(),
            _ => format!("{}: {what}", trace.title),
        },
        x_label: "training step t".into(),
        y_label: y_label.into(),
        x_scale: Scale::Linear,
        y_scale: Scale::Linear,
        series,
        references: Vec::new(),
    };
    let by_set = |series, measure| by_set(summaries, series, measure);
    let mut charts = match &trace.what {
        TraceKind::Inversion { .. } => {
            let psnr = "mean PSNR to the input in dB";
            let over = "mean PSNR less in-distribution's, in dB";
            // A line at 0 that every other plot has too, so that each set is drawn alike in all of them.
            let mut differences = by_set(Series::PsnrXt, Measure::PsnrOverId);
            if let Some(mut id) = by_set(Series::PsnrXt, Measure::Psnr).into_iter().next()
                && !differences.is_empty()
            {
                for point in &mut id.points {
                    (point.y, point.interval) = (0.0, None);
                }
                differences.insert(0, id);
            }
            vec![
                ("", chart("", psnr, by_set(Series::PsnrXt, Measure::Psnr))),
                ("-difference", chart("difference", over, differences)),
                (
                    "-x0hat",
                    chart("x0hat", psnr, by_set(Series::PsnrX0hat, Measure::Psnr)),
                ),
            ]
        }
        TraceKind::Classification { .. } => {
            let accuracy = [
                (
                    Series::NoisyXt,
                    Measure::Accuracy,
                    "noisy classifier on x_t",
                ),
                (Series::NormalXt, Measure::Accuracy, "classifier on x_t"),
                (
                    Series::NormalX0hat,
                    Measure::Accuracy,
                    "classifier on x0hat",
                ),
                (Series::NoisyXt, Measure::Alike, "both predict alike on x_t"),
            ];
            let lines = accuracy.into_iter().filter_map(|(series, measure, label)| {
                let of = |it: &&&Summary| {
                    it.series == series && it.measure == measure && it.split == Split::IdTest
                };
                let points: Vec<LinePoint> = summaries
                    .iter()
                    .filter(of)
                    .filter_map(|it| point(it))
                    .collect();
                (!points.is_empty()).then(|| LineSeries {
                    label: label.to_owned(),
                    points,
                })
            });
            let agreement = "agreement with the prediction on the input, in %";
            vec![
                (
                    "",
                    chart("", "share of in-distribution images in %", lines.collect()),
                ),
                (
                    "-noisy",
                    chart(
                        "noisy classifier on x_t",
                        agreement,
                        by_set(Series::NoisyXt, Measure::Agreement),
                    ),
                ),
                (
                    "-x0hat",
                    chart(
                        "classifier on x0hat",
                        agreement,
                        by_set(Series::NormalX0hat, Measure::Agreement),
                    ),
                ),
            ]
        }
    };
    charts.retain(|(_, chart)| !chart.series.is_empty());
    charts
}

/// A line a set.
fn by_set(summaries: &[&Summary], series: Series, measure: Measure) -> Vec<LineSeries> {
    let mut lines: Vec<LineSeries> = Vec::new();
    let of = summaries
        .iter()
        .filter(|it| it.series == series && it.measure == measure);
    for it in of {
        let Some(point) = point(it) else {
            continue;
        };
        let label = set_name(it);
        match lines.last_mut() {
            Some(line) if line.label == label => line.points.push(point),
            _ => lines.push(LineSeries {
                label,
                points: vec![point],
            }),
        }
    }
    lines
}

/// A number at a step, shares in percent.
fn point(it: &Summary) -> Option<LinePoint> {
    let scale = if it.measure.is_share() { 100.0 } else { 1.0 };
    Some(LinePoint {
        x: it.t? as f64,
        y: scale * it.value,
        interval: it.interval.map(|(low, high)| (scale * low, scale * high)),
    })
}

fn set_name(it: &Summary) -> String {
    match it.split {
        Split::IdTest => "in-distribution".to_owned(),
        split => format!("{} ({})", it.set, split.name()),
    }
}

/// A section of the table's file: a sheet a trace.
pub(super) fn markdown(run: &Run, summaries: &[Summary]) -> String {
    let mut text = String::new();
    for trace in &run.record.configuration.traces {
        let own: Vec<&Summary> = summaries
            .iter()
            .filter(|it| it.trace == trace.name)
            .collect();
        text += &format!("\n## {}\n\n{}\n\n", trace.title, reading(trace));
        text += &sheet(&own).to_markdown();
    }
    text
}

/// The same for a terminal.
pub(super) fn terminal(run: &Run) -> Vec<String> {
    let all = summaries(&run.traces);
    let traces = run.record.configuration.traces.iter();
    traces
        .map(|trace| {
            let own: Vec<&Summary> = all.iter().filter(|it| it.trace == trace.name).collect();
            format!("\n{}\n{}", trace.title, sheet(&own).to_terminal(Mark::Star))
        })
        .collect()
}

fn reading(trace: &Trace) -> String {
    let (what, spacing) = match &trace.what {
        TraceKind::Inversion { inversion } => (
            "Peak signal-to-noise ratio (peak 2) against the input along the inversion, in dB: of x_t, and of the x0hat that \
             the network implies there. `psnr-over-id` is a set's mean less in-distribution's: above 0 where in-distribution \
             images degrade faster.",
            &inversion.spacing,
        ),
        TraceKind::Classification { spacing, .. } => (
            "Shares in percent. x_t is the input diffused to step t with fresh noise, x0hat what one unconditional evaluation of \
             the diffusion network implies there. `accuracy`: predicted as labelled; `agreement`: as the classifier under \
             protection predicts the clean input; `alike`: the noisy classifier and the one under protection on the same x_t.",
            spacing,
        ),
    };
    format!("{what} Steps: {spacing}. `traces.csv` has every step with its 95 % interval.")
}

/// A row a series, measure and set; some of the steps.
fn sheet(summaries: &[&Summary]) -> Sheet {
    // Runs of one series, measure and set: its steps, then their mean.
    let rows: Vec<&[&Summary]> = summaries
        .chunk_by(|a, b| {
            (a.series, a.measure, a.split, &a.set) == (b.series, b.measure, b.split, &b.set)
        })
        .collect();
    let places = spread(rows.first().map_or(0, |row| row.len().saturating_sub(1)));
    let number = |it: &Summary, value: f64| match it.measure.is_share() {
        true => percent(value, 1),
        false => fixed(value, 2),
    };
    let mut columns = ["series", "measure", "set"].map(Column::words).to_vec();
    columns.push(Column::numbers("", "mean over t [95 %]"));
    let titles = places.iter().filter_map(|&place| {
        // Series of one trace may stand at different ends of the same moves.
        let of = |row: &&[&Summary]| row.get(place).and_then(|it| it.t);
        let mut steps: Vec<usize> = rows.iter().filter_map(of).collect();
        steps.dedup();
        steps.sort_unstable();
        steps.dedup();
        let steps: Vec<String> = steps.iter().map(usize::to_string).collect();
        (!steps.is_empty()).then(|| steps.join(" / "))
    });
    columns.extend(titles.map(|title| Column::numbers("t", title)));
    let lines = rows.iter().filter_map(|row| {
        let (mean, steps) = row.split_last()?;
        let interval = mean
            .interval
            .map(|(low, high)| format!(" [{}, {}]", number(mean, low), number(mean, high)));
        let mut cells = vec![
            mean.series.name().to_owned(),
            mean.measure.name().to_owned(),
            set_name(mean),
            number(mean, mean.value) + &interval.unwrap_or_default(),
        ];
        cells.extend(
            places
                .iter()
                .filter_map(|&place| steps.get(place))
                .map(|it| number(it, it.value)),
        );
        let cells = cells.into_iter().map(|text| vec![Part::plain(text)]);
        Some(Line::Row(cells.collect()))
    });
    Sheet {
        title: String::new(),
        columns,
        lines: lines.collect(),
        notes: Vec::new(),
    }
}

/// Places spread evenly over so many, both ends among them.
fn spread(count: usize) -> Vec<usize> {
    let shown = count.min(SHOWN);
    let last = shown.saturating_sub(1).max(1);
    (0..shown)
        .map(|i| i * count.saturating_sub(1) / last)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ends_are_shown() {
        assert_eq!(spread(25), [0, 4, 9, 14, 19, 24]);
        assert_eq!(spread(3), [0, 1, 2]);
        assert_eq!(spread(1), [0]);
        assert!(spread(0).is_empty());
    }
}
