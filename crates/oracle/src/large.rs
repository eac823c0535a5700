//! Data that is too large for the repository: what tests read where the user has it, and pass over aloud elsewhere.

use std::io::Write;
use std::path::PathBuf;

/// The folders of `DIFFGUARD_DATA`, divided as in `PATH`.
pub fn data_folders() -> Vec<PathBuf> {
    let given = std::env::var_os("DIFFGUARD_DATA").unwrap_or_default();
    let folders = std::env::split_paths(&given).filter(|path| !path.as_os_str().is_empty());
    folders.collect()
}

/// `path` in the first data folder that has it; [passed over](passed_over) where none has.
pub fn large_file(path: &str) -> Option<PathBuf> {
    let places = data_folders().into_iter().map(|folder| folder.join(path));
    let found = places.into_iter().find(|place| place.exists());
    if found.is_none() {
        passed_over(path);
    }
    found
}

/// Says which test is passed over because `what` is not at hand: to the file that `DIFFGUARD_PASSED_OVER` names, as
/// `cargo xtask test` does to tell them at its end, else to the error stream itself, which libtest does not hide.
pub fn passed_over(what: &str) {
    let thread = std::thread::current();
    let line = format!(
        "PASSED OVER {}: {what} is in no folder of DIFFGUARD_DATA\n",
        thread.name().unwrap_or("test")
    );
    let list = std::env::var_os("DIFFGUARD_PASSED_OVER").and_then(|path| {
        let mut options = std::fs::OpenOptions::new();
        options.append(true).create(true).open(path).ok()
    });
    // Nothing is left to be done where even that cannot be written.
    let _ = match list {
        Some(mut list) => list.write_all(line.as_bytes()),
        None => std::io::stderr().write_all(line.as_bytes()),
    };
}
