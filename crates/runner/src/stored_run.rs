//! A finished run as others read it: its scores and what its record says of them.

use std::path::PathBuf;

use diffguard_ood::suggest;

use crate::experiment::Experiment;
use crate::outputs::Run;
use crate::record::Record;
use crate::scores::Scores;
use crate::{Error, Result, Root};

/// A run's stored scores and its experiment.
pub struct StoredRun {
    /// Its name.
    pub name: String,
    /// Its folder.
    pub folder: PathBuf,
    /// The experiment as it was run.
    pub experiment: Experiment,
    /// Test sets of its benchmark that it went without.
    pub not_at_hand: Vec<String>,
    /// All scores.
    pub scores: Scores,
}

impl StoredRun {
    /// The run in `results/NAME`, or in the folder of this path.
    ///
    /// # Errors
    /// When there is none, with the names there are; when its files are damaged.
    pub fn read(name: &str, root: &Root) -> Result<Self> {
        let folder = folder(name, root)?;
        let Run { record, scores, .. } = Run::read(&folder)?;
        let left_out = record.benchmark.left_out.into_iter();
        Ok(Self {
            name: record.experiment,
            experiment: record.configuration,
            not_at_hand: left_out.map(|set| set.name).collect(),
            scores,
            folder,
        })
    }

    /// The committed run over a benchmark of this name that has the most test images, and of those the most rows.
    ///
    /// # Errors
    /// When there is none.
    pub fn of_benchmark(benchmark: &str, root: &Root) -> Result<Self> {
        let runs = names(root)
            .into_iter()
            .filter_map(|name| Self::read(&name, root).ok());
        let known: Vec<Self> = runs.collect();
        let names: Vec<String> = known
            .iter()
            .map(|run| run.experiment.benchmark.clone())
            .collect();
        known
            .into_iter()
            .filter(|run| run.experiment.benchmark == benchmark)
            .max_by_key(|run| {
                let tested = run.scores.samples.iter().filter(|it| it.split.is_test());
                (tested.count(), run.scores.methods().count())
            })
            .ok_or_else(|| {
                Error::Setting(format!(
                    "no stored run is over the benchmark `{benchmark}`; there are runs over: {}. Run an experiment on it \
                     first (cargo xtask bench)",
                    names.join(", ")
                ))
            })
    }
}

/// Names of the runs in `results/`.
pub fn names(root: &Root) -> Vec<String> {
    let entries = std::fs::read_dir(root.results()).into_iter().flatten();
    let mut names: Vec<String> = entries
        .flatten()
        .filter(|entry| entry.path().join(Run::SCORES).is_file())
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect();
    names.sort();
    names
}

/// The folder of the run in `results/NAME`, or this folder.
///
/// # Errors
/// When there is no run, with the names there are.
pub fn folder(name: &str, root: &Root) -> Result<PathBuf> {
    let own = root.results().join(name);
    let folder = match own.join(Run::SCORES).is_file() {
        true => own,
        false => PathBuf::from(name),
    };
    let path = folder.join(Record::FILE);
    if !path.is_file() {
        let names = names(root);
        let hint = match suggest(name, names.iter().map(String::as_str)) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("there are: {}", names.join(", ")),
        };
        return Err(Error::Setting(format!(
            "no run `{name}` in {} and no such folder; {hint}",
            root.results().display()
        )));
    }
    Ok(folder)
}
