//! Stored outputs of stages: one safetensors file a work unit, named by the hash of all that it depends on.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;

use diffguard_guidance::Cost;
use diffguard_report::write_atomic;
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::{Error, Result};

/// A hash of everything that an output depends on.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(transparent)]
pub struct Key(String);

impl Key {
    /// The key of a stage at a version of its code, and the configuration and the inputs' keys or checksums.
    pub fn new(stage: &str, version: u32, depends_on: &impl Serialize) -> Self {
        // Only plain configuration structs come here; none of them can fail to serialise.
        let text = serde_json::to_string(&(stage, version, depends_on)).unwrap_or_default();
        Self::of(text.as_bytes())
    }

    /// The key of raw bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(
            Sha256::digest(bytes)
                .iter()
                .take(16)
                .map(|byte| format!("{byte:02x}"))
                .collect(),
        )
    }

    /// As text, 32 hexadecimal digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// An f32 array, row-major.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Array {
    /// Its dimensions; the first is the samples'.
    pub shape: Vec<usize>,
    /// Its values.
    pub values: Vec<f32>,
}

/// What a stage makes of a work unit.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Output {
    /// Arrays by name.
    pub arrays: BTreeMap<String, Array>,
    /// Rows that went through the networks for it.
    pub cost: Cost,
    /// Seconds that it took when it was computed.
    pub seconds: f64,
}

impl Output {
    /// The array of a name.
    ///
    /// # Errors
    /// When the stage did not make it: a stored file of another version of the program.
    pub fn array(&self, name: &str) -> Result<&Array> {
        self.arrays.get(name).ok_or_else(|| {
            Error::Setting(format!(
                "a stored stage has no array `{name}`; run again with --force"
            ))
        })
    }
}

/// A folder of stored outputs.
#[derive(Clone, Debug)]
pub struct Store {
    folder: PathBuf,
}

impl Store {
    /// The store in a folder, which is made when something is put.
    pub fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    fn path(&self, stage: &str, key: &Key) -> PathBuf {
        self.folder
            .join(stage)
            .join(format!("{}.safetensors", key.as_str()))
    }

    /// A stored output; `None` where there is none, or where the file is not whole (it is then computed again).
    pub fn get(&self, stage: &str, key: &Key) -> Option<Output> {
        let bytes = std::fs::read(self.path(stage, key)).ok()?;
        let (_, header) = SafeTensors::read_metadata(&bytes).ok()?;
        let metadata = header.metadata().as_ref()?;
        let mut arrays = BTreeMap::new();
        for (name, view) in SafeTensors::deserialize(&bytes).ok()?.iter() {
            if view.dtype() != Dtype::F32 {
                return None;
            }
            let values = view
                .data()
                .chunks_exact(4)
                .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
                .collect();
            arrays.insert(
                name.to_owned(),
                Array {
                    shape: view.shape().to_vec(),
                    values,
                },
            );
        }
        Some(Output {
            arrays,
            cost: serde_json::from_str(metadata.get("cost")?).ok()?,
            seconds: metadata.get("seconds")?.parse().ok()?,
        })
    }

    /// Stores an output, whole or not at all.
    ///
    /// # Errors
    /// Names the file and the mend when it cannot be written.
    pub fn put(&self, stage: &str, key: &Key, output: &Output) -> Result<()> {
        let path = self.path(stage, key);
        let bytes: BTreeMap<&String, Vec<u8>> = output
            .arrays
            .iter()
            .map(|(name, array)| {
                (
                    name,
                    array.values.iter().flat_map(|v| v.to_le_bytes()).collect(),
                )
            })
            .collect();
        let fault = |error: &dyn std::fmt::Display| Error::file(&path, error.to_string());
        let mut views = Vec::new();
        for (name, array) in &output.arrays {
            let view = TensorView::new(Dtype::F32, array.shape.clone(), &bytes[name])
                .map_err(|e| fault(&e))?;
            views.push((name.clone(), view));
        }
        let metadata = HashMap::from([
            (
                "cost".to_owned(),
                serde_json::to_string(&output.cost).map_err(|e| fault(&e))?,
            ),
            ("seconds".to_owned(), output.seconds.to_string()),
        ]);
        let file = safetensors::serialize(views, Some(metadata)).map_err(|e| fault(&e))?;
        let folder = self.folder.join(stage);
        std::fs::create_dir_all(&folder).map_err(|error| Error::io(&folder, &error))?;
        Ok(write_atomic(&path, &file)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn output() -> Output {
        let array = Array {
            shape: vec![2, 1],
            values: vec![1.5, -0.25],
        };
        Output {
            arrays: BTreeMap::from([("latent".to_owned(), array)]),
            cost: Cost {
                unet_rows: 7,
                ..Cost::default()
            },
            seconds: 0.125,
        }
    }

    #[test]
    fn what_is_put_comes_back() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::new(folder.path().join("store"));
        let key = Key::new("invert", 1, &("config", 3));
        assert_eq!(store.get("invert", &key), None);
        store.put("invert", &key, &output()).unwrap();
        assert_eq!(store.get("invert", &key), Some(output()));
    }

    #[test]
    fn a_truncated_file_counts_as_absent() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::new(folder.path().to_owned());
        let key = Key::of(b"x");
        store.put("s", &key, &output()).unwrap();
        let path = store.path("s", &key);
        let bytes = std::fs::read(&path).unwrap();
        for length in [0, 4, 20, bytes.len() - 1] {
            std::fs::write(&path, &bytes[..length]).unwrap();
            assert_eq!(store.get("s", &key), None, "of {length} bytes");
        }
    }

    #[test]
    fn a_key_changes_with_everything_it_depends_on() {
        let key = Key::new("a", 1, &"x");
        assert_ne!(key, Key::new("b", 1, &"x"));
        assert_ne!(key, Key::new("a", 2, &"x"));
        assert_ne!(key, Key::new("a", 1, &"y"));
        assert_eq!(key, Key::new("a", 1, &"x"));
    }
}
