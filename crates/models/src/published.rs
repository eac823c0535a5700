//! Checkpoints that others publish: what they are, in a record beside ours, while the file itself stays where the user
//! has put it.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::Error;

/// The record of a published checkpoint.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PublishedRecord<Network> {
    /// The SHA-256 of its file.
    pub sha256: String,
    /// Where it comes from.
    pub source: String,
    /// Its licence.
    pub licence: String,
    /// What the publisher says of it, by name (`accuracy`…).
    pub published: std::collections::BTreeMap<String, f64>,
    /// The network.
    pub network: Network,
}

impl<Network: serde::de::DeserializeOwned> PublishedRecord<Network> {
    /// Whether the record at `path` is of a published checkpoint (it has a `source`).
    ///
    /// # Errors
    /// [`Error::Read`] and [`Error::Record`], which name the file.
    pub fn is_at(path: &Path) -> Result<bool, Error> {
        Ok(table(path)?.contains_key("source"))
    }

    /// Reads a record.
    ///
    /// # Errors
    /// [`Error::Read`] and [`Error::Record`], which name the file.
    pub fn read(path: &Path) -> Result<Self, Error> {
        table(path)?.try_into().map_err(|error| Error::Record {
            path: path.to_owned(),
            what: error.to_string(),
        })
    }
}

fn table(path: &Path) -> Result<toml::Table, Error> {
    let text = std::fs::read_to_string(path).map_err(|source| Error::Read {
        path: path.to_owned(),
        source,
    })?;
    text.parse()
        .map_err(|error: toml::de::Error| Error::Record {
            path: path.to_owned(),
            what: error.to_string(),
        })
}
