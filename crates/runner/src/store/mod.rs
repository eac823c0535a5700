//! Stored outputs of stages: one safetensors file a work unit, named by the hash of all that it depends on. They lie in
//! a folder, or under a URL of an object store, that any number of runs may share: a file appears whole or not at all, and
//! whoever writes it writes the same.

mod encoding;
mod folder;
mod objects;
mod place;

use std::collections::{BTreeMap, HashSet};
use std::path::PathBuf;

use diffguard_guidance::Cost;
use serde::Serialize;
use sha2::{Digest, Sha256};

pub use self::place::StorePlace;
use crate::spent::Spent;
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
    /// What it would have taken besides, had another setting not computed it already.
    pub shared: Spent,
}

impl Output {
    /// What it costs alone: what it cost when it was computed, and what it shared with others then.
    pub fn alone(&self) -> Spent {
        let mut spent = Spent {
            cost: self.cost,
            seconds: self.seconds,
        };
        spent += self.shared;
        spent
    }

    /// Bytes of its arrays.
    pub fn bytes(&self) -> usize {
        let values = self.arrays.values().map(|array| array.values.len());
        values.sum::<usize>() * size_of::<f32>()
    }

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

/// Where stored outputs lie.
#[derive(Debug)]
pub struct Store {
    files: Box<dyn Files>,
}

/// Named files in folders, one level deep.
trait Files: std::fmt::Debug + Send + Sync {
    /// The bytes of a file; `None` where there is none.
    fn read(&self, folder: &str, name: &str) -> Result<Option<Vec<u8>>>;

    /// Writes a file, whole or not at all.
    fn write(&self, folder: &str, name: &str, bytes: Vec<u8>) -> Result<()>;

    /// Names of the whole files in a folder.
    fn names(&self, folder: &str) -> Result<Vec<String>>;

    /// Where it is, for people.
    fn place(&self) -> String;

    /// Bytes that are free there, where that can be told.
    fn free_bytes(&self) -> Option<u64> {
        None
    }
}

/// Ending of the files of outputs.
const ENDING: &str = ".safetensors";

fn name(key: &Key) -> String {
    format!("{}{ENDING}", key.as_str())
}

impl Store {
    /// The store in a folder, which is made when something is put.
    pub fn new(folder: PathBuf) -> Self {
        Self {
            files: Box::new(folder::Folder::new(folder)),
        }
    }

    /// A store in memory.
    pub fn scratch() -> Self {
        Self {
            files: Box::new(folder::Memory::default()),
        }
    }

    /// A stored output; `None` where there is none, or where the file is not whole (it is then computed again).
    ///
    /// # Errors
    /// When it is there and cannot be read.
    pub fn get(&self, stage: &str, key: &Key) -> Result<Option<Output>> {
        let bytes = self.files.read(stage, &name(key))?;
        Ok(bytes.and_then(|bytes| encoding::decode(&bytes)))
    }

    /// Stores an output, whole or not at all.
    ///
    /// # Errors
    /// Names the file and the mend when it cannot be written.
    pub fn put(&self, stage: &str, key: &Key, output: &Output) -> Result<()> {
        let bytes = encoding::encode(output).map_err(|what| {
            Error::Setting(format!(
                "the output {} of `{stage}` cannot be stored: {what}",
                key.as_str()
            ))
        })?;
        self.files.write(stage, &name(key), bytes)
    }

    /// The keys of a stage's stored outputs, as text.
    ///
    /// # Errors
    /// When they cannot be listed.
    pub fn keys(&self, stage: &str) -> Result<HashSet<String>> {
        let names = self.files.names(stage)?;
        Ok(names
            .into_iter()
            .filter_map(|name| Some(name.strip_suffix(ENDING)?.to_owned()))
            .collect())
    }

    /// The store at a place.
    ///
    /// # Errors
    /// When a URL cannot be opened.
    pub fn open(place: &StorePlace) -> Result<Self> {
        match place {
            StorePlace::Folder(folder) => Ok(Self::new(folder.clone())),
            StorePlace::Url(url) => Ok(Self {
                files: Box::new(objects::Objects::open(url)?),
            }),
        }
    }

    /// Copies an output, by its key as text, into another store.
    ///
    /// # Errors
    /// When it cannot be read or written.
    pub fn copy(&self, stage: &str, key: &str, to: &Self) -> Result<()> {
        let name = format!("{key}{ENDING}");
        match self.files.read(stage, &name)? {
            Some(bytes) => to.files.write(stage, &name, bytes),
            None => Ok(()),
        }
    }

    /// Where it is.
    pub fn place(&self) -> String {
        self.files.place()
    }

    /// Bytes that are free there, where that can be told.
    pub fn free_bytes(&self) -> Option<u64> {
        self.files.free_bytes()
    }

    /// Puts a file beside the outputs.
    ///
    /// # Errors
    /// Names the file and the mend when it cannot be written.
    pub fn note(&self, folder: &str, name: &str, bytes: Vec<u8>) -> Result<()> {
        self.files.write(folder, name, bytes)
    }

    /// The files that [`note`](Self::note) put into a folder, by name.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn notes(&self, folder: &str) -> Result<BTreeMap<String, Vec<u8>>> {
        let mut notes = BTreeMap::new();
        for name in self.files.names(folder)? {
            if let Some(bytes) = self.files.read(folder, &name)? {
                notes.insert(name, bytes);
            }
        }
        Ok(notes)
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
            shared: Spent {
                cost: Cost::default(),
                seconds: 0.0625,
            },
        }
    }

    #[test]
    fn what_is_put_comes_back() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::new(folder.path().join("store"));
        let key = Key::new("invert", 1, &("config", 3));
        assert_eq!(store.get("invert", &key).unwrap(), None);
        store.put("invert", &key, &output()).unwrap();
        assert_eq!(store.get("invert", &key).unwrap(), Some(output()));
    }

    #[test]
    fn a_truncated_file_counts_as_absent() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::new(folder.path().to_owned());
        let key = Key::of(b"x");
        store.put("s", &key, &output()).unwrap();
        let path = folder.path().join("s").join(name(&key));
        let bytes = std::fs::read(&path).unwrap();
        for length in [0, 4, 20, bytes.len() - 1] {
            std::fs::write(&path, &bytes[..length]).unwrap();
            assert_eq!(store.get("s", &key).unwrap(), None, "of {length} bytes");
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
