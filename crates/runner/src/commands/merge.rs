//! `merge`: shards of a run brought together.

use std::path::PathBuf;

use clap::Args;

use super::stop_signal;
use crate::Result;
use crate::bench::Options;
use crate::data::Missing;
use crate::shard::merge;
use crate::store::StorePlace;

/// Arguments of `merge`.
#[derive(Debug, Args)]
pub struct Merge {
    /// The folders of all shards (`bench --shard i/n --out DIR`) [default: the shards that finished in --store]
    #[arg(required_unless_present = "store", value_name = "DIR")]
    shards: Vec<PathBuf>,
    /// Output directory
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Where stages are stored, a folder or a URL: what the shards were given [default: OUT/store]
    #[arg(long, value_name = "DIR|URL")]
    store: Option<StorePlace>,
    /// Folder that data sets and checkpoints are looked for in first [default: those of $DIFFGUARD_DATA]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Leave out the test sets that are missing, as the shards did
    #[arg(long)]
    at_hand: bool,
    /// Show no progress
    #[arg(long)]
    no_progress: bool,
}

impl Merge {
    pub(crate) fn run(self) -> Result<()> {
        let options = Options {
            out: Some(self.out),
            store: self.store,
            data: self.data,
            no_progress: self.no_progress,
            missing: match self.at_hand {
                true => Missing::LeaveOut,
                false => Missing::Refuse,
            },
            ..Options::default()
        };
        merge(&self.shards, &options, stop_signal()?).map(|_| ())
    }
}
