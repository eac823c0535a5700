//! A user's own classifier: a TOML file in place of recompiling.
//!
//! ```toml
//! checkpoint = "my-resnet18.pt"      # relative to this file; zip, legacy or safetensors
//! sha256     = "..."                 # optional: refuse another file
//!
//! [network]                          # family, sizes and preprocessing; `cargo xtask list` names the families
//! family      = "resnet18-32"
//! num_classes = 10
//! input_side  = 32
//! mean        = [0.4914, 0.4822, 0.4465]
//! std         = [0.2470, 0.2435, 0.2616]
//!
//! [keys]                             # optional: how the file names what the family has; see `KeyMap`
//! roots  = ["state_dict"]
//! strip  = ["module", "backbone"]
//! ignore = ["*.num_batches_tracked"]
//! rename = [["classifier", "fc"]]
//! ```

use std::path::{Path, PathBuf};

use burn::tensor::Device;
use serde::{Deserialize, Serialize};

use crate::checkpoint::{KeyMap, open_verified};
use crate::network::ClassifierNetwork;
use crate::{Classifier, Error};

/// What computes a described classifier. A further route (an ONNX graph) is a further variant here and a further
/// implementation of [`Classifier`] behind it; nothing that uses one would change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Runtime {
    /// A family of this crate, with weights from a checkpoint.
    #[default]
    Burn,
    /// An ONNX graph: the name is taken, the route is not built.
    Onnx,
}

/// The description of a classifier, as a TOML file holds it; see the module's documentation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DescribedClassifier {
    /// The weights, relative to the description.
    pub checkpoint: PathBuf,
    /// SHA-256 of the weights, where another file is to be refused.
    pub sha256: Option<String>,
    /// What computes it.
    #[serde(default)]
    pub runtime: Runtime,
    /// Family, sizes and preprocessing.
    pub network: ClassifierNetwork,
    /// How the file names the weights; the family's published names where it does not say.
    pub keys: Option<KeyMap>,
}

impl DescribedClassifier {
    /// Reads a description; the path of its weights is resolved against the file's folder.
    ///
    /// # Errors
    /// [`Error::Read`] and [`Error::Record`], which name the file and the key.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let fault = |what: String| Error::Record {
            path: path.to_owned(),
            what,
        };
        let text = std::fs::read_to_string(path).map_err(|source| Error::Read {
            path: path.to_owned(),
            source,
        })?;
        let mut described: Self =
            toml::from_str(&text).map_err(|error| fault(error.to_string()))?;
        described
            .network
            .check()
            .map_err(|what| fault(format!("[network] {what}")))?;
        if described.runtime == Runtime::Onnx {
            return Err(fault(
                "runtime = \"onnx\" is not built; export the weights as a state dict or safetensors and name a family"
                    .into(),
            ));
        }
        described.checkpoint = path.with_file_name(&described.checkpoint);
        Ok(described)
    }

    /// The table from the file's names to ours.
    pub fn key_map(&self) -> KeyMap {
        match &self.keys {
            Some(keys) => keys.clone(),
            None => self.network.key_map(),
        }
    }

    /// Loads it for inference.
    ///
    /// # Errors
    /// As [`open_verified`] and [`load`](crate::checkpoint::load).
    pub fn load(&self, device: &Device) -> Result<Box<dyn Classifier>, Error> {
        let source = open_verified(&self.checkpoint, self.sha256.as_deref())?;
        self.network.load_from(&source, &self.key_map(), device)
    }
}
