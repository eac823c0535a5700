//! `fetch`: bring data sets and checkpoints.

use std::path::PathBuf;

use clap::Args;
use diffguard_datasets::benchmark;
use diffguard_datasets::fetch::Found;

use super::{data_folders, stop_signal_saying};
use crate::data::{Data, FetchProgress, Missing, announce};
use crate::{Error, Result, Root};

/// Arguments of `fetch`.
#[derive(Debug, Args)]
pub struct Fetch {
    /// Data sets and checkpoints (see `datasets`)
    #[arg(value_name = "NAME", required_unless_present = "benchmark")]
    names: Vec<String>,
    /// Every data set of a benchmark
    #[arg(long, value_name = "NAME")]
    benchmark: Vec<String>,
    /// Folder that is looked into first, and never written [default: those of $DIFFGUARD_DATA]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Folder for what is fetched [default: $DIFFGUARD_CACHE, else the user's cache]
    #[arg(long, value_name = "DIR")]
    cache: Option<PathBuf>,
    /// Fetch nothing; fail if something is missing
    #[arg(long)]
    offline: bool,
}

impl Fetch {
    pub(crate) fn run(self) -> Result<()> {
        let dirs = data_folders(self.data, self.cache)?;
        let data = Data::new(&Root::find()?, dirs)?;
        let mut names: Vec<&str> = Vec::new();
        for benchmark in &self.benchmark {
            let entry = benchmark::entry(benchmark)?;
            if entry.datasets.is_empty() {
                println!("{benchmark}: comes with the repository");
            }
            names.extend(entry.datasets);
        }
        names.extend(self.names.iter().map(String::as_str));
        let mut seen = std::collections::BTreeSet::new();
        names.retain(|name| seen.insert(*name));

        let stop =
            stop_signal_saying("stopping; what has come is kept. Ctrl-C again ends at once")?;
        if self.offline {
            data.ensure(&names, Missing::Refuse, stop)?;
        }
        let fetcher = data.fetcher();
        announce(&fetcher.plan(&names)?);
        let progress = FetchProgress::new(stop);
        let results = fetcher.ensure_each(&names, &progress)?;
        progress.finish();

        let mut failed = Vec::new();
        for (name, result) in names.iter().zip(results) {
            match result {
                Ok(found) => println!("{name}: {}", told(&found)),
                Err(diffguard_datasets::Error::Stopped) => return Err(Error::Stopped),
                Err(error) => {
                    eprintln!("\n{error}");
                    failed.push(*name);
                }
            }
        }
        match failed.is_empty() {
            true => Ok(()),
            false => Err(Error::Setting(format!(
                "not at hand: {}",
                failed.join(", ")
            ))),
        }
    }
}

/// Where something is, and how sure that is.
fn told(found: &Found) -> String {
    let paths: Vec<String> = found
        .paths
        .iter()
        .map(|path| path.display().to_string())
        .collect();
    let sure = match (found.verified, found.unpacked) {
        (true, _) => "checksum as published",
        (false, true) => "unpacked folder, UNVERIFIED",
        (false, false) => "UNVERIFIED: nobody has published a checksum",
    };
    format!("{} ({sure})", paths.join(", "))
}
