//! `seeds`: an experiment's runs with one classifier after another under protection.

use std::path::PathBuf;

use clap::Args;

use crate::seeds::Seeds;
use crate::{Result, Root};

/// Arguments of `seeds`.
#[derive(Debug, Args)]
pub struct SeedsOf {
    /// The runs: names in results/, or folders (`bench --protect NAME --out DIR` makes them)
    #[arg(required = true, value_name = "RUN")]
    runs: Vec<PathBuf>,
    /// Where `seeds.md` goes [default: the first run's folder]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

impl SeedsOf {
    pub(crate) fn run(self) -> Result<()> {
        let results = Root::find()?.results();
        let folder = |run: &PathBuf| match results.join(run) {
            own if own.is_dir() => own,
            _ => run.clone(),
        };
        let folders: Vec<PathBuf> = self.runs.iter().map(folder).collect();
        let seeds = Seeds::read(&folders)?;
        let path = seeds.write(self.out.as_deref().unwrap_or(&folders[0]))?;
        print!("{}", seeds.markdown());
        println!("\nwritten:\n  {}", path.display());
        Ok(())
    }
}
