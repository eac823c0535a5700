//! `bench`: run an experiment.

use std::path::PathBuf;

use clap::Args;
use diffguard_models::Compute;

use super::stop_signal;
use crate::Result;
use crate::bench::{Options, bench};
use crate::data::Missing;
use crate::shard::Shard;
use crate::store::StorePlace;

/// Arguments of `bench`.
#[derive(Debug, Args)]
pub struct Bench {
    /// An experiment's name (see `list`), or the path of its TOML file
    experiment: String,
    /// Images of each test set at most; the outputs then go to runs/, never over committed results
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    /// The classifier under protection, by the name of its file, in place of the experiment's first; see `seeds`
    #[arg(long, value_name = "NAME")]
    protect: Option<String>,
    /// Output directory [default: results/NAME, with --limit runs/NAME-limit-N]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Compute one of n equal shares of the work, for `merge`; needs --out
    #[arg(long, value_name = "I/N", requires = "out")]
    shard: Option<Shard>,
    /// Where stages are stored: a folder, or a URL (file://, memory://; s3://, gs://, az:// with the cargo features s3,
    /// gcs, azure), which any number of runs may share [default: DIR/store with --out, else runs/store]
    #[arg(long, value_name = "DIR|URL")]
    store: Option<StorePlace>,
    /// Device: cpu, ndarray, cuda:N, vulkan:N or wgpu:N (all but cpu need a cargo feature)
    #[arg(long, value_name = "NAME")]
    device: Option<String>,
    /// Images of a work unit
    #[arg(long, value_name = "N")]
    batch: Option<usize>,
    /// What the diffusion networks' convolutions compute on, f32 or bf16 (on the CPU; fast where it has AMX) [default: as the
    /// experiment says]
    #[arg(long, value_name = "TYPE")]
    compute: Option<Compute>,
    /// Seed of the choice of images, of random labels, of noise and of the bootstrap
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Threads [default: one a core]
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
    /// Also table every row's difference in AUROC to this one, with interval and p-value
    #[arg(long, value_name = "ROW")]
    against: Option<String>,
    /// Take the rows that a finished run (in results/ by name, or a folder) has under the same settings, images and networks, and
    /// compute the others alone; fusions are made of the scores as they are stored
    #[arg(long, value_name = "RUN", conflicts_with_all = ["shard", "export", "synthetic", "force"])]
    rows_of: Option<String>,
    /// Also write features, logits and heads to DIR, for other programs (see xtask/peers/detectors.py); of training images
    /// where a detector fits to them
    #[arg(long, value_name = "DIR")]
    export: Option<PathBuf>,
    /// Print the plan (what is stored, what will be computed, time and disk) and stop; write and fetch nothing
    #[arg(long)]
    dry_run: bool,
    /// Show no progress
    #[arg(long)]
    no_progress: bool,
    /// Compute again what is stored
    #[arg(long)]
    force: bool,
    /// Folder that data sets and checkpoints are looked for in first [default: those of $DIFFGUARD_DATA]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Folder for fetched data sets [default: $DIFFGUARD_CACHE, else the user's cache]
    #[arg(long, value_name = "DIR")]
    cache: Option<PathBuf>,
    /// Run it with nothing at hand, on generated images with generated weights and reduced networks, to prove the path;
    /// outputs are stamped SYNTHETIC and go to runs/NAME-synthetic
    #[arg(long, conflicts_with_all = ["shard", "dry_run", "data", "cache", "offline", "at_hand"])]
    synthetic: bool,
    /// Fetch nothing; refuse if a data set is missing
    #[arg(long)]
    offline: bool,
    /// Fetch nothing; leave out the test sets that are missing
    #[arg(long, conflicts_with = "offline")]
    at_hand: bool,
}

impl Bench {
    pub(crate) fn run(self) -> Result<()> {
        let options = Options {
            limit: self.limit,
            protect: self.protect,
            out: self.out,
            shard: self.shard,
            store: self.store,
            device: self.device,
            batch: self.batch,
            compute: self.compute,
            seed: self.seed,
            threads: self.threads,
            against: self.against,
            rows_of: self.rows_of,
            export: self.export,
            dry_run: self.dry_run,
            no_progress: self.no_progress,
            force: self.force,
            data: self.data,
            cache: self.cache,
            synthetic: self.synthetic,
            missing: match (self.offline, self.at_hand) {
                (true, _) => Missing::Refuse,
                (_, true) => Missing::LeaveOut,
                _ => Missing::Fetch,
            },
        };
        bench(&self.experiment, &options, stop_signal()?).map(|_| ())
    }
}
