//! `train`: train a network from a configuration.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use diffguard_training::Outcome;

use super::{data_folders, stop_signal};
use crate::data::Data;
use crate::lock::Lock;
use crate::{Error, Result, Root, device};

/// What to train.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum What {
    /// A classifier
    Classifier,
    /// A diffusion network
    Diffusion,
}

/// Arguments of `train`.
#[derive(Debug, Args)]
pub struct Train {
    /// What to train
    what: What,
    /// The training configuration
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Directory of checkpoints and results [default: runs/train/NAME-OF-THE-FILE]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Folder that is looked into for data first [default: $DIFFGUARD_DATA]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Folder of what was fetched [default: $DIFFGUARD_CACHE, else the user's cache]
    #[arg(long, value_name = "DIR")]
    cache: Option<PathBuf>,
    /// Device, as for `bench`
    #[arg(long, default_value = "cpu", value_name = "NAME")]
    device: String,
    /// Threads [default: one a core]
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
    /// Plain lines in place of the progress bar
    #[arg(long)]
    no_progress: bool,
}

impl Train {
    pub(crate) fn run(self) -> Result<()> {
        let root = Root::find()?;
        if let Some(threads) = self.threads {
            // Fails only where a pool exists already, which then has its size.
            let _ = rayon::ThreadPoolBuilder::new()
                .num_threads(threads)
                .build_global();
        }
        let name = self
            .config
            .file_stem()
            .map(|stem| stem.to_string_lossy().into_owned())
            .unwrap_or_default();
        let out = self
            .out
            .unwrap_or_else(|| root.runs().join("train").join(name));
        let data = Data::new(&root, data_folders(self.data, self.cache)?)?;
        let _lock = Lock::take(&out)?;
        let context = diffguard_training::Context {
            shelf: data.shelf(),
            out: &out,
            device: device::parse(&self.device)?,
            stop: stop_signal()?,
            progress: !self.no_progress && std::io::IsTerminal::is_terminal(&std::io::stderr()),
        };
        // On a thread of the pool, so that no operation waits for one to wake.
        let outcome = rayon::scope(|_| match self.what {
            What::Classifier => diffguard_training::train_classifier(&self.config, &context),
            What::Diffusion => diffguard_training::train_diffusion(&self.config, &context),
        });
        match outcome? {
            Outcome::Finished(record) => {
                println!("written: {}", record.display());
                Ok(())
            }
            Outcome::Stopped(step) => {
                eprintln!("stopped after step {step}");
                Err(Error::Stopped)
            }
        }
    }
}
