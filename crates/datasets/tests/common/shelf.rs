//! The repository's manifest, and the folders that data is in.

use std::path::{Path, PathBuf};

use diffguard_datasets::benchmark::Shelf;
use diffguard_datasets::fetch::DataDirs;
use diffguard_datasets::manifest::Manifest;
use diffguard_datasets::{Error, Result};

/// The repository.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The folders of `DIFFGUARD_DATA`, and Debian's.
pub fn at_hand() -> Vec<PathBuf> {
    let mut folders = diffguard_oracle::data_folders();
    folders.push("/usr/share/datasets".into());
    folders
}

/// Calls `act` with the repository's data sets, looked for in `data`, then in an empty cache.
pub fn with_shelf<T>(data: Vec<PathBuf>, act: impl FnOnce(&Shelf<'_>) -> T) -> T {
    let manifest = Manifest::read(&root().join("datasets.toml")).unwrap();
    let cache = tempfile::tempdir().unwrap();
    let dirs = DataDirs {
        data,
        cache: cache.path().to_path_buf(),
    };
    let assets = root().join("assets");
    act(&Shelf {
        assets: &assets,
        manifest: &manifest,
        dirs: &dirs,
    })
}

/// What was read; `None` and a word about it where it is not at hand.
pub fn or_passed_over<T>(name: &str, read: Result<T>) -> Option<T> {
    match read {
        Err(Error::Missing { .. }) => {
            diffguard_oracle::passed_over(name);
            None
        }
        read => Some(read.expect("what is at hand is whole")),
    }
}
