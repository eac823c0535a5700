//! Weights in files: what is stored, what is missing and what does not fit is said, never skipped silently.
//!
//! A [`Source`] is an opened file, a [`KeyMap`] the table from its names to the network's, [`load`] the way in.

mod key_map;
mod module;
mod pickle;
mod pytorch;
mod safetensors;
mod save;
mod source;
mod verified;

pub use key_map::{KeyMap, Selection};
pub use module::{load, load_selection};
pub use save::{Precision, to_bytes};
pub use source::{Dtype, Entry, Source};
pub use verified::{file_sha256, open_verified, sha256};

use std::path::Path;

use burn::module::Module;

use crate::Error;

/// Loads safetensors `bytes` that this program wrote, read from `path`, into `module`.
///
/// # Errors
/// [`Error::Checkpoint`] names the file and the parameters that are missing, unexpected or misshapen.
pub fn from_bytes<M: Module>(module: M, bytes: Vec<u8>, path: &Path) -> Result<M, Error> {
    load(module, &Source::from_bytes(bytes, path)?, &KeyMap::native())
}

/// The first names of a list, and how many more there are.
fn listed(names: &[String]) -> String {
    let shown = names.iter().take(5).cloned().collect::<Vec<_>>().join(", ");
    match names.len() {
        0..=5 => shown,
        n => format!("{shown} and {} more", n - 5),
    }
}
