//! Classifiers by name or path, as the command line gives them.

use std::path::{Path, PathBuf};

use burn::tensor::Device;
use diffguard_datasets::manifest::Checkpoint;
use diffguard_models::Classifier;
use diffguard_models::checkpoint::{KeyMap, Source, file_sha256};
use diffguard_models::described::DescribedClassifier;
use diffguard_models::network::{ClassifierNetwork, WeightsRecord};

use crate::data::Data;
use crate::{Error, Result, Root, toml_file};

/// A classifier that was found: what it is, and where its weights are.
pub struct FoundClassifier {
    /// What to call it: its name in datasets.toml, or its file's.
    pub name: String,
    /// Family, sizes and preprocessing.
    pub network: ClassifierNetwork,
    /// How the file names the weights.
    pub keys: KeyMap,
    /// The weights.
    pub path: PathBuf,
    /// Their SHA-256.
    pub sha256: String,
}

impl FoundClassifier {
    /// Finds `model`: a checkpoint's name in datasets.toml (its file is where `data` has it), a description or a weights
    /// record (TOML), or a checkpoint file. A bare file is known by its SHA-256 in datasets.toml, or described by
    /// `config`.
    ///
    /// # Errors
    /// When nothing is there, or nobody says which network a file belongs to.
    pub fn find(model: &str, config: Option<&Path>, data: &Data, root: &Root) -> Result<Self> {
        let path = Path::new(model);
        if let Some(config) = config {
            let mut described = DescribedClassifier::read(config)?;
            described.checkpoint = path.to_owned();
            return Self::described(described);
        }
        if path.extension().is_some_and(|ending| ending == "toml") {
            let table: toml::Table = toml_file::read(path)?;
            return match table.contains_key("file") {
                true => Self::recorded(path, WeightsRecord::read(path)?),
                false => Self::described(DescribedClassifier::read(path)?),
            };
        }
        let manifest = &data.manifest;
        if path.is_file() {
            let sha256 = file_sha256(path)?;
            let known = manifest.checkpoint_of_sha256(&sha256);
            let network = known
                .map(|checkpoint| network(checkpoint, root))
                .transpose()?;
            let (Some(checkpoint), Some(Some(network))) = (known, network) else {
                return Err(Error::file(
                    path,
                    format!(
                        "no checkpoint with a network in datasets.toml has its sha256 {sha256}; say which network it \
                         belongs to: --config FILE (a TOML with [network] family = ..., see the README)"
                    ),
                ));
            };
            return Ok(Self {
                name: checkpoint.name.clone(),
                keys: network.key_map(),
                network,
                path: path.to_owned(),
                sha256,
            });
        }
        let checkpoint = manifest.checkpoint(model)?;
        let Some(network) = network(checkpoint, root)? else {
            return Err(Error::file(
                &root.path().join("datasets.toml"),
                format!(
                    "`{model}` is no classifier that datasets.toml describes ([checkpoint.network])"
                ),
            ));
        };
        let found = data.find(model)?;
        let path = found.paths.into_iter().next().unwrap_or_default();
        Ok(Self {
            name: model.to_owned(),
            keys: network.key_map(),
            network,
            sha256: file_sha256(&path)?,
            path,
        })
    }

    fn described(described: DescribedClassifier) -> Result<Self> {
        let sha256 = file_sha256(&described.checkpoint)?;
        if let Some(expected) = &described.sha256
            && *expected != sha256
        {
            return Err(Error::file(
                &described.checkpoint,
                format!("its sha256 is {sha256}, its description says {expected}"),
            ));
        }
        Ok(Self {
            name: stem(&described.checkpoint),
            keys: described.key_map(),
            network: described.network,
            path: described.checkpoint,
            sha256,
        })
    }

    fn recorded(path: &Path, record: WeightsRecord<ClassifierNetwork>) -> Result<Self> {
        let checked = record.network.check();
        checked.map_err(|what| Error::file(path, what))?;
        let weights = record.weights_path(path);
        let sha256 = file_sha256(&weights)?;
        if sha256 != record.sha256 {
            return Err(Error::file(
                &weights,
                format!("its sha256 is {sha256}, its record says {}", record.sha256),
            ));
        }
        Ok(Self {
            name: stem(path),
            network: record.network,
            keys: KeyMap::native(),
            path: weights,
            sha256,
        })
    }

    /// Loads it for inference.
    ///
    /// # Errors
    /// When the file is damaged or does not fit.
    pub fn load(&self, device: &Device) -> Result<Box<dyn Classifier>> {
        let source = Source::open(&self.path)?;
        Ok(self.network.load_from(&source, &self.keys, device)?)
    }
}

fn stem(path: &Path) -> String {
    path.file_stem()
        .map_or_else(String::new, |stem| stem.to_string_lossy().into_owned())
}

/// The network that datasets.toml gives a checkpoint, where it is a classifier.
pub fn network(checkpoint: &Checkpoint, root: &Root) -> Result<Option<ClassifierNetwork>> {
    let Some(table) = &checkpoint.network else {
        return Ok(None);
    };
    let fault = |what: String| {
        Error::file(
            &root.path().join("datasets.toml"),
            format!("`{}`: {what}", checkpoint.name),
        )
    };
    let network: ClassifierNetwork = table
        .clone()
        .try_into()
        .map_err(|error| fault(error.to_string()))?;
    network.check().map_err(fault)?;
    Ok(Some(network))
}
