//! What a checkpoint file holds: tensors by name, each read only when it is asked for.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{pytorch, safetensors};
use crate::Error;

/// Number format of a stored tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dtype {
    /// 64-bit floats.
    F64,
    /// 32-bit floats.
    F32,
    /// IEEE half precision.
    F16,
    /// bfloat16.
    BF16,
    /// Whole numbers and truth values, of so many bytes; never a network's weights.
    Whole(usize),
}

impl Dtype {
    /// Bytes of one number.
    pub fn size(self) -> usize {
        match self {
            Self::F64 => 8,
            Self::F32 => 4,
            Self::F16 | Self::BF16 => 2,
            Self::Whole(size) => size,
        }
    }
}

type Reader = dyn Fn() -> Result<Vec<f32>, String> + Send + Sync;

/// A tensor of a checkpoint.
#[derive(Clone)]
pub struct Entry {
    /// Number format in the file.
    pub dtype: Dtype,
    /// Length of each axis.
    pub shape: Vec<usize>,
    read: Arc<Reader>,
}

impl Entry {
    pub(super) fn new(
        dtype: Dtype,
        shape: Vec<usize>,
        read: impl Fn() -> Result<Vec<u8>, String> + Send + Sync + 'static,
    ) -> Self {
        let length = shape.iter().product::<usize>();
        let read = move || {
            let values = decode(read()?, dtype)?;
            match values.len() == length {
                true => Ok(values),
                false => Err(format!("{} numbers where {length} are due", values.len())),
            }
        };
        Self {
            dtype,
            shape,
            read: Arc::new(read),
        }
    }

    /// Its values in row-major order, widened or rounded to f32.
    ///
    /// # Errors
    /// What is wrong, when the file cannot be read there, or the numbers are whole ones.
    pub fn values(&self) -> Result<Vec<f32>, String> {
        (self.read)()
    }
}

/// The tensors of a checkpoint.
pub struct Source {
    path: PathBuf,
    entries: BTreeMap<String, Entry>,
}

impl Source {
    /// Opens a file: safetensors, or what `torch.save` writes (zip, and the legacy stream of pickles). Which of them
    /// it is, is told from its content. Nested dictionaries become dotted names. Nothing in a pickle is ever run.
    ///
    /// # Errors
    /// [`Error::Read`] when it cannot be read, [`Error::Checkpoint`] when it is no checkpoint or not whole.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let fault = |what: String| Error::Checkpoint {
            path: path.to_owned(),
            what,
        };
        let unreadable = |source| Error::Read {
            path: path.to_owned(),
            source,
        };
        let mut start = Vec::new();
        let file = File::open(path).map_err(unreadable)?;
        let length = file.metadata().map_err(unreadable)?.len();
        (&file)
            .take(512)
            .read_to_end(&mut start)
            .map_err(unreadable)?;
        let entries = match safetensors::begins_like(&start) {
            true => safetensors::entries(file, length).map_err(fault)?,
            false => pytorch::entries(path, &start, length).map_err(fault)?,
        };
        // No genuine tensor is larger than its file; a view that repeats one number is.
        let oversized = entries.iter().find(|(_, entry)| {
            let numbers = entry
                .shape
                .iter()
                .try_fold(1usize, |n, &axis| n.checked_mul(axis));
            let bytes = numbers.and_then(|n| n.checked_mul(entry.dtype.size()));
            bytes.is_none_or(|bytes| bytes as u64 > length)
        });
        if let Some((name, entry)) = oversized {
            return Err(fault(format!(
                "`{name}` claims the shape {:?}, more than the file holds",
                entry.shape
            )));
        }
        Ok(Self {
            path: path.to_owned(),
            entries,
        })
    }

    /// Tensors in memory: names, shapes and values. `name` stands for the file in errors.
    pub fn from_values(
        name: &str,
        tensors: impl IntoIterator<Item = (String, Vec<usize>, Vec<f32>)>,
    ) -> Self {
        let entries = tensors
            .into_iter()
            .map(|(key, shape, values)| {
                let entry = Entry {
                    dtype: Dtype::F32,
                    shape,
                    read: Arc::new(move || Ok(values.clone())),
                };
                (key, entry)
            })
            .collect();
        Self {
            path: PathBuf::from(name),
            entries,
        }
    }

    /// Safetensors bytes that lie in memory; `path` is where they come from.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] when they are no whole safetensors file.
    pub fn from_bytes(bytes: Vec<u8>, path: &Path) -> Result<Self, Error> {
        let entries = safetensors::entries_of_bytes(bytes).map_err(|what| Error::Checkpoint {
            path: path.to_owned(),
            what,
        })?;
        Ok(Self {
            path: path.to_owned(),
            entries,
        })
    }

    /// Where it comes from.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Every tensor by its name.
    pub fn entries(&self) -> &BTreeMap<String, Entry> {
        &self.entries
    }
}

/// Little-endian bytes as f32.
fn decode(bytes: Vec<u8>, dtype: Dtype) -> Result<Vec<f32>, String> {
    fn each<const N: usize>(bytes: &[u8], number: impl Fn([u8; N]) -> f32) -> Vec<f32> {
        bytes
            .as_chunks::<N>()
            .0
            .iter()
            .map(|&b| number(b))
            .collect()
    }
    Ok(match dtype {
        Dtype::F64 => each(&bytes, |b| f64::from_le_bytes(b) as f32),
        Dtype::F32 => each(&bytes, f32::from_le_bytes),
        Dtype::F16 => each(&bytes, |b| half::f16::from_le_bytes(b).to_f32()),
        Dtype::BF16 => each(&bytes, |b| half::bf16::from_le_bytes(b).to_f32()),
        Dtype::Whole(_) => return Err("it holds whole numbers, not weights".into()),
    })
}
