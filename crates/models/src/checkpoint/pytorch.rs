//! What `torch.save` writes, through burn-store's pytorch-reader: the zip container and the legacy stream of pickles.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use burn::store::pytorch_reader::{DType as Stored, PytorchReader};
use zip::ZipArchive;

use super::pickle;
use super::source::{Dtype, Entry};

/// Pickles of a legacy file: magic number, protocol, system, the saved object, names of the storages.
const LEGACY_PICKLES: usize = 5;
/// The legacy magic number as the stream holds it, in a binary and in the text protocols.
const LEGACY_MAGIC: [&[u8]; 2] = [
    &[0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19],
    b"119547037146038801333356",
];

/// The tensors of the file at `path`, which begins with `start` and has `length` bytes.
pub(super) fn entries(
    path: &Path,
    start: &[u8],
    length: u64,
) -> Result<BTreeMap<String, Entry>, String> {
    let head = &start[..start.len().min(64)];
    let legacy = LEGACY_MAGIC
        .iter()
        .any(|magic| head.windows(magic.len()).any(|window| window == *magic));
    match start {
        [b'P', b'K', 3, 4, ..] => check_zip(path, length)?,
        _ if legacy => check_legacy(path)?,
        _ if start.get(257..262) == Some(b"ustar") => {
            return Err("it is a tar container, which PyTorch wrote before 0.1.10; load it with a newer PyTorch \
                        and save it again"
                .into());
        }
        _ => {
            return Err(
                "it is neither safetensors nor what torch.save writes (zip or legacy)".into(),
            );
        }
    }
    let reader = PytorchReader::new(path)
        .map_err(|error| format!("it is not a whole PyTorch checkpoint ({error})"))?;
    let entries = reader.into_tensors().into_iter().map(|(name, tensor)| {
        let dtype = match tensor.dtype() {
            Stored::F64 => Dtype::F64,
            Stored::F32 => Dtype::F32,
            Stored::F16 => Dtype::F16,
            Stored::BF16 => Dtype::BF16,
            other => Dtype::Whole(other.size()),
        };
        let shape = tensor.shape().to_vec();
        let read = move || tensor.read().map_err(|error| error.to_string());
        (name, Entry::new(dtype, shape, read))
    });
    Ok(entries.collect())
}

fn open(path: &Path) -> Result<BufReader<File>, String> {
    File::open(path)
        .map(BufReader::new)
        .map_err(|error| error.to_string())
}

fn check_legacy(path: &Path) -> Result<(), String> {
    let mut stream = open(path)?;
    let mut left = pickle::budget();
    for _ in 0..LEGACY_PICKLES {
        pickle::walk(&mut stream, &mut left)?;
    }
    Ok(())
}

fn check_zip(path: &Path, length: u64) -> Result<(), String> {
    let damaged = |error: &dyn std::fmt::Display| format!("it is not a whole zip file ({error})");
    let mut archive = ZipArchive::new(open(path)?).map_err(|error| damaged(&error))?;
    let mut left = pickle::budget();
    for index in 0..archive.len() {
        let entry = archive.by_index(index).map_err(|error| damaged(&error))?;
        let name = entry.name().map_err(|error| damaged(&error))?.into_owned();
        if !name.ends_with("data.pkl") {
            continue;
        }
        if entry.size() > length {
            return Err(format!(
                "its `{name}` claims {} bytes, more than the file has",
                entry.size()
            ));
        }
        pickle::walk(&mut BufReader::new(entry.take(length)), &mut left)?;
    }
    Ok(())
}
