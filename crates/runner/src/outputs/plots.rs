//! The plots of a run, from its scores alone.

use std::path::{Path, PathBuf};

use diffguard_ood::metrics::{Positive, Ranking};
use diffguard_report::plots::{
    Bar, BarGroup, BarKind, BarOrder, BarPlot, Figure, HistogramPanel, HistogramPlot, RocCurve,
    RocPanel, RocPlot,
};
use diffguard_report::{Metric, MetricRow, Role};

use super::Run;
use super::tables::{best_column, best_on_validation};
use crate::Result;
use crate::experiment::{Denoising, HEADLINE, ORACLE};
use crate::parts::Split;

/// Points that a ROC curve is thinned to before it is drawn.
const CURVE_POINTS: usize = 400;

/// Baselines that are drawn as ROC curves: more could not be told apart.
const CURVE_BASELINES: usize = 4;

/// Baselines that are drawn as bars: those of one classifier.
const BARS: usize = 45;

fn role_of(split: Split) -> Option<Role> {
    match split {
        Split::Near => Some(Role::Near),
        Split::Far => Some(Role::Far),
        _ => None,
    }
}

/// The rows that bars are drawn of: baselines, then the headline (where none is elected, each guard with the similarity that
/// validation chose), its oracle, denoising and fusions; each in the experiment's order.
fn barred(run: &Run) -> Vec<String> {
    [rows_but_fusions(run, BARS), fusions(run)].concat()
}

/// The rows that curves are drawn of, which are to be told apart: fewer baselines, and the fusion that is best on validation data.
fn curved(run: &Run) -> Vec<String> {
    let mut rows = rows_but_fusions(run, CURVE_BASELINES);
    rows.extend(best_on_validation(run, fusions(run)));
    rows
}

fn fusions(run: &Run) -> Vec<String> {
    let combinations = run.record.configuration.combinations.iter();
    combinations.map(|it| it.name.clone()).collect()
}

fn rows_but_fusions(run: &Run, baselines: usize) -> Vec<String> {
    let mut methods: Vec<String> = run
        .record
        .baselines
        .iter()
        .take(baselines)
        .map(|baseline| baseline.row.clone())
        .collect();
    let guards = run.record.configuration.guards.iter();
    if run.scores.column(HEADLINE).is_none() {
        methods.extend(guards.filter_map(|guard| best_column(run, &guard.name)));
    }
    let own = [HEADLINE, ORACLE];
    methods.extend(
        own.iter()
            .filter(|name| run.scores.column(name).is_some())
            .map(|name| (*name).to_owned()),
    );
    let denoisings = run.record.configuration.denoisings.iter();
    methods.extend(denoisings.map(Denoising::column));
    methods
}

pub(super) fn plots(run: &Run, rows: &[MetricRow], out: &Path) -> Result<Vec<PathBuf>> {
    let scores = &run.scores;
    let methods = barred(run);
    if methods.is_empty() {
        return Ok(Vec::new());
    }
    let sets: Vec<(Split, String)> = Split::OOD_TEST
        .into_iter()
        .flat_map(|split| scores.sets(split).into_iter().map(move |set| (split, set)))
        .collect();
    let title_of = |split: Split, set: &str| format!("{set} ({})", split.name());
    let ranking = |method: &str, split: Split, set: &str| -> Result<Ranking> {
        let values = scores.column(method).unwrap_or_default();
        Ok(Ranking::new(
            method,
            &scores.of(values, Split::IdTest, None),
            &scores.of(values, split, Some(set)),
        )?)
    };

    let (mut panels, shown) = (Vec::new(), curved(run));
    for (split, set) in &sets {
        let mut curves = Vec::new();
        for method in &shown {
            let ranking = ranking(method, *split, set)?;
            let curve = ranking.roc(Positive::Id).thinned(CURVE_POINTS);
            curves.push(RocCurve {
                label: method.clone(),
                points: curve.fpr.into_iter().zip(curve.tpr).collect(),
                auroc: Some(ranking.auroc()),
            });
        }
        panels.push(RocPanel {
            title: title_of(*split, set),
            curves,
        });
    }
    let mut written = Vec::new();
    written.extend(
        RocPlot {
            title: format!("{}: ROC curves", run.record.experiment),
            panels,
        }
        .write(out.join("roc"))?,
    );

    for method in [HEADLINE, "ebo"] {
        let Some(values) = scores.column(method) else {
            continue;
        };
        let id = scores.of(values, Split::IdTest, None);
        let mut panels = Vec::new();
        for (split, set) in &sets {
            let ranking = ranking(method, *split, set)?;
            let at95 = ranking.operating_point(
                Positive::Id,
                0.95,
                diffguard_ood::metrics::Points::Kept,
            )?;
            panels.push(HistogramPanel {
                title: title_of(*split, set),
                id: id.clone(),
                ood: scores.of(values, *split, Some(set)),
                threshold: Some(at95.threshold),
                auroc: Some(ranking.auroc()),
            });
        }
        let plot = HistogramPlot {
            title: format!("{}: scores of {method}", run.record.experiment),
            score: format!("{method} (higher: more in-distribution)"),
            bins: 40,
            panels,
        };
        written.extend(plot.write(out.join(format!("histogram-{method}")))?);
    }

    let groups = [Role::Near, Role::Far]
        .into_iter()
        .filter(|role| sets.iter().any(|(split, _)| role_of(*split) == Some(*role)))
        .map(|role| BarGroup {
            heading: format!("{} (average)", role.title()),
            bars: methods
                .iter()
                .filter_map(|method| {
                    let row = rows.iter().find(|row| {
                        row.method == *method
                            && row.role == role
                            && row.set == MetricRow::AVERAGE
                            && row.metric == Metric::Auroc
                    })?;
                    Some(Bar {
                        label: method.clone(),
                        value: row.value,
                        interval: row.ci_low.zip(row.ci_high),
                        kind: match method.as_str() {
                            HEADLINE => BarKind::Highlight,
                            oracle if oracle.ends_with("-oracle") => BarKind::Oracle,
                            _ => BarKind::Method,
                        },
                    })
                })
                .collect(),
        })
        .collect();
    let bars = BarPlot {
        title: format!("{}: AUROC", run.record.experiment),
        measure: "AUROC".into(),
        groups,
        order: BarOrder::Given,
    };
    written.extend(bars.write(out.join("auroc"))?);
    Ok(written)
}
