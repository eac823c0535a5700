//! `tables`: metrics, tables and plots again, from stored scores.

use std::path::PathBuf;
use std::time::Instant;

use clap::Args;
use rayon::prelude::*;

use crate::experiment::{self, Experiment};
use crate::outputs::{Rebuilt, Run};
use crate::stored_run;
use crate::{Error, Result, Root};

/// Arguments of `tables`.
#[derive(Debug, Args)]
pub struct Tables {
    /// Runs in results/ by name, or folders of runs [default: all in results/]
    names: Vec<String>,
    /// Take the aliases, fusions and published table of this experiment in place of the run's own, and write its scores and
    /// record again; no network runs
    #[arg(long, value_name = "EXPERIMENT", requires = "names")]
    fusions: Option<String>,
    /// Also list the runs' rows on the terminal
    #[arg(long)]
    print: bool,
}

impl Tables {
    pub(crate) fn run(self) -> Result<()> {
        let root = Root::find()?;
        let stored = stored_run::names(&root);
        let fusions = match &self.fusions {
            Some(name) => Some(Experiment::read(name, &root)?.1),
            None => None,
        };
        let mut asked = self.names;
        if asked.is_empty() {
            asked.clone_from(&stored);
            let others = experiment::names(&root)?.into_iter();
            asked.extend(others.filter(|name| !stored.contains(name)));
        }
        let mut failed = Vec::new();
        for some in asked.chunks(rayon::current_num_threads()) {
            let made: Vec<Result<Option<Made>>> = some
                .par_iter()
                .map(|name| make(name, fusions.as_ref(), &root, &stored))
                .collect();
            for (name, made) in some.iter().zip(made) {
                match made {
                    // One that is damaged does not keep the others.
                    Err(error) if asked.len() > 1 => {
                        eprintln!("{name}: {error}");
                        failed.push(name.as_str());
                    }
                    Err(error) => return Err(error),
                    Ok(Some(made)) => {
                        made.report(&root);
                        if self.print {
                            crate::outputs::print(&made.run, &made.rebuilt);
                        }
                    }
                    Ok(None) => {
                        println!("{name}: no stored scores; `cargo xtask bench {name}` makes them")
                    }
                }
            }
        }
        match failed.is_empty() {
            true => Ok(()),
            false => Err(Error::Setting(format!(
                "not made again: {}; why is said above",
                failed.join(", ")
            ))),
        }
    }
}

/// A run whose outputs were made again.
struct Made {
    folder: PathBuf,
    run: Run,
    rebuilt: Rebuilt,
    seconds: f64,
}

/// `None` for an experiment that has not been run: its table does not exist yet, which is no error.
fn make(
    name: &str,
    fusions: Option<&Experiment>,
    root: &Root,
    stored: &[String],
) -> Result<Option<Made>> {
    let own = root.results().join(name);
    let folder = match own.join(Run::SCORES).is_file() {
        true => own,
        false => PathBuf::from(name),
    };
    if !folder.join(Run::SCORES).is_file() {
        if Experiment::read(name, root).is_ok() {
            return Ok(None);
        }
        let there = stored.join(", ");
        return Err(Error::Setting(format!(
            "no run `{name}` in {}, no such folder and no such experiment; stored are: {there}",
            root.results().display(),
        )));
    }
    let begun = Instant::now();
    let mut run = Run::read(&folder)?;
    if let Some(experiment) = fusions {
        run = run.with_fusions_of(experiment)?;
        run.write(&folder)?;
    }
    let rebuilt = run.rebuild(&folder)?;
    Ok(Some(Made {
        folder,
        run,
        rebuilt,
        seconds: begun.elapsed().as_secs_f64(),
    }))
}

impl Made {
    fn report(&self, root: &Root) {
        println!(
            "{}: {} rows, {} traces, {} files, {:.1} s",
            self.folder
                .strip_prefix(root.path())
                .unwrap_or(&self.folder)
                .display(),
            self.run.scores.methods().count(),
            self.run.record.configuration.traces.len(),
            self.rebuilt.written.len(),
            self.seconds
        );
    }
}
