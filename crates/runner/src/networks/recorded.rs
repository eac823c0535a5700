//! The records under `assets/` that name networks. A record is of one of three kinds, and says which by its keys:
//!
//! - of weights that this program trained, which lie beside it (`file`);
//! - of a published file of a known SHA-256 (`source`);
//! - of a checkpoint that datasets.toml lists (`checkpoint`), wherever the user has it:
//!
//! ```toml
//! checkpoint = "guided-diffusion-256-uncond"   # its name in datasets.toml
//!
//! [network]
//! family = "guided-unet"
//! # ...
//!
//! [schedule]                                    # of a diffusion network
//! kind = "guided-linear"
//! ```

use std::path::PathBuf;

use diffguard_datasets::manifest::Manifest;
use diffguard_guidance::ScheduleConfig;
use diffguard_models::checkpoint::{Source, file_sha256, open_verified, sha256};
use diffguard_models::network::WeightsRecord;
use diffguard_models::published::PublishedRecord;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::{Error, Result, Root, toml_file};

/// A record of a checkpoint that datasets.toml lists.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CheckpointRecord<Network> {
    checkpoint: String,
    schedule: Option<ScheduleConfig>,
    network: Network,
}

/// Where the weights of a record are.
enum Weights {
    /// Beside the record.
    Beside { path: PathBuf, sha256: String },
    /// Where the user has the published file of this checksum.
    Published { sha256: String },
    /// Where the user has this checkpoint of datasets.toml.
    Listed { checkpoint: String },
}

/// What a record says.
pub(crate) struct Recorded<Network> {
    /// Its name, relative to `assets/`.
    pub name: String,
    /// Family and sizes.
    pub network: Network,
    /// The schedule of a diffusion network.
    pub schedule: Option<ScheduleConfig>,
    /// Day on which the training ended; empty for a published checkpoint.
    pub date: String,
    /// SHA-256 of `network`, where it is not what the training of the weights has written.
    pub description_sha256: Option<String>,
    path: PathBuf,
    weights: Weights,
}

impl<Network: DeserializeOwned> Recorded<Network> {
    /// Reads the record `name`.
    ///
    /// # Errors
    /// When there is none, or it is none of the three kinds.
    pub fn read(name: &str, root: &Root) -> Result<Self> {
        let path = root.assets().join(name);
        let table: toml::Table = toml_file::read(&path)?;
        let (network, training) = (table.get("network"), table.get("training"));
        let trained = training.and_then(|training| training.get("network"));
        let described = network.filter(|network| Some(*network) != trained);
        let description_sha256 = described.map(|it| sha256(it.to_string().as_bytes()));
        let of = |network, schedule, date, weights| Self {
            name: name.to_owned(),
            network,
            schedule,
            date,
            description_sha256: description_sha256.clone(),
            path: path.clone(),
            weights,
        };
        if table.contains_key("checkpoint") {
            let record: CheckpointRecord<Network> = table
                .try_into()
                .map_err(|error| Error::file(&path, error))?;
            let weights = Weights::Listed {
                checkpoint: record.checkpoint,
            };
            return Ok(of(record.network, record.schedule, String::new(), weights));
        }
        if table.contains_key("source") {
            let record = PublishedRecord::<Network>::read(&path)?;
            let weights = Weights::Published {
                sha256: record.sha256,
            };
            return Ok(of(record.network, None, String::new(), weights));
        }
        let record = WeightsRecord::<Network>::read(&path)?;
        let schedule = match record.training.get("schedule").cloned() {
            Some(schedule) => Some(
                schedule
                    .try_into()
                    .map_err(|error| Error::file(&path, error))?,
            ),
            None => None,
        };
        let weights = Weights::Beside {
            path: record.weights_path(&path),
            sha256: record.sha256,
        };
        Ok(of(record.network, schedule, record.date, weights))
    }
}

impl<Network> Recorded<Network> {
    /// Whether the weights lie beside the record, written by this program.
    pub fn is_own(&self) -> bool {
        matches!(self.weights, Weights::Beside { .. })
    }

    /// The checkpoint's name in datasets.toml, where the weights are not beside the record.
    ///
    /// # Errors
    /// When datasets.toml does not know it.
    pub fn checkpoint<'a>(&self, manifest: &'a Manifest) -> Result<Option<&'a str>> {
        match &self.weights {
            Weights::Beside { .. } => Ok(None),
            Weights::Published { sha256 } => {
                let known = manifest.checkpoint_of_sha256(sha256);
                let known = known.ok_or_else(|| {
                    let what = format!("no checkpoint of datasets.toml has its sha256 {sha256}");
                    Error::file(&self.path, what)
                })?;
                Ok(Some(&known.name))
            }
            Weights::Listed { checkpoint } => {
                let known = manifest
                    .checkpoint(checkpoint)
                    .map_err(|error| Error::file(&self.path, error))?;
                Ok(Some(&known.name))
            }
        }
    }

    /// Opens the weights; and their SHA-256.
    ///
    /// # Errors
    /// When they are not at hand, damaged or of another checksum.
    pub fn open(&self, root: &Root) -> Result<(Source, String)> {
        match &self.weights {
            Weights::Beside { path, sha256 } => {
                Ok((open_verified(path, Some(sha256))?, sha256.clone()))
            }
            Weights::Published { sha256 } => {
                let path = self.found(root)?;
                Ok((open_verified(&path, Some(sha256))?, sha256.clone()))
            }
            Weights::Listed { .. } => {
                // Looked for, and compared with the published checksum where there is one.
                let path = self.found(root)?;
                Ok((Source::open(&path)?, file_sha256(&path)?))
            }
        }
    }

    /// The schedule of a diffusion network.
    ///
    /// # Errors
    /// When the record has none.
    pub fn schedule(&self) -> Result<&ScheduleConfig> {
        self.schedule.as_ref().ok_or_else(|| {
            let key = match self.is_own() {
                true => "[training] has no `schedule`",
                false => "it has no [schedule]",
            };
            Error::file(&self.path, key)
        })
    }

    /// An error about the record.
    pub fn fault(&self, what: impl ToString) -> Error {
        Error::file(&self.path, what)
    }

    fn found(&self, root: &Root) -> Result<PathBuf> {
        let manifest = Manifest::read(&root.path().join("datasets.toml"))?;
        let name = self.checkpoint(&manifest)?.unwrap_or_default();
        let found = root.data().find(&manifest, name)?;
        Ok(found.paths.into_iter().next().unwrap_or_default())
    }
}
