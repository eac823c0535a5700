//! `tables`: metrics, tables and plots again, from stored scores.

use std::path::Path;
use std::time::Instant;

use clap::Args;

use crate::experiment::{self, Experiment};
use crate::outputs::Run;
use crate::stored_run;
use crate::{Error, Result, Root};

/// Arguments of `tables`.
#[derive(Debug, Args)]
pub struct Tables {
    /// Runs in results/ by name, or folders of runs [default: all in results/]
    names: Vec<String>,
    /// Also list the runs' rows on the terminal
    #[arg(long)]
    print: bool,
}

impl Tables {
    pub(crate) fn run(self) -> Result<()> {
        let root = Root::find()?;
        let stored = stored_run::names(&root);
        let asked = match self.names.is_empty() {
            true => stored.clone(),
            false => self.names,
        };
        for name in &asked {
            let own = root.results().join(name);
            let folder = match own.join(Run::SCORES).is_file() {
                true => own,
                false => Path::new(name).to_owned(),
            };
            if !folder.join(Run::SCORES).is_file() {
                // An experiment that has not been run is no error: its table does not exist yet.
                if Experiment::read(name, &root).is_ok() {
                    continue;
                }
                let there = stored.join(", ");
                return Err(Error::Setting(format!(
                    "no run `{name}` in {}, no such folder and no such experiment; stored are: {there}",
                    root.results().display(),
                )));
            }
            let begun = Instant::now();
            let run = Run::read(&folder)?;
            let rebuilt = run.rebuild(&folder)?;
            let shown = folder.strip_prefix(root.path()).unwrap_or(&folder);
            println!(
                "{}: {} rows, {} traces, {} files, {:.1} s",
                shown.display(),
                run.scores.methods().count(),
                run.record.configuration.traces.len(),
                rebuilt.written.len(),
                begun.elapsed().as_secs_f64()
            );
            if self.print {
                crate::outputs::print(&run, &rebuilt);
            }
        }
        for name in experiment::names(&root)? {
            if !stored.contains(&name) {
                println!("{name}: no stored scores; `cargo xtask bench {name}` makes them");
            }
        }
        Ok(())
    }
}
