//! The runs of an experiment with one classifier after another under protection, as one table: OpenOOD reports the mean and the
//! standard deviation over classifiers that were trained from different seeds. (Its deviation is divided by the number of runs, ours by
//! one less: of three runs ours is 1.22 times as large.)

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use diffguard_report::table::{Column, Line, Part, Sheet};
use diffguard_report::{Metric, MetricRow, Role, csv, write_atomic};

use crate::outputs::{Run, main_groups};
use crate::record::Record;
use crate::{Error, Result};

/// Metrics that are shown, as in a run's own table.
const METRICS: [Metric; 2] = [Metric::Auroc, Metric::Fpr95];

/// Runs that differ in the classifier under protection alone.
pub struct Seeds {
    runs: Vec<(Run, Vec<MetricRow>)>,
}

/// Mean and standard deviation of one number over the runs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    /// The mean.
    pub mean: f64,
    /// The deviation of a sample (divided by one less than the number of runs).
    pub deviation: f64,
}

impl Spread {
    /// Of two values or more.
    pub fn of(values: &[f64]) -> Self {
        let count = values.len() as f64;
        let mean = values.iter().sum::<f64>() / count;
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        Self {
            mean,
            deviation: (squares / (count - 1.0)).sqrt(),
        }
    }
}

impl Seeds {
    /// Reads the runs in these folders.
    ///
    /// # Errors
    /// When there are less than two; when they are of other experiments, settings or images, or two of them protect the same
    /// classifier; when a file is missing or damaged.
    pub fn read(folders: &[PathBuf]) -> Result<Self> {
        if folders.len() < 2 {
            return Err(Error::Setting(
                "a deviation takes two runs at least: name more of them".into(),
            ));
        }
        let mut runs: Vec<(Run, Vec<MetricRow>)> = Vec::new();
        let mut protected = BTreeSet::new();
        for folder in folders {
            let run = Run::read(folder)?;
            let fault = |what: &str| {
                let first = folders[0].display();
                Err(Error::file(
                    folder,
                    format!("{what} (the first run is {first})"),
                ))
            };
            if let Some((first, _)) = runs.first() {
                if first.record.experiment != run.record.experiment {
                    return fault("this is a run of another experiment");
                }
                if first.record.benchmark.checksum != run.record.benchmark.checksum {
                    return fault("this run is of other images");
                }
                if settings(&first.record)? != settings(&run.record)? {
                    return fault("this run has other settings, or another device");
                }
            }
            let sha256 = run.record.classifiers.first().map(|it| it.sha256.clone());
            if !protected.insert(sha256) {
                return fault(
                    "an earlier run protects the same classifier; run `bench` with --protect",
                );
            }
            let rows = csv::read(folder.join("metrics.csv"))?;
            runs.push((run, rows));
        }
        Ok(Self { runs })
    }

    /// The spread of a number that all runs have.
    pub fn spread(&self, method: &str, set: &str, role: Role, metric: Metric) -> Option<Spread> {
        let of_run = |(_, rows): &(Run, Vec<MetricRow>)| {
            let mut rows = rows.iter();
            let row = rows.find(|row| {
                (row.method.as_str(), row.set.as_str(), row.role, row.metric)
                    == (method, set, role, metric)
            });
            row.map(|row| row.value)
        };
        let values: Option<Vec<f64>> = self.runs.iter().map(of_run).collect();
        values.map(|values| Spread::of(&values))
    }

    /// Writes `seeds.md` into `folder`; its path.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, folder: &Path) -> Result<PathBuf> {
        let path = folder.join("seeds.md");
        write_atomic(&path, self.markdown())?;
        Ok(path)
    }

    /// Whether a row is the same in all runs: one that looks at all classifiers alike, whichever is under protection.
    fn is_one_row(&self, method: &str) -> bool {
        let of_run = |(_, rows): &(Run, Vec<MetricRow>)| {
            let rows = rows.iter().filter(|row| row.method == method);
            rows.map(|row| row.value).collect::<Vec<_>>()
        };
        let first = self.runs.first().map(of_run);
        self.runs.iter().all(|run| Some(of_run(run)) == first)
    }

    /// The table, and what it is of.
    pub fn markdown(&self) -> String {
        let Some((first, rows)) = self.runs.first() else {
            return String::new();
        };
        let names = self.runs.iter().map(|(run, _)| {
            let name = run
                .record
                .classifiers
                .first()
                .map(|it| it.name().to_owned());
            let accuracy = 100.0 * run.record.classifier_accuracy;
            format!("`{}` ({accuracy:.2} %)", name.unwrap_or_default())
        });
        let mut text = format!(
            "# {}\n\nMean ± standard deviation over {} classifiers under protection: {}. AUROC / FPR@95 in percent \
             (in-distribution is the positive class).\n\n{}",
            first.record.configuration.title,
            self.runs.len(),
            names.collect::<Vec<_>>().join(", "),
            self.sheet(first, rows).to_markdown()
        );
        let groups = main_groups(first);
        let mut methods = groups.iter().flat_map(|group| &group.methods);
        if methods.any(|method| self.is_one_row(method)) {
            text +=
                "\nWithout a deviation: the same in all runs, whichever classifier is protected.\n";
        }
        for (run, _) in &self.runs {
            if let (Some(chosen), Some(classifier)) =
                (&run.record.headline, run.record.classifiers.first())
            {
                text += &format!(
                    "\nWith `{}`, `diffguard` is `{}`.\n",
                    classifier.name(),
                    chosen.elected()
                );
            }
        }
        text
    }

    /// The rows of the first run's table that all runs have.
    fn sheet(&self, first: &Run, rows: &[MetricRow]) -> Sheet {
        let mut sets: Vec<(Role, &str)> = Vec::new();
        for row in rows {
            if !sets.contains(&(row.role, &row.set)) {
                sets.push((row.role, &row.set));
            }
        }
        sets.sort_by_key(|(role, set)| (*role, *set == MetricRow::AVERAGE));
        let mut columns = vec![Column::words("method")];
        columns.extend(
            sets.iter()
                .map(|(role, set)| Column::numbers(role.title(), *set)),
        );
        let mut lines = Vec::new();
        for group in main_groups(first) {
            let in_all = group.methods.iter().filter_map(|method| {
                let mut cells = vec![vec![Part::plain(method.clone())]];
                let (mut some, one) = (false, self.is_one_row(method));
                for (role, set) in &sets {
                    let parts = METRICS.map(|metric| self.spread(method, set, *role, metric));
                    some |= parts.iter().any(Option::is_some);
                    cells.push(parts.map(|part| Part::plain(shown(part, one))).to_vec());
                }
                some.then_some(Line::Row(cells))
            });
            let in_all: Vec<Line> = in_all.collect();
            if !in_all.is_empty() {
                lines.push(Line::Heading(group.heading.clone()));
                lines.extend(in_all);
            }
        }
        Sheet {
            title: String::new(),
            columns,
            lines,
            notes: Vec::new(),
        }
    }
}

/// All that has to be the same in the runs: the classifiers are in another order.
fn settings(record: &Record) -> Result<serde_json::Value> {
    let mut configuration = record.configuration.clone();
    configuration.classifiers.sort();
    configuration.against = None;
    let settings = (
        configuration,
        &record.device,
        &record.diffusion,
        &record.diffusion_of,
    );
    serde_json::to_value(settings).map_err(|error| Error::Setting(error.to_string()))
}

fn shown(spread: Option<Spread>, one: bool) -> String {
    match spread {
        Some(Spread { mean, .. }) if one => format!("{:.1}", 100.0 * mean),
        Some(Spread { mean, deviation }) => {
            format!("{:.1} ± {:.1}", 100.0 * mean, 100.0 * deviation)
        }
        None => "–".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_is_that_of_a_sample() {
        let spread = Spread::of(&[0.90, 0.92, 0.97]);
        assert!((spread.mean - 0.93).abs() < 1e-12);
        // Squares 9, 1 and 16 of ten thousand, over two.
        assert!((spread.deviation - 0.00130_f64.sqrt()).abs() < 1e-12);
        let equal = Some(Spread::of(&[0.5, 0.5]));
        assert_eq!(shown(equal, false), "50.0 ± 0.0");
        assert_eq!(shown(equal, true), "50.0");
    }
}
