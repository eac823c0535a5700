//! `seeds`: an experiment's runs with one classifier after another under protection.

use std::path::PathBuf;

use clap::Args;

use crate::seeds::Seeds;
use crate::{Result, Root, stored_run};

/// Arguments of `seeds`.
#[derive(Debug, Args)]
pub struct SeedsOf {
    /// The runs: names in results/, or folders (`bench --protect NAME --out DIR` makes them)
    #[arg(required = true, value_name = "RUN")]
    runs: Vec<String>,
    /// Where `seeds.md` goes [default: the first run's folder]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

impl SeedsOf {
    pub(crate) fn run(self) -> Result<()> {
        let root = Root::find()?;
        let folders = self
            .runs
            .iter()
            .map(|run| stored_run::folder(run, &root))
            .collect::<Result<Vec<_>>>()?;
        let seeds = Seeds::read(&folders)?;
        let path = seeds.write(self.out.as_deref().unwrap_or(&folders[0]))?;
        print!("{}", seeds.markdown());
        println!("\nwritten:\n  {}", path.display());
        Ok(())
    }
}
