//! What can be asked for on the command line: one file and one line in [`cli`](crate::cli) a command.

mod bench;
mod list;
mod perf;
mod prepare_quick;
mod score;
mod train;
mod verify;

pub use bench::Bench;
pub use list::List;
pub use perf::Perf;
pub use prepare_quick::PrepareQuick;
pub use score::Score;
pub use train::{Train, What};
pub use verify::Verify;

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::{Error, Result};

/// Folders in which data sets are looked for, in order.
pub(crate) fn data_dirs(given: Option<PathBuf>) -> Vec<PathBuf> {
    let environment = std::env::var_os("DIFFGUARD_DATA").map(PathBuf::from);
    given
        .into_iter()
        .chain(environment)
        .chain([PathBuf::from("/usr/share/datasets")])
        .collect()
}

/// A flag that the first Ctrl-C sets; the second one ends the process at once.
pub(crate) fn stop_signal() -> Result<&'static AtomicBool> {
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
