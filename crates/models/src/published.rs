//! Checkpoints that others publish: what they are, in a record beside ours, while the file itself stays where the user
//! has put it.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::Error;

/// The record of a published checkpoint.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PublishedRecord<Network> {
    /// Names that the file goes by, the publisher's first.
    pub files: Vec<String>,
    /// Its SHA-256.
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

    /// The checkpoint's file: under any of its names in one of `dirs`, or in their folders `weights` and
    /// `checkpoints`.
    ///
    /// # Errors
    /// [`Error::Record`] says what to get and where to put it; `path` is the record's.
    pub fn locate(&self, path: &Path, dirs: &[PathBuf]) -> Result<PathBuf, Error> {
        let places = dirs.iter().flat_map(|dir| {
            ["", "weights", "checkpoints"]
                .into_iter()
                .flat_map(move |folder| {
                    self.files
                        .iter()
                        .map(move |file| dir.join(folder).join(file))
                })
        });
        places
            .into_iter()
            .find(|place| place.is_file())
            .ok_or_else(|| {
                let looked: Vec<String> =
                    dirs.iter().map(|dir| dir.display().to_string()).collect();
                Error::Record {
                    path: path.to_owned(),
                    what: format!(
                        "its file {} is not in {} (nor in their folders weights and checkpoints); download {} into one \
                         of them, or name the folder that has it with --data or DIFFGUARD_DATA",
                        self.files.join(" or "),
                        looked.join(", "),
                        self.source
                    ),
                }
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
