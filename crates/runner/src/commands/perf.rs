//! `perf`: how fast the program is, beside PyTorch on the same cores.

use std::path::PathBuf;

use clap::Args;

use crate::perf::{Options, Peer, cost, head, line, measure, work};
use crate::{Error, Result, Root};

/// Arguments of `perf`.
#[derive(Debug, Args)]
pub struct Perf {
    /// Measure PyTorch too, in turns with ours (xtask/peers/perf_peer.py)
    #[arg(long)]
    peer: bool,
    /// The Python that has PyTorch
    #[arg(long, default_value = "python3", value_name = "PATH")]
    python: PathBuf,
    /// Write the rows as a JSON array
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Measure one row alone
    #[arg(long, value_name = "NAME")]
    only: Option<String>,
    /// Threads of each side [default: all cores]
    #[arg(long, value_name = "NUMBER")]
    threads: Option<usize>,
    /// In place of the rows, measure the method's cost against images, steps and settings by some forty small runs, and write
    /// tables and plots there
    #[arg(long, value_name = "DIR", conflicts_with_all = ["peer", "json", "only"])]
    cost: Option<PathBuf>,
    /// Serve one row on standard input and output (how `perf` starts itself)
    #[arg(long, hide = true, value_name = "NAME")]
    worker: Option<String>,
}

impl Perf {
    pub(crate) fn run(self) -> Result<()> {
        if let Some(name) = &self.worker {
            return work(name);
        }
        let threads = self.threads.unwrap_or_else(rayon::current_num_threads);
        if let Some(folder) = &self.cost {
            let written = cost::measure(folder, threads, |run| println!("{run}"))?;
            for path in written {
                println!("{}", path.display());
            }
            return Ok(());
        }
        let peer = match self.peer {
            true => Some(Peer {
                python: self.python,
                script: Root::find()?.path().join("xtask/peers/perf_peer.py"),
            }),
            false => None,
        };
        let options = Options {
            peer,
            only: self.only,
            threads,
        };
        println!("{}", head());
        let rows = measure(&options, |row| println!("{}", line(row)))?;
        if let Some(path) = &self.json {
            let text =
                serde_json::to_string_pretty(&rows).map_err(|error| Error::file(path, error))?;
            std::fs::write(path, text + "\n").map_err(|error| Error::io(path, &error))?;
        }
        Ok(())
    }
}
