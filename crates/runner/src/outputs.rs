//! What a run leaves behind: scores, metrics, tables, plots, pictures and its record.

use std::path::{Path, PathBuf};
use std::time::Instant;

use diffguard_ood::metrics::{Positive, Ranking};
use diffguard_report::pictures::{
    Caption, DifferenceScale, GridGroup, GridRow, PictureGrid, Tile, Verdict,
};
use diffguard_report::plots::{
    Bar, BarGroup, BarKind, BarOrder, BarPlot, Figure, HistogramPanel, HistogramPlot, RocCurve,
    RocPanel, RocPlot,
};
use diffguard_report::table::{MethodGroup, Table, TerminalOptions};
use diffguard_report::{Metric, MetricRow, Role, csv, write_atomic};
use serde_json::json;

use crate::bench::Finished;
use crate::evaluate;
use crate::networks::Networks;
use crate::parts::Split;
use crate::pipeline::Pipeline;
use crate::{Error, Result, Root};

/// The version of burn that the workspace pins.
const BURN: &str = "0.22.1";
/// Points that a ROC curve is thinned to before it is drawn.
const CURVE_POINTS: usize = 400;

/// Writes everything and prints the table and the paths.
///
/// # Errors
/// When metrics cannot be computed or a file cannot be written.
pub fn write(
    finished: &Finished,
    networks: &Networks,
    pipeline: &Pipeline,
    root: &Root,
    out: &Path,
    begun: Instant,
) -> Result<()> {
    let experiment = &finished.experiment;
    let evaluating = Instant::now();
    let mut rows = evaluate::metrics(
        &finished.name,
        &finished.scores,
        experiment.bootstrap,
        experiment.seed,
    )?;
    for (name, of) in envelopes(finished) {
        rows.extend(evaluate::envelope_rows(
            &finished.name,
            &name,
            [&of[0], &of[1]],
            &finished.scores,
        )?);
    }
    let evaluated = evaluating.elapsed().as_secs_f64();

    let mut written = Vec::new();
    let mut keep = |path: PathBuf| written.push(path);
    let path = out.join("scores.parquet");
    finished.scores.write(&path)?;
    keep(path);
    let path = out.join("metrics.csv");
    csv::write(&path, &rows)?;
    keep(path);
    let main = Table::new(
        experiment.title.clone(),
        &rows,
        &main_groups(finished),
        &[Metric::Auroc, Metric::Fpr95],
    )?;
    let path = out.join("table.md");
    write_atomic(&path, markdown(finished, &main, &rows)?)?;
    keep(path);
    for path in plots(finished, &rows, out)? {
        keep(path);
    }
    if !finished.pictures.is_empty() {
        let path = out.join("pictures.png");
        grid(finished)?.write(&path)?;
        keep(path);
    }
    let record = record(finished, networks, pipeline, begun, evaluated);
    let path = out.join("run.json");
    let text = serde_json::to_string_pretty(&record).map_err(|error| Error::file(&path, error))?;
    write_atomic(&path, text + "\n")?;
    keep(path);

    let width = std::env::var("COLUMNS")
        .ok()
        .and_then(|columns| columns.parse().ok())
        .unwrap_or(120);
    println!(
        "{}",
        main.to_terminal(TerminalOptions {
            width,
            ..TerminalOptions::default()
        })
    );
    if let Some(chosen) = &finished.headline {
        println!(
            "diffguard is {}, chosen by its validation AUROC of {:.3}",
            chosen
                .candidates
                .first()
                .map_or("", |(name, _)| name.as_str()),
            chosen.validation_auroc
        );
    }
    println!("classifier accuracy {:.2} %", 100.0 * finished.accuracy);
    for (stage, account) in pipeline.accounts().iter() {
        println!(
            "{stage:<11} {:>6} computed, {:>6} stored, {:>8.1} images/s",
            account.computed,
            account.reused,
            account.images_per_second()
        );
    }
    println!("\nwritten:");
    for path in written {
        println!(
            "  {}",
            path.strip_prefix(root.path()).unwrap_or(&path).display()
        );
    }
    Ok(())
}

/// For every cascade of two rows, its oracle.
fn envelopes(finished: &Finished) -> Vec<(String, [String; 2])> {
    finished
        .experiment
        .combinations
        .iter()
        .filter(|combination| combination.rule == "cascade" && combination.of.len() == 2)
        .map(|combination| {
            (
                format!("{}-envelope", combination.name),
                [combination.of[0].clone(), combination.of[1].clone()],
            )
        })
        .collect()
}

/// Baselines, the headline and the best setting of each guard (on validation), fusions, oracles.
fn main_groups(finished: &Finished) -> Vec<MethodGroup> {
    let experiment = &finished.experiment;
    let baselines: Vec<String> = experiment
        .detectors
        .iter()
        .map(|detector| detector.row().to_owned())
        .collect();
    let mut guards = Vec::new();
    if finished.headline.is_some() {
        guards.push("diffguard".to_owned());
    }
    for guard in &experiment.guards {
        let best = columns_of(finished, &guard.name)
            .into_iter()
            .filter_map(|name| {
                let values = finished.scores.column(&name)?;
                let auroc = evaluate::validation_auroc(&name, values, &finished.scores).ok()?;
                Some((auroc, name))
            })
            .max_by(|a, b| a.0.total_cmp(&b.0));
        guards.extend(best.map(|(_, name)| name));
    }
    let fusions = experiment
        .combinations
        .iter()
        .map(|combination| combination.name.clone());
    let mut oracles: Vec<String> = finished
        .scores
        .methods()
        .filter(|name| name.ends_with("-oracle"))
        .map(str::to_owned)
        .collect();
    oracles.extend(envelopes(finished).into_iter().map(|(name, _)| name));
    [
        MethodGroup::new("Baselines", baselines),
        MethodGroup::new(
            "DiffGuard (each guidance with the similarity that validation chose)",
            guards,
        ),
        MethodGroup::new(
            "Fusions (fitted on validation data)",
            fusions.collect::<Vec<_>>(),
        ),
        MethodGroup::new("Oracles (they look at test labels)", oracles),
    ]
    .into_iter()
    .filter(|group| !group.methods.is_empty())
    .collect()
}

fn columns_of(finished: &Finished, guard: &str) -> Vec<String> {
    let prefix = format!("diffguard-{guard}/");
    finished
        .scores
        .methods()
        .filter(|name| name.starts_with(&prefix))
        .map(str::to_owned)
        .collect()
}

fn markdown(finished: &Finished, main: &Table, rows: &[MetricRow]) -> Result<String> {
    let experiment = &finished.experiment;
    let mut text = format!("# {}\n\n", experiment.title);
    text += &format!(
        "{} in-distribution test images; AUROC / FPR@95 in percent (in-distribution is the positive class). \
         The classifier's accuracy on them is {:.2} %. `metrics.csv` has all metrics with 95 % intervals.\n\n",
        finished
            .scores
            .samples
            .iter()
            .filter(|s| s.split == Split::IdTest)
            .count(),
        100.0 * finished.accuracy
    );
    text += &main.to_markdown();
    if let Some(chosen) = &finished.headline {
        text += &format!(
            "\n`diffguard` is `{}`: of {} candidates it has the highest mean AUROC on the validation sets ({:.3}).\n",
            chosen
                .candidates
                .first()
                .map_or("", |(name, _)| name.as_str()),
            chosen.candidates.len(),
            chosen.validation_auroc
        );
    }
    let groups: Vec<MethodGroup> = experiment
        .guards
        .iter()
        .map(|guard| MethodGroup::new(guard.name.clone(), columns_of(finished, &guard.name)))
        .collect();
    if !groups.is_empty() {
        text += "\n## Every guidance and similarity\n\n";
        let all = Table::new(
            "Every guidance and similarity",
            rows,
            &groups,
            &[Metric::Auroc, Metric::Fpr95],
        )?;
        text += &all.to_markdown();
    }
    Ok(text)
}

fn role_of(split: Split) -> Option<Role> {
    match split {
        Split::Near => Some(Role::Near),
        Split::Far => Some(Role::Far),
        _ => None,
    }
}

/// Baselines that are drawn as ROC curves: more could not be told apart.
const CURVE_BASELINES: usize = 4;

/// The rows that plots show: so many baselines, in the experiment's order, then the headline, its oracle and the first
/// fusion.
fn plotted(finished: &Finished, baselines: usize) -> Vec<String> {
    let detectors = finished.experiment.detectors.iter().take(baselines);
    let mut methods: Vec<String> = detectors
        .map(|detector| detector.row().to_owned())
        .collect();
    let own = ["diffguard", "diffguard-oracle"];
    methods.extend(
        own.iter()
            .filter(|name| finished.scores.column(name).is_some())
            .map(|name| (*name).to_owned()),
    );
    methods.extend(
        finished
            .experiment
            .combinations
            .first()
            .map(|combination| combination.name.clone()),
    );
    methods
}

fn plots(finished: &Finished, rows: &[MetricRow], out: &Path) -> Result<Vec<PathBuf>> {
    let scores = &finished.scores;
    let methods = plotted(finished, usize::MAX);
    if methods.is_empty() {
        return Ok(Vec::new());
    }
    let sets: Vec<(Split, String)> = [Split::Near, Split::Far]
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

    let mut panels = Vec::new();
    for (split, set) in &sets {
        let mut curves = Vec::new();
        for method in &plotted(finished, CURVE_BASELINES) {
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
            title: format!("{}: ROC curves", finished.name),
            panels,
        }
        .write(out.join("roc"))?,
    );

    for method in ["diffguard", "ebo"] {
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
            title: format!("{}: scores of {method}", finished.name),
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
                            "diffguard" => BarKind::Highlight,
                            oracle if oracle.ends_with("-oracle") => BarKind::Oracle,
                            _ => BarKind::Method,
                        },
                    })
                })
                .collect(),
        })
        .collect();
    let bars = BarPlot {
        title: format!("{}: AUROC", finished.name),
        measure: "AUROC".into(),
        groups,
        order: BarOrder::Given,
    };
    written.extend(bars.write(out.join("auroc"))?);
    Ok(written)
}

/// Input, reconstruction, synthesis under the predicted label, difference, for samples of every test set.
fn grid(finished: &Finished) -> Result<PictureGrid> {
    let shape = finished.benchmark.id_test.shape;
    let tile = |values: &[f32]| {
        Tile::from_planes(
            shape.channels,
            shape.height,
            shape.width,
            values,
            (-1.0, 1.0),
        )
    };
    let scale = DifferenceScale::default();
    let threshold = threshold(finished)?;
    let class = |label: i64| {
        usize::try_from(label)
            .ok()
            .and_then(|label| finished.benchmark.class_names.get(label))
            .cloned()
    };
    let headline = finished.scores.column("diffguard");
    let mut groups: Vec<GridGroup> = Vec::new();
    for picture in &finished.pictures {
        let sample = &finished.scores.samples[picture.sample];
        let heading = format!("{} ({})", sample.set, sample.split.name());
        let (input, synthesis) = (tile(&picture.input)?, tile(&picture.synthesis)?);
        let difference = Tile::difference(&input, &synthesis, scale)?;
        let mut lines = Vec::new();
        lines.extend(class(sample.label).map(|name| format!("is {name}")));
        lines.extend(class(sample.predicted).map(|name| format!("predicted {name}")));
        let verdict = headline.zip(threshold).map(|(column, threshold)| {
            let score = column[picture.sample];
            lines.push(format!("score {score:.3}"));
            let accepted = score >= threshold;
            Verdict {
                text: if accepted { "accepted" } else { "rejected" }.into(),
                right: accepted == (sample.split == Split::IdTest),
            }
        });
        let row = GridRow {
            tiles: vec![
                Some(input),
                Some(tile(&picture.reconstruction)?),
                Some(synthesis),
                Some(difference),
            ],
            caption: Caption { lines, verdict },
        };
        match groups.last_mut() {
            Some(group) if group.heading == heading => group.rows.push(row),
            _ => groups.push(GridGroup {
                heading,
                rows: vec![row],
            }),
        }
    }
    let names = ["input", "reconstruction", "synthesis", "difference"];
    Ok(PictureGrid {
        title: format!("{}: synthesis under the predicted label", finished.name),
        columns: names.iter().map(|name| (*name).to_owned()).collect(),
        groups,
        factor: 3,
        differences: Some(scale),
    })
}

/// The headline score above which 95 % of the in-distribution validation images lie.
fn threshold(finished: &Finished) -> Result<Option<f64>> {
    let Some(values) = finished.scores.column("diffguard") else {
        return Ok(None);
    };
    let mut validation = finished.scores.of(values, Split::IdVal, None);
    Ok(diffguard_ood::quantile(&mut validation, 0.05))
}

fn record(
    finished: &Finished,
    networks: &Networks,
    pipeline: &Pipeline,
    begun: Instant,
    evaluated: f64,
) -> serde_json::Value {
    let stages: serde_json::Map<String, serde_json::Value> = pipeline
        .accounts()
        .iter()
        .map(|(stage, account)| {
            let mut value = json!(account);
            value["images_per_second"] = json!(account.images_per_second());
            ((*stage).to_owned(), value)
        })
        .collect();
    let headline = finished.headline.as_ref().map(|chosen| {
        json!({
            "chosen_on": "mean AUROC of in-distribution validation against each out-of-distribution validation set",
            "guard": chosen.guard,
            "reference": chosen.reference,
            "similarities": chosen.similarities,
            "validation_auroc": chosen.validation_auroc,
            "candidates": chosen.candidates,
        })
    });
    json!({
        "experiment": finished.name,
        "configuration": finished.experiment,
        "version": env!("CARGO_PKG_VERSION"),
        "burn": BURN,
        "device": pipeline.device_name,
        "threads": rayon::current_num_threads(),
        "benchmark": {
            "name": finished.benchmark.name,
            "checksum": finished.benchmark.checksum(),
            "files": finished.benchmark.sources.iter().map(|source| json!({
                "name": source.name, "licence": source.licence, "sha256": source.sha256,
            })).collect::<Vec<_>>(),
        },
        "classifiers": networks.classifiers.iter().map(|classifier| &classifier.provenance).collect::<Vec<_>>(),
        "diffusion": networks.diffusion.as_ref().map(|diffusion| &diffusion.provenance),
        "baselines": finished.baselines,
        "classifier_accuracy": finished.accuracy,
        "headline": headline,
        "conventions": {
            "score": "higher means more in-distribution",
            "fpr95": "in-distribution is the positive class: share of OOD accepted when 95% of in-distribution is accepted",
            "fpr95_ood_positive": "OOD is the positive class (OpenOOD v1.5): share of in-distribution rejected when 95% of OOD is rejected",
            "aupr": "trapezoid over the precision-recall curve",
            "intervals": format!(
                "percentile bootstrap, {} replicates, in-distribution and OOD resampled separately; an average's ends are the means of its sets' ends",
                finished.experiment.bootstrap
            ),
        },
        "stages": stages,
        "seconds": begun.elapsed().as_secs_f64(),
        "seconds_evaluating": evaluated,
        "peak_memory_mib": peak_memory_mib(),
    })
}

/// Peak resident memory of this process, where the system tells.
fn peak_memory_mib() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib / 1024)
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_recorded_version_of_burn_is_the_pinned_one() {
        let manifest = include_str!("../../../Cargo.toml");
        assert!(manifest.contains(&format!("burn = {{ version = \"={}\"", super::BURN)));
    }
}
