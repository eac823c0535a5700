//! How a cascade's result depends on its trust quantile: a report, never a way to choose one on test data.

use std::path::{Path, PathBuf};

use diffguard_ood::combine::{self, Scores as Column, Sensitivity, Test, cascade_sensitivity};
use diffguard_report::plots::{Figure as _, LineChart, LinePoint, LineSeries, Scale};
use diffguard_report::table::{Column as SheetColumn, Line, Part, Sheet};
use diffguard_report::{Role, write_atomic};

use crate::experiment::Combination;
use crate::outputs::Run;
use crate::parts::Split;
use crate::scores::Scores;
use crate::synthetic::STAMP;
use crate::{Error, Result, evaluate};

/// The rule that this is about, and the name of its parameter.
const RULE: &str = "cascade";
const PARAMETER: &str = "trust_quantile";

/// A cascade at several trust quantiles.
#[derive(Debug, Clone, PartialEq)]
pub struct CascadeReport {
    /// The cascade's row.
    pub row: String,
    /// The baseline and what decides where it is not trusted.
    pub of: [String; 2],
    /// Mean FPR@95 on validation data of what decides where the baseline is not trusted, by itself.
    pub alone_validation_fpr95: Option<f64>,
    /// By rising quantile; the run's own is among them.
    pub points: Vec<Point>,
}

/// A cascade at one trust quantile.
#[derive(Debug, Clone, PartialEq)]
pub struct Point {
    /// The quantile of the baseline's in-distribution validation scores.
    pub trust_quantile: f64,
    /// Whether the run used it.
    pub used: bool,
    /// Mean AUROC of in-distribution validation against each out-of-distribution validation set; none without such sets.
    pub validation_auroc: Option<f64>,
    /// The same mean of FPR@95, in-distribution positive.
    pub validation_fpr95: Option<f64>,
    /// Whether its validation AUROC is the highest; of equals, the first.
    pub best_on_validation: bool,
    /// What it does on each test set: role, set, metrics.
    pub sets: Vec<(Role, String, Sensitivity)>,
}

impl Point {
    /// Mean over the sets of a role; none without such sets.
    pub fn mean(&self, role: Role, value: impl Fn(&Sensitivity) -> f64) -> Option<f64> {
        let values: Vec<f64> = self
            .sets
            .iter()
            .filter(|(of, _, _)| *of == role)
            .map(|(_, _, sensitivity)| value(sensitivity))
            .collect();
        (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
    }

    fn marks(&self) -> String {
        let marks = [
            self.used.then_some("used"),
            self.best_on_validation.then_some("best on validation"),
        ];
        marks.into_iter().flatten().collect::<Vec<_>>().join(", ")
    }
}

/// Every cascade of a run at the quantiles 0, 0.1, … 1 and at its own.
///
/// # Errors
/// When a row of a cascade is missing or cannot be ranked.
pub fn reports(run: &Run) -> Result<Vec<CascadeReport>> {
    run.record
        .configuration
        .combinations
        .iter()
        .filter(|combination| combination.rule == RULE)
        .map(|combination| report(combination, &run.scores))
        .collect()
}

fn report(combination: &Combination, scores: &Scores) -> Result<CascadeReport> {
    let [baseline, other] = combination.of.as_slice() else {
        return Err(Error::Setting(format!(
            "`{}` is a cascade of {} rows; name two: the baseline's, then DiffGuard's",
            combination.name,
            combination.of.len()
        )));
    };
    let used = trust_quantile(combination)?;
    let mut quantiles: Vec<f64> = (0..=10).map(|tenths| f64::from(tenths) / 10.0).collect();
    quantiles.push(used);
    quantiles.sort_by(f64::total_cmp);
    quantiles.dedup();

    let of_split = |row: &str, split: Split, set: Option<&str>| -> Result<Vec<f64>> {
        let values = scores.column(row).ok_or_else(|| {
            Error::Setting(format!(
                "`{}` combines `{row}`, which has no scores",
                combination.name
            ))
        })?;
        Ok(scores.of(values, split, set))
    };
    let validation = Column::new(baseline, of_split(baseline, Split::IdVal, None)?)?;
    let pair = |split: Split, set: Option<&str>| -> Result<(Column<Test>, Column<Test>)> {
        Ok((
            Column::new(baseline, of_split(baseline, split, set)?)?,
            Column::new(other, of_split(other, split, set)?)?,
        ))
    };
    let id = pair(Split::IdTest, None)?;
    let mut tested = Vec::new();
    for (role, split) in evaluate::ROLES {
        for set in scores.sets(split) {
            let ood = pair(split, Some(&set))?;
            let found =
                cascade_sensitivity(&quantiles, &validation, [&id.0, &id.1], [&ood.0, &ood.1])?;
            tested.push((role, set, found));
        }
    }
    let mut points = Vec::new();
    for (i, &quantile) in quantiles.iter().enumerate() {
        let (validation_auroc, validation_fpr95) = on_validation(combination, quantile, scores)?;
        points.push(Point {
            trust_quantile: quantile,
            used: quantile == used,
            validation_auroc,
            validation_fpr95,
            best_on_validation: false,
            sets: tested
                .iter()
                .map(|(role, set, found)| (*role, set.clone(), found[i]))
                .collect(),
        });
    }
    let best = points
        .iter()
        .enumerate()
        .filter_map(|(i, point)| Some((i, point.validation_auroc?)))
        .reduce(|best, other| if other.1 > best.1 { other } else { best });
    if let Some((i, _)) = best {
        points[i].best_on_validation = true;
    }
    let alone = scores
        .column(other)
        .filter(|_| !scores.sets(Split::OodVal).is_empty());
    Ok(CascadeReport {
        row: combination.name.clone(),
        of: [baseline.clone(), other.clone()],
        alone_validation_fpr95: alone
            .map(|values| evaluate::validation_fpr95(other, values, scores))
            .transpose()?,
        points,
    })
}

/// The quantile that a run's cascade has.
fn trust_quantile(combination: &Combination) -> Result<f64> {
    let defaults = (combine::entry(RULE)?.defaults)();
    let value = combination.parameters.get(PARAMETER);
    let value = value.or_else(|| defaults.get(PARAMETER));
    let number = value.and_then(|value| match value {
        toml::Value::Integer(whole) => Some(*whole as f64),
        other => other.as_float(),
    });
    number.ok_or_else(|| {
        Error::Setting(format!(
            "`{}`: `{PARAMETER}` is no number",
            combination.name
        ))
    })
}

/// AUROC, the criterion that settings are chosen by, and FPR@95 on validation data of the cascade at a quantile.
fn on_validation(
    combination: &Combination,
    quantile: f64,
    scores: &Scores,
) -> Result<(Option<f64>, Option<f64>)> {
    if scores.sets(Split::OodVal).is_empty() {
        return Ok((None, None));
    }
    let there = Combination {
        parameters: toml::Table::from_iter([(PARAMETER.to_owned(), quantile.into())]),
        ..combination.clone()
    };
    let values = evaluate::fuse(&there, scores)?;
    Ok((
        Some(evaluate::validation_auroc(
            &combination.name,
            &values,
            scores,
        )?),
        Some(evaluate::validation_fpr95(
            &combination.name,
            &values,
            scores,
        )?),
    ))
}

/// Writes the reports of a run as `cascade-sensitivity.csv`, `cascade-sensitivity.md` and a plot a cascade into `folder`;
/// nothing for a run without cascades. The run's stamp, where it has one, stands before every cascade's name.
///
/// # Errors
/// When a file cannot be written.
pub fn write(run: &Run, reports: &[CascadeReport], folder: &Path) -> Result<Vec<PathBuf>> {
    if reports.is_empty() {
        return Ok(Vec::new());
    }
    let titles: Vec<String> = reports
        .iter()
        .map(|report| match run.record.synthetic {
            Some(_) => format!("{STAMP}: {}", report.row),
            None => report.row.clone(),
        })
        .collect();
    let mut written = Vec::new();
    let texts = [
        ("csv", to_csv(&titles, reports)),
        ("md", to_markdown(&titles, reports)),
    ];
    for (name, text) in texts {
        let path = folder.join(format!("cascade-sensitivity.{name}"));
        write_atomic(&path, text)?;
        written.push(path);
    }
    for (title, report) in titles.iter().zip(reports) {
        let path = folder.join(format!("cascade-sensitivity-{}", report.row));
        written.extend(chart(title, report).write(path)?);
    }
    Ok(written)
}

/// One line a cascade, quantile and test set; fractions.
fn to_csv(titles: &[String], reports: &[CascadeReport]) -> String {
    let mut text = "cascade,set,role,trust_quantile,used,best_on_validation,validation_auroc,threshold,trusted_id,\
                    trusted_ood,auroc,fpr95,fpr95_ood_positive\n"
        .to_owned();
    for (title, report) in titles.iter().zip(reports) {
        for point in &report.points {
            let validation = point.validation_auroc.map(|auroc| auroc.to_string());
            for (role, set, found) in &point.sets {
                let cells = [
                    quoted(title),
                    quoted(set),
                    role.name().to_owned(),
                    point.trust_quantile.to_string(),
                    point.used.to_string(),
                    point.best_on_validation.to_string(),
                    validation.clone().unwrap_or_default(),
                    found.threshold.to_string(),
                    found.trusted_id.to_string(),
                    found.trusted_ood.to_string(),
                    found.auroc.to_string(),
                    found.fpr95_id_positive.to_string(),
                    found.fpr95_ood_positive.to_string(),
                ];
                text += &cells.join(",");
                text.push('\n');
            }
        }
    }
    text
}

/// A name as a CSV field.
fn quoted(name: &str) -> String {
    match name.contains(['"', ',', '\n', '\r']) {
        true => format!("\"{}\"", name.replace('"', "\"\"")),
        false => name.to_owned(),
    }
}

/// A table a cascade, in percent.
fn to_markdown(titles: &[String], reports: &[CascadeReport]) -> String {
    let mut text = "# Trust quantiles of the cascades\n".to_owned();
    for (title, report) in titles.iter().zip(reports) {
        text += &format!("\n## {title}\n\n");
        text += &sheet(report).to_markdown();
    }
    text
}

fn sheet(report: &CascadeReport) -> Sheet {
    let roles: Vec<Role> = Role::ALL
        .into_iter()
        .filter(|role| {
            let first = report.points.first();
            first.is_some_and(|point| point.sets.iter().any(|(of, _, _)| of == role))
        })
        .collect();
    let mut columns = vec![
        SheetColumn::words("trust quantile"),
        SheetColumn::words(""),
        SheetColumn::numbers("AUROC (average)", "validation"),
    ];
    columns.extend(
        roles
            .iter()
            .map(|role| SheetColumn::numbers("AUROC (average)", role.name())),
    );
    columns.push(SheetColumn::numbers("trusted samples", "ID"));
    columns.extend(
        roles
            .iter()
            .map(|role| SheetColumn::numbers("trusted samples", role.name())),
    );
    let percent = |value: Option<f64>| match value {
        Some(value) => format!("{:.1}", 100.0 * value),
        None => "–".to_owned(),
    };
    let lines = report
        .points
        .iter()
        .map(|point| {
            let mut cells = vec![
                point.trust_quantile.to_string(),
                point.marks(),
                percent(point.validation_auroc),
            ];
            cells.extend(
                roles
                    .iter()
                    .map(|role| percent(point.mean(*role, |found| found.auroc))),
            );
            cells.push(percent(
                point.sets.first().map(|(_, _, found)| found.trusted_id),
            ));
            cells.extend(
                roles
                    .iter()
                    .map(|role| percent(point.mean(*role, |found| found.trusted_ood))),
            );
            Line::Row(
                cells
                    .into_iter()
                    .map(|text| vec![Part::plain(text)])
                    .collect(),
            )
        })
        .collect();
    let [baseline, other] = &report.of;
    Sheet {
        title: String::new(),
        columns,
        lines,
        notes: vec![format!(
            "in percent; samples whose {baseline} score reaches the quantile of the in-distribution validation scores are \
             trusted and rank first, the others follow by {other}; test results of quantiles that were not used are no \
             ground to choose one"
        )],
    }
}

fn chart(title: &str, report: &CascadeReport) -> LineChart {
    let line = |label: &str, height: &dyn Fn(&Point) -> Option<f64>| LineSeries {
        label: label.to_owned(),
        points: report
            .points
            .iter()
            .filter_map(|point| {
                Some(LinePoint {
                    x: point.trust_quantile,
                    y: height(point)?,
                    interval: None,
                })
            })
            .collect(),
    };
    let mut series: Vec<LineSeries> = Role::ALL
        .into_iter()
        .map(|role| line(role.title(), &|point| point.mean(role, |found| found.auroc)))
        .collect();
    series.push(line("validation", &|point| point.validation_auroc));
    series.retain(|line| !line.points.is_empty());
    let marks: Vec<String> = report
        .points
        .iter()
        .filter(|point| point.used || point.best_on_validation)
        .map(|point| format!("{}: {}", point.trust_quantile, point.marks()))
        .collect();
    LineChart {
        title: format!("{title} by trust quantile"),
        x_label: format!("trust quantile ({})", marks.join("; ")),
        y_label: "average AUROC".to_owned(),
        x_scale: Scale::Linear,
        y_scale: Scale::Linear,
        series,
        references: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scores::Sample;

    /// Two hundred samples a split; the baseline knows the far set, the guard the near one.
    fn scores() -> Scores {
        let parts = [
            (Split::IdVal, "val", 3.0, 3.0),
            (Split::OodVal, "ood-val", 2.0, 0.0),
            (Split::IdTest, "test", 3.0, 3.0),
            (Split::Near, "near-set", 3.0, 0.0),
            (Split::Far, "far-set", 0.0, 3.0),
        ];
        let (mut samples, mut baseline, mut guard) = (Vec::new(), Vec::new(), Vec::new());
        for (split, set, of_baseline, of_guard) in parts {
            for i in 0..200u32 {
                samples.push(Sample {
                    split,
                    set: set.to_owned(),
                    id: format!("{set}/{i}"),
                    label: 0,
                    predicted: 0,
                });
                let noise = |prime: u32| f64::from(i * prime % 200) / 100.0;
                baseline.push(of_baseline + noise(37));
                guard.push(of_guard + noise(71));
            }
        }
        let mut scores = Scores::new(samples);
        scores.push("msp", baseline).unwrap();
        scores.push("diffguard", guard).unwrap();
        scores
    }

    fn cascade(parameters: &str) -> Combination {
        Combination {
            name: "diffguard+msp".into(),
            of: vec!["msp".into(), "diffguard".into()],
            log_odds: Vec::new(),
            rule: RULE.into(),
            parameters: parameters.parse().unwrap(),
        }
    }

    #[test]
    fn the_used_quantile_gives_the_rows_own_result() {
        let scores = scores();
        for (parameters, quantile) in [("", 0.5), ("trust_quantile = 0.37", 0.37)] {
            let combination = cascade(parameters);
            let report = report(&combination, &scores).unwrap();
            let used: Vec<&Point> = report.points.iter().filter(|point| point.used).collect();
            assert_eq!(used.len(), 1);
            assert_eq!(used[0].trust_quantile, quantile);
            let mut with_row = scores.clone();
            let fused = evaluate::fuse(&combination, &scores).unwrap();
            with_row.push("diffguard+msp", fused).unwrap();
            let rows = evaluate::metrics("test", &with_row, 1, 0).unwrap();
            for (_, set, found) in &used[0].sets {
                let row = rows
                    .iter()
                    .find(|row| {
                        row.method == "diffguard+msp"
                            && row.set == *set
                            && row.metric == diffguard_report::Metric::Auroc
                    })
                    .unwrap();
                assert_eq!(row.value, found.auroc, "{set}");
            }
        }
    }

    #[test]
    fn the_best_quantile_is_chosen_on_validation_alone() {
        let report = report(&cascade(""), &scores()).unwrap();
        assert_eq!(report.points.len(), 11);
        let best: Vec<&Point> = report
            .points
            .iter()
            .filter(|point| point.best_on_validation)
            .collect();
        assert_eq!(best.len(), 1);
        for point in &report.points {
            assert!(point.validation_auroc <= best[0].validation_auroc);
        }
        // The more the guard decides, the better the near set is told apart, and the worse the far one.
        let (first, last) = (&report.points[0], &report.points[10]);
        let auroc = |point: &Point, role| point.mean(role, |found| found.auroc).unwrap();
        assert!(auroc(first, Role::Near) < auroc(last, Role::Near));
        assert!(auroc(first, Role::Far) > auroc(last, Role::Far));
    }

    #[test]
    fn the_table_marks_what_was_used() {
        let report = report(&cascade("trust_quantile = 0.25"), &scores()).unwrap();
        let title = [report.row.clone()];
        let text = to_markdown(&title, std::slice::from_ref(&report));
        let line = text.lines().find(|line| line.contains("used")).unwrap();
        assert!(line.contains("0.25"), "{line}");
        assert_eq!(to_csv(&title, &[report]).lines().count(), 1 + 12 * 2);
    }

    #[test]
    fn a_quantile_that_is_no_number_is_named() {
        let error = trust_quantile(&cascade("trust_quantile = \"half\"")).unwrap_err();
        assert!(error.to_string().contains("`trust_quantile`"), "{error}");
    }
}
