//! Every reader of foreign bytes as a function of bytes, for fuzzers and for the tests that mutate files.
//!
//! A reader takes any bytes without a panic, gives an error that names file, entry and mend where it refuses them, and
//! sets aside no more than [`MEMORY`] for inputs of [`INPUT`] bytes.

use std::path::Path;

use crate::container::Container;
use crate::{Error, Result, cifar, decode, idx, mat5, parquet_images::ParquetImages};

/// The longest input for which [`MEMORY`] holds.
pub const INPUT: usize = 32 << 10;

/// The most memory that a reader may hold at a time, in bytes: an input of this size unpacked at deflate's best ratio
/// (1032), twice over (as decoded, and by colours), and what the decompressors and formats need themselves.
pub const MEMORY: usize = 96 << 20;

/// A reader.
pub struct Target {
    /// Its name.
    pub name: &'static str,
    /// Reads the bytes to their end; the path only names them.
    pub run: fn(&Path, &[u8]) -> Result<()>,
}

/// All readers.
pub const TARGETS: &[Target] = &[
    Target {
        name: "tar",
        run: container,
    },
    Target {
        name: "tar_gz",
        run: container,
    },
    Target {
        name: "zip",
        run: container,
    },
    Target {
        name: "decode",
        run: |path, bytes| decode::rgb(bytes, path, "picture").map(drop),
    },
    Target {
        name: "mat5",
        run: |path, bytes| mat5::svhn(path, bytes).map(drop),
    },
    Target {
        name: "parquet",
        run: |path, bytes| {
            let file = ParquetImages::from_bytes(path, bytes.to_vec())?;
            (0..file.groups()).try_for_each(|group| file.rows(group).map(drop))
        },
    },
    Target {
        name: "idx",
        run: |path, bytes| idx::parse(path, bytes, 3).map(drop),
    },
    Target {
        name: "cifar_sheet",
        run: |path, bytes| cifar::sheet(path, bytes, 16, &mut Vec::new()),
    },
    Target {
        name: "cifar_records",
        run: |path, bytes| {
            let (mut pixels, mut labels) = (Vec::new(), Vec::new());
            cifar::records(path, bytes, 4, &[20, 100], &mut pixels, &mut labels)
        },
    },
];

/// Runs the reader called `name`, for a fuzzer: whatever it says of the bytes, it may not panic.
///
/// # Errors
///
/// [`Error::Unknown`] where there is none of that name.
pub fn run(name: &str, bytes: &[u8]) -> Result<()> {
    let target = TARGETS.iter().find(|target| target.name == name);
    let target = target.ok_or_else(|| Error::Unknown {
        kind: "fuzz target",
        name: name.into(),
        known: TARGETS
            .iter()
            .map(|t| t.name)
            .collect::<Vec<_>>()
            .join(", "),
    })?;
    drop((target.run)(Path::new("fuzz"), bytes));
    Ok(())
}

/// Opens an archive and reads every file in it, each once forward and some again.
fn container(path: &Path, bytes: &[u8]) -> Result<()> {
    let container = Container::from_bytes(path, bytes.to_vec())?;
    for index in (0..container.len()).chain((0..container.len()).rev().step_by(3)) {
        container.read_index(index)?;
    }
    Ok(())
}
