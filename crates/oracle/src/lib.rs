//! Golden cases: inputs and outputs of reference implementations, and whether our own functions reproduce them.
//!
//! A case is one safetensors file: inputs `in.*`, reference outputs `out.*`, weights `weights.*` (in the file or in
//! those that it names), and as metadata its kind, its configuration and its tolerances. A crate that owns a kind
//! lists it as a [`Kind`]: a function from a [`Case`] to the tensors that the crate [`Produced`] for it. [`verify`]
//! compares them. An `out.*` tensor that nobody compares is a fault, but for those that a visible list excepts.

mod case;
mod compare;
mod error;
mod files;
mod large;
mod procedural;

pub use case::{Case, TensorData, Values};
pub use compare::{EXCEPTED, Fault, Kind, Produced, verify};
pub use error::{Error, Result};
pub use files::{assert_folder, case_files};
pub use large::{data_folders, large_file, passed_over};
pub use procedural::{key_hash, procedural, procedural_uniform};
