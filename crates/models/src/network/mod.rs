//! Networks by name: a family and its configuration, as a training configuration or a weights record writes them.
//! To add a family: one file, and its variant in [`ClassifierNetwork`] or [`DiffusionNetwork`].

mod classifier;
mod diffusion;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

pub use self::classifier::{CLASSIFIERS, ClassifierNetwork, ClassifierTask};
pub use self::diffusion::DiffusionNetwork;
use crate::Error;

/// Refuses images `[channel, height, width]` of another size than `layer` is meant for.
fn same_images(layer: &'static str, expected: [usize; 3], found: [usize; 3]) -> Result<(), Error> {
    match found == expected {
        true => Ok(()),
        false => Err(Error::Input {
            layer,
            expected: expected.to_vec(),
            found: found.to_vec(),
        }),
    }
}

/// The record that training writes beside each weights file (`NAME.toml` beside `NAME.safetensors`).
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WeightsRecord<Network> {
    /// Name of the weights file, beside the record.
    pub file: String,
    /// SHA-256 of the weights file.
    pub sha256: String,
    /// Day on which the training ended, `YYYY-MM-DD`.
    pub date: String,
    /// Stored numbers: parameters and running statistics.
    pub parameters: usize,
    /// Images seen in training.
    pub images: usize,
    /// Wall-clock hours of training.
    pub hours: f64,
    /// What was measured at the end, by name (`val_accuracy`, `val_loss`…).
    pub measured: std::collections::BTreeMap<String, f64>,
    /// The network.
    pub network: Network,
    /// The training configuration, as it was read.
    pub training: toml::Table,
}

impl<Network: serde::de::DeserializeOwned> WeightsRecord<Network> {
    /// Reads a record.
    ///
    /// # Errors
    /// [`Error::Read`] and [`Error::Record`], which name the file.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let text = std::fs::read_to_string(path).map_err(|source| Error::Read {
            path: path.to_owned(),
            source,
        })?;
        toml::from_str(&text).map_err(|error| Error::Record {
            path: path.to_owned(),
            what: error.to_string(),
        })
    }

    /// Path of the weights file of a record at `record`.
    pub fn weights_path(&self, record: &Path) -> PathBuf {
        record.with_file_name(&self.file)
    }
}
