//! What can be asked for on the command line: one file and one line in [`cli`](crate::cli) a command.

mod accuracy;
mod bench;
mod compare;
mod datasets;
mod evaluate;
mod fetch;
mod list;
mod merge;
mod model;
mod perf;
mod prepare_quick;
mod sample;
mod score;
mod seeds;
mod tables;
mod train;
mod verify;

pub use accuracy::Accuracy;
pub use bench::Bench;
pub use compare::Compare;
pub use datasets::Datasets;
pub use evaluate::Evaluate;
pub use fetch::Fetch;
pub use list::List;
pub use merge::Merge;
pub use model::Model;
pub use perf::Perf;
pub use prepare_quick::PrepareQuick;
pub use sample::Sample;
pub use score::Score;
pub use seeds::SeedsOf;
pub use tables::Tables;
pub use train::{Train, What};
pub use verify::Verify;

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use diffguard_datasets::fetch::DataDirs;

use crate::{Error, Result};

/// Folders in which data sets are looked for, in order: the given ones, those of `DIFFGUARD_DATA` (both divided as in
/// `PATH`), Debian's.
fn data_dirs(given: Option<PathBuf>, environment: Option<OsString>) -> Vec<PathBuf> {
    let given = given.map(PathBuf::into_os_string);
    let mut folders: Vec<PathBuf> = [given, environment]
        .into_iter()
        .flatten()
        .flat_map(|folders| std::env::split_paths(&folders).collect::<Vec<_>>())
        .filter(|folder| !folder.as_os_str().is_empty())
        .collect();
    folders.push(PathBuf::from("/usr/share/datasets"));
    folders
}

/// The folder that fetched data is kept in: the given one, else `DIFFGUARD_CACHE`, else one in the user's cache.
fn cache_dir(given: Option<PathBuf>) -> Result<PathBuf> {
    given
        .or_else(|| {
            let set = std::env::var_os("DIFFGUARD_CACHE").filter(|dir| !dir.is_empty());
            set.map(PathBuf::from)
        })
        .or_else(|| dirs::cache_dir().map(|dir| dir.join("diffguard")))
        .ok_or_else(|| {
            let mend = "give a folder for fetched data with --cache or DIFFGUARD_CACHE";
            Error::Setting(format!("this user has no cache folder: {mend}"))
        })
}

/// The folders of data sets for the command line's `--data` and `--cache`.
pub(crate) fn data_folders(data: Option<PathBuf>, cache: Option<PathBuf>) -> Result<DataDirs> {
    Ok(DataDirs {
        data: data_dirs(data, std::env::var_os("DIFFGUARD_DATA")),
        cache: cache_dir(cache)?,
    })
}

/// A flag that the first Ctrl-C sets; the second one ends the process at once.
pub(crate) fn stop_signal() -> Result<&'static AtomicBool> {
    stop_signal_saying("stopping after the current work unit; press Ctrl-C again to stop at once")
}

/// [`stop_signal`] with the words that the first Ctrl-C is answered with.
pub(crate) fn stop_signal_saying(words: &'static str) -> Result<&'static AtomicBool> {
    static STOP: AtomicBool = AtomicBool::new(false);
    ctrlc::set_handler(move || {
        if STOP.swap(true, Ordering::Relaxed) {
            std::process::exit(130);
        }
        eprintln!("\n{words}");
    })
    .map_err(|error| Error::Setting(format!("cannot listen for Ctrl-C: {error}")))?;
    Ok(&STOP)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_folders_are_divided_as_in_path() {
        let [a, b, c] = ["a", "b", "c"].map(PathBuf::from);
        let two = std::env::join_paths([&a, &b]).unwrap();
        let debian = PathBuf::from("/usr/share/datasets");
        let found = data_dirs(Some(two.into()), Some(c.clone().into()));
        assert_eq!(found, [a, b, c, debian.clone()]);
        assert_eq!(data_dirs(None, Some(OsString::new())), [debian]);
    }
}
