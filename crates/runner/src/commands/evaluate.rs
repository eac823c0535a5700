//! `evaluate`: scores of somebody else's method beside ours.

use std::path::PathBuf;

use clap::Args;
use diffguard_report::table::{MethodGroup, Table, TerminalOptions};
use diffguard_report::{Metric, csv, write_atomic};

use crate::foreign::{self, Beside};
use crate::stored_run::StoredRun;
use crate::{Error, Result, Root, differences, evaluate};

/// Arguments of `evaluate`.
#[derive(Debug, Args)]
pub struct Evaluate {
    /// CSV (with a header) or Parquet file with the columns sample, set, label and score; a higher score means more
    /// in-distribution. The names are those of the benchmark (the columns `sample` and `set` of a run's
    /// scores.parquet); label may be left out, and so may whole out-of-distribution sets
    file: PathBuf,
    /// The benchmark that the scores are of; the largest stored run over it stands beside them
    #[arg(long, value_name = "NAME", default_value = "quick")]
    benchmark: String,
    /// A run to stand beside them: its name in results/, or its folder [default: by --benchmark]
    #[arg(long, value_name = "RUN", conflicts_with = "benchmark")]
    beside: Option<String>,
    /// The row's name [default: the file's]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Output directory [default: runs/evaluate-NAME]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

impl Evaluate {
    pub(crate) fn run(self) -> Result<()> {
        let root = Root::find()?;
        let run = match &self.beside {
            Some(name) => StoredRun::read(name, &root)?,
            None => StoredRun::of_benchmark(&self.benchmark, &root)?,
        };
        let name = match &self.name {
            Some(name) => name.clone(),
            None => self
                .file
                .file_stem()
                .map(|stem| stem.to_string_lossy().into_owned())
                .ok_or_else(|| {
                    Error::Setting("the file has no name; give one with --name".into())
                })?,
        };
        let rows = foreign::read(&self.file)?;
        let Beside {
            mut scores,
            left_out,
            passed_over,
        } = foreign::beside(&self.file, &rows, &name, &run)?;
        scores.retain(|column| column == name || run.experiment.in_tables(column));
        let (replicates, seed) = (run.experiment.bootstrap, run.experiment.seed);
        let metrics = evaluate::metrics(&run.name, &scores, replicates, seed)?;
        let ours: Vec<&str> = scores.methods().filter(|method| *method != name).collect();
        let table = Table::new(
            format!(
                "{name} beside `{}` ({})",
                run.name, run.experiment.benchmark
            ),
            &metrics,
            &[
                MethodGroup::new("Given", [&name]),
                MethodGroup::new(format!("Of the run `{}`", run.name), ours),
            ],
            &[Metric::Auroc, Metric::Fpr95],
        )?;
        let paired = differences::differences(&scores, &name)?;
        let out = self
            .out
            .unwrap_or_else(|| root.runs().join(format!("evaluate-{name}")));
        let mut left_out = match left_out.as_slice() {
            [] => String::new(),
            sets => format!("\nLeft out, without a score: {}.\n", sets.join(", ")),
        };
        if passed_over > 0 {
            left_out += &format!(
                "\nPassed over, of images that the run did not take: {passed_over} scores.\n"
            );
        }
        let markdown = format!(
            "# {name} beside `{}`\n\nAUROC / FPR@95 in percent (in-distribution is the positive class); `metrics.csv` has \
             all metrics with 95 % intervals.\n\n{}{left_out}\n## Differences\n\n{}",
            run.name,
            table.to_markdown(),
            differences::markdown(&paired, &name)
        );
        csv::write(out.join("metrics.csv"), &metrics)?;
        write_atomic(out.join("table.md"), markdown)?;
        println!("{}", table.to_terminal(TerminalOptions::default()));
        println!("{left_out}{} samples checked", scores.samples.len());
        println!(
            "\nwritten:\n  {0}/table.md\n  {0}/metrics.csv",
            out.display()
        );
        Ok(())
    }
}
