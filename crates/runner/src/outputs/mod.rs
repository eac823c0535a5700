//! What a run leaves behind: its record and scores, and what is made of them: metrics, tables, plots and pictures.

mod cascade_cost;
mod cost;
mod figures;
mod grid;
pub(crate) mod paper;
mod plots;
mod tables;

use std::path::{Path, PathBuf};

use diffguard_report::table::{Table, TerminalOptions};
use diffguard_report::{Metric, MetricRow, csv, write_atomic};

pub use self::grid::grid;
use crate::parts::Split;
use crate::record::Record;
use crate::scores::Scores;
use crate::synthetic::WARNING;
use crate::{Result, cascade_sensitivity, differences, evaluate};

/// A finished run: all that its tables and plots are made of.
#[derive(Clone, Debug)]
pub struct Run {
    /// What it was.
    pub record: Record,
    /// Every score of every sample.
    pub scores: Scores,
}

/// What was made of a run's scores.
pub struct Rebuilt {
    /// The table of the terminal.
    pub table: Table,
    /// The files.
    pub written: Vec<PathBuf>,
}

impl Run {
    /// The scores' file in a run's folder.
    pub const SCORES: &str = "scores.parquet";

    /// Reads the run in a folder.
    ///
    /// # Errors
    /// When a file is missing or damaged.
    pub fn read(folder: &Path) -> Result<Self> {
        Ok(Self {
            record: Record::read(folder)?,
            scores: Scores::read(&folder.join(Self::SCORES))?,
        })
    }

    /// Writes record and scores.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn write(&self, folder: &Path) -> Result<Vec<PathBuf>> {
        let path = folder.join(Self::SCORES);
        match self.record.configuration.compact_scores {
            true => self.scores.compacted().write(&path)?,
            false => self.scores.write(&path)?,
        }
        self.record.write(folder)?;
        Ok(vec![path, folder.join(Record::FILE)])
    }

    /// Computes the metrics and writes `metrics.csv`, `table.md`, `table.tex` and the plots into `folder`; no network
    /// runs.
    ///
    /// # Errors
    /// When metrics cannot be computed or a file cannot be written.
    pub fn rebuild(&self, folder: &Path) -> Result<Rebuilt> {
        let rows = self.metrics()?;
        let mut written = Vec::new();
        let path = folder.join("metrics.csv");
        csv::write(&path, &rows)?;
        written.push(path);
        let table = Table::new(
            self.record.configuration.title.clone(),
            &rows,
            &tables::main_groups(self),
            &[Metric::Auroc, Metric::Fpr95],
        )?;
        let cascades = cascade_sensitivity::reports(self)?;
        let mut text = tables::markdown(self, &table, &rows, &cascades)?;
        if let Some(row) = &self.record.configuration.against {
            let test = self.scores.only(Split::is_test)?;
            let paired = differences::differences(&test, row)?;
            text += "\n## Differences\n\n";
            text += &differences::markdown(&paired, row);
        }
        for (name, text) in [("table.md", text), ("table.tex", table.to_latex())] {
            let path = folder.join(name);
            write_atomic(&path, text)?;
            written.push(path);
        }
        written.extend(plots::plots(self, &rows, folder)?);
        written.extend(figures::figures(self, &rows, folder)?);
        written.extend(cascade_sensitivity::write(self, &cascades, folder)?);
        Ok(Rebuilt { table, written })
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
    println!(
        "{}",
        rebuilt.table.to_terminal(TerminalOptions {
            width,
            ..TerminalOptions::default()
        })
    );
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
