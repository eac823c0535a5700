//! A case as it is read from its file.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use safetensors::{Dtype, SafeTensors};
use serde_json::Value;

use crate::{Error, Result};

/// A tensor of a case, in row-major order.
#[derive(Debug, Clone, PartialEq)]
pub struct TensorData {
    /// Length of each axis.
    pub shape: Vec<usize>,
    /// The values.
    pub values: Values,
}

/// A tensor's values in their stored type.
#[derive(Debug, Clone, PartialEq)]
pub enum Values {
    /// 32-bit floats.
    F32(Vec<f32>),
    /// 64-bit floats.
    F64(Vec<f64>),
    /// 64-bit integers.
    I64(Vec<i64>),
    /// Bytes (images, masks).
    U8(Vec<u8>),
}

impl Values {
    /// All values as `f64`, exact for the integers that occur (labels, masks, steps).
    pub fn to_f64(&self) -> Vec<f64> {
        match self {
            Self::F32(values) => values.iter().map(|&value| f64::from(value)).collect(),
            Self::F64(values) => values.clone(),
            Self::I64(values) => values.iter().map(|&value| value as f64).collect(),
            Self::U8(values) => values.iter().map(|&value| f64::from(value)).collect(),
        }
    }
}

/// A golden case.
#[derive(Debug, Clone)]
pub struct Case {
    /// Its kind.
    pub kind: String,
    /// Its configuration.
    pub config: Value,
    /// Relative tolerance of its outputs, where `config.tolerances` has no other.
    pub rtol: f64,
    /// Absolute tolerance, likewise.
    pub atol: f64,
    tensors: BTreeMap<String, TensorData>,
}

impl Case {
    /// Reads a case and the weights files that it names (`weights_files`, relative to its folder).
    ///
    /// # Errors
    /// [`Error::File`] for what cannot be read or lacks its metadata.
    pub fn open(path: &Path) -> Result<Self> {
        let (metadata, mut tensors) = read(path)?;
        let entry = |key: &str| {
            metadata
                .get(key)
                .ok_or_else(|| Error::file(path, format!("its metadata has no `{key}`")))
        };
        let json = |key: &str, text: &str| {
            serde_json::from_str::<Value>(text)
                .map_err(|error| Error::file(path, format!("its `{key}` is not JSON: {error}")))
        };
        let number = |key: &str| {
            entry(key)?
                .parse::<f64>()
                .map_err(|error| Error::file(path, format!("its `{key}`: {error}")))
        };
        if let Some(list) = metadata.get("weights_files") {
            let list = json("weights_files", list)?;
            for name in list.as_array().into_iter().flatten() {
                let name = name
                    .as_str()
                    .ok_or_else(|| Error::file(path, "`weights_files` has to list paths"))?;
                let (_, weights) = read(&path.with_file_name(name))?;
                tensors.extend(weights);
            }
        }
        Ok(Self {
            kind: entry("kind")?.clone(),
            config: json("config", entry("config")?)?,
            rtol: number("rtol")?,
            atol: number("atol")?,
            tensors,
        })
    }

    /// An error about this case.
    pub fn fault(&self, problem: impl Into<String>) -> Error {
        Error::Case {
            kind: self.kind.clone(),
            problem: problem.into(),
        }
    }

    /// Names of its tensors that begin with `prefix`, in order.
    pub fn names<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = &'a str> {
        self.tensors
            .keys()
            .map(String::as_str)
            .filter(move |name| name.starts_with(prefix))
    }

    /// Whether it has a tensor of that name.
    pub fn has(&self, name: &str) -> bool {
        self.tensors.contains_key(name)
    }

    /// A tensor.
    ///
    /// # Errors
    /// [`Error::Case`] when there is none of that name.
    pub fn tensor(&self, name: &str) -> Result<&TensorData> {
        self.tensors
            .get(name)
            .ok_or_else(|| self.fault(format!("it has no tensor `{name}`")))
    }

    /// Shape of a tensor.
    ///
    /// # Errors
    /// As [`tensor`](Self::tensor).
    pub fn shape(&self, name: &str) -> Result<&[usize]> {
        Ok(&self.tensor(name)?.shape)
    }

    /// Values of any type as `f64`.
    ///
    /// # Errors
    /// As [`tensor`](Self::tensor).
    pub fn f64(&self, name: &str) -> Result<Vec<f64>> {
        Ok(self.tensor(name)?.values.to_f64())
    }

    /// Shape and values of a tensor of 32-bit floats.
    ///
    /// # Errors
    /// When there is none, or it has another type.
    pub fn f32(&self, name: &str) -> Result<(&[usize], &[f32])> {
        let tensor = self.tensor(name)?;
        match &tensor.values {
            Values::F32(values) => Ok((&tensor.shape, values)),
            _ => Err(self.fault(format!("tensor `{name}` must be of 32-bit floats"))),
        }
    }

    /// Shape and values of a tensor of bytes.
    ///
    /// # Errors
    /// When there is none, or it has another type.
    pub fn u8(&self, name: &str) -> Result<(&[usize], &[u8])> {
        let tensor = self.tensor(name)?;
        match &tensor.values {
            Values::U8(values) => Ok((&tensor.shape, values)),
            _ => Err(self.fault(format!("tensor `{name}` must be of bytes"))),
        }
    }

    /// Values of a tensor of 64-bit integers.
    ///
    /// # Errors
    /// When there is none, or it has another type.
    pub fn i64(&self, name: &str) -> Result<&[i64]> {
        match &self.tensor(name)?.values {
            Values::I64(values) => Ok(values),
            _ => Err(self.fault(format!("tensor `{name}` must be of 64-bit integers"))),
        }
    }

    /// Values of a tensor of 64-bit integers, none of them negative.
    ///
    /// # Errors
    /// When there is none, it has another type, or holds a negative number.
    pub fn indices(&self, name: &str) -> Result<Vec<usize>> {
        self.i64(name)?
            .iter()
            .map(|&value| {
                usize::try_from(value).map_err(|_| self.fault(format!("`{name}` holds {value}")))
            })
            .collect()
    }

    /// A text of the configuration.
    ///
    /// # Errors
    /// When there is none under `key`.
    pub fn text(&self, key: &str) -> Result<&str> {
        self.config[key]
            .as_str()
            .ok_or_else(|| self.fault(format!("its configuration has no text `{key}`")))
    }

    /// A number of the configuration.
    ///
    /// # Errors
    /// When there is none under `key`.
    pub fn number(&self, key: &str) -> Result<f64> {
        self.config[key]
            .as_f64()
            .ok_or_else(|| self.fault(format!("its configuration has no number `{key}`")))
    }

    /// A whole number of the configuration.
    ///
    /// # Errors
    /// When there is none under `key`.
    pub fn whole(&self, key: &str) -> Result<i64> {
        self.config[key]
            .as_i64()
            .ok_or_else(|| self.fault(format!("its configuration has no whole number `{key}`")))
    }

    /// The weights, under the reference's state-dict keys (without `weights.`), only those below `prefix`, which is
    /// taken off too (`""` for all).
    pub fn weights(&self, prefix: &str) -> BTreeMap<String, &TensorData> {
        let prefix = format!("weights.{prefix}");
        self.tensors
            .iter()
            .filter_map(|(name, tensor)| Some((name.strip_prefix(&prefix)?.to_owned(), tensor)))
            .collect()
    }
}

type File = (HashMap<String, String>, BTreeMap<String, TensorData>);

fn read(path: &Path) -> Result<File> {
    let bytes = std::fs::read(path).map_err(|error| Error::file(path, error))?;
    let damaged = |error| Error::file(path, format!("not a whole safetensors file: {error}"));
    let (_, header) = SafeTensors::read_metadata(&bytes).map_err(damaged)?;
    let metadata = header.metadata().clone().unwrap_or_default();
    let file = SafeTensors::deserialize(&bytes).map_err(damaged)?;
    let mut tensors = BTreeMap::new();
    for (name, view) in file.tensors() {
        let bytes = view.data();
        let values = match view.dtype() {
            Dtype::F32 => Values::F32(numbers(bytes, f32::from_le_bytes)),
            Dtype::F64 => Values::F64(numbers(bytes, f64::from_le_bytes)),
            Dtype::I64 => Values::I64(numbers(bytes, i64::from_le_bytes)),
            Dtype::U8 => Values::U8(bytes.to_vec()),
            other => {
                return Err(Error::file(
                    path,
                    format!("`{name}` has the type {other:?}, which no case uses"),
                ));
            }
        };
        let shape = view.shape().to_vec();
        tensors.insert(name, TensorData { shape, values });
    }
    Ok((metadata, tensors))
}

fn numbers<T, const N: usize>(bytes: &[u8], from: fn([u8; N]) -> T) -> Vec<T> {
    bytes.as_chunks::<N>().0.iter().map(|&b| from(b)).collect()
}
