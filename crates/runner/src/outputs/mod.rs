//! What a run leaves behind: its record and scores, and what is made of them: metrics, tables, plots and pictures.

mod cascade_cost;
mod cost;
mod figures;
mod grid;
pub(crate) mod paper;
mod plots;
mod tables;
mod traces;

use std::path::{Path, PathBuf};

use diffguard_models::checkpoint::file_sha256;
use diffguard_report::table::{Table, TerminalOptions};
use diffguard_report::{Metric, MetricRow, csv, write_atomic};

pub use self::grid::grid;
pub(crate) use self::grid::{factor, tile};
pub(crate) use self::tables::main_groups;
use crate::experiment::Experiment;
use crate::record::Record;
use crate::scores::Scores;
use crate::synthetic::WARNING;
use crate::traces::{Traces, summaries};
use crate::{Error, Result, cascade_sensitivity, differences, evaluate};

/// A finished run: all that its tables and plots are made of.
#[derive(Clone, Debug)]
pub struct Run {
    /// What it was.
    pub record: Record,
    /// Every score of every sample.
    pub scores: Scores,
    /// Values at every noise level; none where the experiment has no traces.
    pub traces: Traces,
}

/// What was made of a run's scores.
pub struct Rebuilt {
    /// The table of the terminal; none of a run without scores, which has traces alone.
    pub table: Option<Table>,
    /// The files.
    pub written: Vec<PathBuf>,
}

impl Run {
    /// The scores' file in a run's folder.
    pub const SCORES: &str = "scores.parquet";
    /// The traces' file, where there are any.
    pub const TRACES: &str = "traces.parquet";

    /// Reads the run in a folder.
    ///
    /// # Errors
    /// When a file is missing or damaged.
    pub fn read(folder: &Path) -> Result<Self> {
        let record = Record::read(folder)?;
        Ok(Self {
            scores: Scores::read(&folder.join(Self::SCORES))?,
            traces: match record.configuration.traces.is_empty() {
                true => Traces::default(),
                false => Traces::read(&folder.join(Self::TRACES))?,
            },
            record,
        })
    }

    /// Writes record, scores and traces.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn write(&self, folder: &Path) -> Result<Vec<PathBuf>> {
        let path = folder.join(Self::SCORES);
        self.scores.write(&path)?;
        // Scores and record are two files: this tells whether they are of one run.
        let sha256 = file_sha256(&path).map_err(|error| Error::file(&path, error))?;
        let record = Record {
            scores_sha256: Some(sha256),
            ..self.record.clone()
        };
        record.write(folder)?;
        let mut written = vec![path, folder.join(Record::FILE)];
        if !self.record.configuration.traces.is_empty() {
            let path = folder.join(Self::TRACES);
            self.traces.write(&path)?;
            written.push(path);
        }
        Ok(written)
    }

    /// The same run with the aliases, the fusions and the published table of another experiment: they are made of the scores
    /// of the other rows, so that no network runs.
    ///
    /// # Errors
    /// When the run lacks a row that they are made of or no longer has the one that others are compared with, or a rule cannot
    /// be fitted.
    pub fn with_fusions_of(mut self, other: &Experiment) -> Result<Self> {
        let own = &mut self.record.configuration;
        let aliases = own.aliases.iter().map(|alias| &alias.name);
        let fusions = own.combinations.iter().map(|fusion| &fusion.name);
        let made: Vec<&String> = aliases.chain(fusions).collect();
        self.scores.retain(|row| !made.iter().any(|it| *it == row));
        own.aliases.clone_from(&other.aliases);
        own.combinations.clone_from(&other.combinations);
        own.paper.clone_from(&other.paper);
        if let Some(row) = &own.against {
            own.check_row(row)?;
        }
        evaluate::add_fusions_to_stored(own, &mut self.scores)?;
        Ok(self)
    }

    /// Computes the metrics and writes `metrics.csv`, `table.md`, `table.tex` and the plots into `folder`, and `traces.csv`
    /// and its plots where there are traces; a run that has traces alone has no metrics. No network runs.
    ///
    /// # Errors
    /// When metrics cannot be computed or a file cannot be written.
    pub fn rebuild(&self, folder: &Path) -> Result<Rebuilt> {
        let rows = self.metrics()?;
        let mut written = Vec::new();
        let table = match self.traces_alone() {
            true => None,
            false => {
                let path = folder.join("metrics.csv");
                csv::write(&path, &rows)?;
                written.push(path);
                Some(Table::new(
                    self.record.configuration.title.clone(),
                    &rows,
                    &tables::main_groups(self),
                    &[Metric::Auroc, Metric::Fpr95],
                )?)
            }
        };
        let cascades = cascade_sensitivity::reports(self)?;
        let mut text = tables::markdown(self, table.as_ref(), &rows, &cascades)?;
        if let Some(row) = &self.record.configuration.against {
            let mut test = self.scores.only(|sample| sample.split.is_test())?;
            test.retain(|column| self.record.configuration.in_tables(column));
            let paired = differences::differences(&test, row)?;
            text += "\n## Differences\n\n";
            text += &differences::markdown(&paired, row);
        }
        let summaries = summaries(&self.traces);
        text += &traces::markdown(self, &summaries);
        let latex = table.as_ref().map(|table| ("table.tex", table.to_latex()));
        for (name, text) in [("table.md", text)].into_iter().chain(latex) {
            let path = folder.join(name);
            write_atomic(&path, text)?;
            written.push(path);
        }
        if !self.record.configuration.traces.is_empty() {
            written.extend(traces::write(self, &summaries, folder)?);
        }
        written.extend(plots::plots(self, &rows, folder)?);
        written.extend(figures::figures(self, &rows, folder)?);
        written.extend(cascade_sensitivity::write(self, &cascades, folder)?);
        Ok(Rebuilt { table, written })
    }

    /// Whether there are traces and no scores.
    fn traces_alone(&self) -> bool {
        self.scores.methods().next().is_none() && !self.record.configuration.traces.is_empty()
    }

    /// Every metric of every row on every test set.
    ///
    /// # Errors
    /// When a column cannot be ranked.
    pub fn metrics(&self) -> Result<Vec<MetricRow>> {
        let (name, experiment) = (&self.record.experiment, &self.record.configuration);
        let mut rows =
            evaluate::metrics(name, &self.scores, experiment.bootstrap, experiment.seed)?;
        for (row, of) in tables::envelopes(self) {
            rows.extend(evaluate::envelope_rows(
                name,
                &row,
                [&of[0], &of[1]],
                &self.scores,
            )?);
        }
        Ok(rows)
    }
}

/// Prints a run's table and what it chose.
pub fn print(run: &Run, rebuilt: &Rebuilt) {
    let width = std::env::var("COLUMNS")
        .ok()
        .and_then(|columns| columns.parse().ok())
        .unwrap_or(120);
    let options = TerminalOptions {
        width,
        ..TerminalOptions::default()
    };
    match &rebuilt.table {
        Some(table) => println!("{}", table.to_terminal(options)),
        None => println!("{}", run.record.configuration.title),
    }
    for text in traces::terminal(run) {
        println!("{text}");
    }
    if run.record.synthetic.is_some() {
        println!("{WARNING}");
    }
    if let Some(chosen) = &run.record.headline {
        println!(
            "diffguard is {}, chosen by its validation AUROC of {:.3}",
            chosen.elected(),
            chosen.validation_auroc
        );
    }
    println!(
        "classifier accuracy {:.2} %",
        100.0 * run.record.classifier_accuracy
    );
    for (stage, record) in &run.record.stages {
        println!(
            "{stage:<11} {:>6} computed, {:>6} stored, {:>8.1} images/s",
            record.account.computed, record.account.reused, record.images_per_second
        );
    }
}

/// Prints where the files are.
pub fn print_written(written: &[PathBuf], root: &Path) {
    println!("\nwritten:");
    for path in written {
        println!("  {}", path.strip_prefix(root).unwrap_or(path).display());
    }
}
