//! Evaluate: metrics of stored score columns. No network runs here.

use diffguard_ood::combine::{
    self, Scores as Column, Test, Validation, ValidationColumn, envelope,
};
use diffguard_ood::metrics::{Bootstrap, Metric as OodMetric, Ranking, Resamples};
use diffguard_report::{Metric, MetricRow, Role};
use rayon::prelude::*;

use crate::experiment::{Combination, Experiment};
use crate::parts::Split;
use crate::scores::{Sample, Scores, compact};
use crate::{Error, Result};

/// The metrics of the tables, as the tables and as the metrics crate name them.
const METRICS: [(Metric, OodMetric); 5] = [
    (Metric::Auroc, OodMetric::Auroc),
    (Metric::Fpr95, OodMetric::FprIdPositive(0.95)),
    (Metric::Fpr95OodPositive, OodMetric::FprOodPositive(0.95)),
    (Metric::AuprIn, OodMetric::AuprIn),
    (Metric::AuprOut, OodMetric::AuprOut),
];

pub(crate) const ROLES: [(Role, Split); 3] = [
    (Role::Near, Split::Near),
    (Role::Far, Split::Far),
    (Role::Extra, Split::Extra),
];

/// Every metric of every column on every test set, with bootstrap intervals, and the average of each role.
///
/// # Errors
/// When a column cannot be ranked.
pub fn metrics(
    experiment: &str,
    scores: &Scores,
    replicates: usize,
    seed: u64,
) -> Result<Vec<MetricRow>> {
    let how = Bootstrap {
        replicates,
        confidence: 0.95,
        seed,
    };
    let methods: Vec<&str> = scores.methods().collect();
    let samples = |split: Split, set: Option<&str>| {
        let of =
            |sample: &&Sample| sample.split == split && set.is_none_or(|set| sample.set == set);
        scores.samples.iter().filter(of).count()
    };
    let id = samples(Split::IdTest, None);
    let mut of_methods: Vec<Vec<MetricRow>> = vec![Vec::new(); methods.len()];
    for (role, split) in ROLES {
        let mut of_role: Vec<Vec<MetricRow>> = vec![Vec::new(); methods.len()];
        for set in scores.sets(split) {
            // All methods share the resamples of a set; those of one set are held at a time.
            let resamples = Resamples::draw(id, samples(split, Some(&set)), how)?;
            let of_set: Vec<Vec<MetricRow>> = methods
                .par_iter()
                .map(|method| on_set(experiment, method, scores, (role, split, &set), &resamples))
                .collect::<Result<_>>()?;
            for (rows, of_set) in of_role.iter_mut().zip(of_set) {
                rows.extend(of_set);
            }
        }
        for (rows, of_role) in of_methods.iter_mut().zip(of_role) {
            let averages = averages(&of_role, role);
            rows.extend(of_role);
            rows.extend(averages);
        }
    }
    Ok(of_methods.into_iter().flatten().collect())
}

/// Every metric of one method on one test set.
fn on_set(
    experiment: &str,
    method: &str,
    scores: &Scores,
    (role, split, set): (Role, Split, &str),
    resamples: &Resamples,
) -> Result<Vec<MetricRow>> {
    let values = scores.column(method).unwrap_or_default();
    let id = scores.of(values, Split::IdTest, None);
    let ood = scores.of(values, split, Some(set));
    let ranking = Ranking::new(method, &id, &ood)?;
    let asked: Vec<OodMetric> = METRICS.iter().map(|(_, metric)| *metric).collect();
    let intervals = resamples.intervals(&ranking, &asked)?;
    let rows = METRICS.iter().zip(intervals);
    Ok(rows
        .map(|((metric, _), interval)| MetricRow {
            experiment: experiment.to_owned(),
            method: method.to_owned(),
            set: set.to_owned(),
            role,
            metric: *metric,
            value: interval.estimate,
            ci_low: Some(interval.low),
            ci_high: Some(interval.high),
            n_id: id.len(),
            n_ood: ood.len(),
        })
        .collect())
}

/// The mean over a role's sets; none for sets beside the benchmark, which have nothing in common. The sets share their in-distribution samples, so the interval's half widths are
/// added as if the sets moved together: never narrower than the truth.
fn averages(rows: &[MetricRow], role: Role) -> Vec<MetricRow> {
    METRICS
        .iter()
        .filter(|_| role != Role::Extra)
        .filter_map(|(metric, _)| {
            let cells: Vec<&MetricRow> = rows.iter().filter(|row| row.metric == *metric).collect();
            let first = cells.first()?;
            let mean = |value: &dyn Fn(&MetricRow) -> f64| {
                cells.iter().map(|row| value(row)).sum::<f64>() / cells.len() as f64
            };
            let all = |value: &dyn Fn(&MetricRow) -> Option<f64>| {
                cells.iter().all(|row| value(row).is_some())
            };
            Some(MetricRow {
                set: MetricRow::AVERAGE.to_owned(),
                role,
                value: mean(&|row| row.value),
                ci_low: all(&|row| row.ci_low).then(|| mean(&|row| row.ci_low.unwrap_or(f64::NAN))),
                ci_high: all(&|row| row.ci_high)
                    .then(|| mean(&|row| row.ci_high.unwrap_or(f64::NAN))),
                n_ood: cells.iter().map(|row| row.n_ood).sum(),
                ..(*first).clone()
            })
        })
        .collect()
}

/// The rows of an envelope of two columns: an oracle that reads the test labels.
///
/// # Errors
/// When a column is missing or cannot be ranked.
pub fn envelope_rows(
    experiment: &str,
    name: &str,
    of: [&str; 2],
    scores: &Scores,
) -> Result<Vec<MetricRow>> {
    let mut rows = Vec::new();
    for (role, split) in ROLES {
        let mut of_role = Vec::new();
        for set in scores.sets(split) {
            let part = |method: &str, split, set: Option<&str>| -> Result<Column<Test>> {
                let values = scores
                    .column(method)
                    .ok_or_else(|| missing(name, method, scores))?;
                Ok(Column::new(method, scores.of(values, split, set))?)
            };
            let id = [
                part(of[0], Split::IdTest, None)?,
                part(of[1], Split::IdTest, None)?,
            ];
            let ood = [
                part(of[0], split, Some(&set))?,
                part(of[1], split, Some(&set))?,
            ];
            let found = envelope::envelope([&id[0], &id[1]], [&ood[0], &ood[1]])?;
            let values = [
                (Metric::Auroc, found.auroc),
                (Metric::Fpr95, found.fpr95_id_positive),
                (Metric::Fpr95OodPositive, found.fpr95_ood_positive),
            ];
            for (metric, value) in values {
                of_role.push(MetricRow {
                    experiment: experiment.to_owned(),
                    method: name.to_owned(),
                    set: set.clone(),
                    role,
                    metric,
                    value,
                    ci_low: None,
                    ci_high: None,
                    n_id: id[0].values().len(),
                    n_ood: ood[0].values().len(),
                });
            }
        }
        let averages = averages(&of_role, role);
        rows.extend(of_role);
        rows.extend(averages);
    }
    Ok(rows)
}

fn missing(by: &str, method: &str, scores: &Scores) -> Error {
    let hint = match diffguard_ood::suggest(method, scores.methods()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!(
            "there are: {}",
            scores.methods().collect::<Vec<_>>().join(", ")
        ),
    };
    Error::Setting(format!(
        "`{by}` combines the row `{method}`, which does not exist; {hint}"
    ))
}

/// Adds the rows that are made of other rows: an experiment's aliases, then its fusions.
///
/// # Errors
/// When a row that they are made of is missing, or a rule cannot be fitted.
pub fn add_fusions(experiment: &Experiment, scores: &mut Scores) -> Result<()> {
    for alias in &experiment.aliases {
        let values = scores.column(&alias.of).ok_or_else(|| {
            Error::Setting(format!(
                "alias `{}`: the run has no row `{}`",
                alias.name, alias.of
            ))
        })?;
        scores.push(alias.name.clone(), values.to_vec())?;
    }
    for combination in &experiment.combinations {
        let fused = fuse(combination, scores)?;
        scores.push(combination.name.clone(), fused)?;
    }
    Ok(())
}

/// The same for scores that are stored: they stay as they are, and fusions of them are rounded as they are.
///
/// # Errors
/// Those of [`add_fusions`].
pub fn add_fusions_to_stored(experiment: &Experiment, scores: &mut Scores) -> Result<()> {
    let mut fused = scores.clone();
    add_fusions(experiment, &mut fused)?;
    // An alias is a stored row; rounding once more would move it.
    let rounds = |row: &str| {
        let mut aliases = experiment.aliases.iter();
        experiment.compact_scores && !aliases.any(|alias| alias.name == row)
    };
    let stored = scores.methods().count();
    for row in fused.methods().skip(stored) {
        let values = fused.column(row).unwrap_or_default();
        let values = match rounds(row) {
            true => compact(values),
            false => values.to_vec(),
        };
        scores.push(row, values)?;
    }
    Ok(())
}

/// The column of a fusion: its rule fitted on the validation splits alone, applied to every sample.
///
/// # Errors
/// When a component is missing or the rule cannot be fitted.
pub fn fuse(combination: &Combination, scores: &Scores) -> Result<Vec<f64>> {
    let mut rule = combine::build(&combination.rule, combination.parameters.clone())?;
    let mut validation = Vec::new();
    let mut applied = Vec::new();
    for method in &combination.of {
        let values = scores
            .column(method)
            .ok_or_else(|| missing(&combination.name, method, scores))?;
        let log_odds = combination.log_odds.contains(method);
        let id = scores.of(values, Split::IdVal, None);
        let id = entering::<Validation>(method, id, log_odds)?;
        let ood = scores.of(values, Split::OodVal, None);
        let ood = match ood.is_empty() {
            true => None,
            false => Some(entering::<Validation>(method, ood, log_odds)?),
        };
        validation.push((id, ood));
        applied.push(entering::<Test>(method, values.to_vec(), log_odds)?);
    }
    let columns: Vec<ValidationColumn> = validation
        .iter()
        .map(|(id, ood)| ValidationColumn {
            id,
            ood: ood.as_ref(),
        })
        .collect();
    rule.fit(&columns)?;
    Ok(rule.combine(&applied.iter().collect::<Vec<_>>())?)
}

/// A member's scores as they enter a rule.
fn entering<S: combine::Split>(
    method: &str,
    values: Vec<f64>,
    log_odds: bool,
) -> Result<Column<S>> {
    let column = Column::new(method, values)?;
    Ok(match log_odds {
        true => column.log_odds()?,
        false => column,
    })
}

/// Mean AUROC of in-distribution validation against each out-of-distribution validation set: what settings are
/// chosen by.
///
/// # Errors
/// When the column cannot be ranked, or there is no such set.
pub fn validation_auroc(method: &str, values: &[f64], scores: &Scores) -> Result<f64> {
    over_validation(method, values, scores, |ranking| Ok(ranking.auroc()))
}

/// The same mean of FPR@95, in-distribution positive.
///
/// # Errors
/// As [`validation_auroc`].
pub fn validation_fpr95(method: &str, values: &[f64], scores: &Scores) -> Result<f64> {
    over_validation(method, values, scores, |ranking| {
        Ok(ranking.fpr_id_positive(0.95)?)
    })
}

fn over_validation(
    method: &str,
    values: &[f64],
    scores: &Scores,
    metric: impl Fn(&Ranking) -> Result<f64>,
) -> Result<f64> {
    let id = scores.of(values, Split::IdVal, None);
    let sets = scores.sets(Split::OodVal);
    if sets.is_empty() {
        return Err(Error::Setting(format!(
            "`{method}`: there are no out-of-distribution validation scores to judge it by"
        )));
    }
    let mut sum = 0.0;
    for set in &sets {
        let ood = scores.of(values, Split::OodVal, Some(set));
        sum += metric(&Ranking::new(method, &id, &ood)?)?;
    }
    Ok(sum / sets.len() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scores::Sample;

    /// Two samples of each set; the method puts the sets apart by a hundredth each.
    fn scores(sets: &[(Split, &str)]) -> Scores {
        let samples = sets.iter().flat_map(|&(split, set)| {
            [0, 1].map(|place| Sample {
                split,
                set: set.into(),
                id: format!("{set}/{place}"),
                label: -1,
                predicted: 0,
            })
        });
        let mut scores = Scores::new(samples.collect());
        let values = (0..2 * sets.len()).map(|i| 1.0 - 0.01 * i as f64).collect();
        scores.push("msp", values).unwrap();
        scores
    }

    fn names(rows: &[MetricRow]) -> Vec<(Role, &str)> {
        let auroc = rows.iter().filter(|row| row.metric == Metric::Auroc);
        auroc.map(|row| (row.role, row.set.as_str())).collect()
    }

    #[test]
    fn sets_beside_the_benchmark_are_in_no_average() {
        let published = [(Split::IdTest, "id"), (Split::Far, "svhn")];
        let more = [published.as_slice(), &[(Split::Extra, "digits")]].concat();
        let rows = metrics("toy", &scores(&more), 10, 0).unwrap();
        let far = [
            (Role::Far, "svhn"),
            (Role::Far, MetricRow::AVERAGE),
            (Role::Extra, "digits"),
        ];
        assert_eq!(names(&rows), far);
        let without = metrics("toy", &scores(&published), 10, 0).unwrap();
        assert_eq!(rows[..without.len()], without);
        // No far set at hand: no far average.
        let alone = scores(&[(Split::IdTest, "id"), (Split::Extra, "digits")]);
        let rows = metrics("toy", &alone, 10, 0).unwrap();
        assert_eq!(names(&rows), [(Role::Extra, "digits")]);
        let rows = envelope_rows("toy", "both", ["msp", "msp"], &alone).unwrap();
        assert_eq!(names(&rows), [(Role::Extra, "digits")]);
    }
}
