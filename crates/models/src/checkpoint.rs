//! Weights as safetensors: what is stored, what is missing and what does not fit is said, never skipped silently.

use std::path::Path;

use burn::module::Module;
use burn::store::{FloatCastAdapter, ModuleSnapshot, SafetensorsStore};
use burn::tensor::DType;
use sha2::{Digest, Sha256};

use crate::Error;

/// Number format of a saved checkpoint. Loading always widens to f32.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precision {
    /// Four bytes a parameter, exact.
    F32,
    /// Two bytes a parameter; relative rounding error at most 2^-11.
    F16,
}

/// The safetensors bytes of a module's parameters and buffers, under a `name`. The same module gives the same bytes.
///
/// # Errors
/// [`Error::Encode`] when burn-store cannot serialise the module.
pub fn to_bytes<M: Module>(module: &M, precision: Precision, name: &str) -> Result<Vec<u8>, Error> {
    let dtype = match precision {
        Precision::F32 => DType::F32,
        Precision::F16 => DType::F16,
    };
    // More than one entry of metadata would be written in a random order.
    let mut store = SafetensorsStore::from_bytes(None)
        .clear_metadata()
        .metadata("name", name)
        .skip_enum_variants(true)
        .with_to_adapter(FloatCastAdapter::to(dtype));
    let encode = |error: &dyn std::fmt::Display| Error::Encode(error.to_string());
    module.save_into(&mut store).map_err(|e| encode(&e))?;
    store.get_bytes().map_err(|e| encode(&e))
}

/// Loads safetensors `bytes` read from `path` into `module`. Every parameter must be there with its shape, and
/// nothing else.
///
/// # Errors
/// [`Error::Checkpoint`] names the file and the parameters that are missing, unexpected or misshapen.
pub fn from_bytes<M: Module>(mut module: M, bytes: Vec<u8>, path: &Path) -> Result<M, Error> {
    let fault = |what: String| Error::Checkpoint {
        path: path.to_owned(),
        what,
    };
    let mut store = SafetensorsStore::from_bytes(Some(bytes))
        .skip_enum_variants(true)
        .allow_partial(true)
        .validate(false)
        .with_from_adapter(FloatCastAdapter::to(DType::F32));
    let applied = module
        .load_from(&mut store)
        .map_err(|error| fault(format!("it is not a whole safetensors file ({error})")))?;
    let list = |names: Vec<String>| {
        let shown = names.iter().take(5).cloned().collect::<Vec<_>>().join(", ");
        match names.len() {
            0..=5 => shown,
            n => format!("{shown} and {} more", n - 5),
        }
    };
    let mut faults = Vec::new();
    if !applied.errors.is_empty() {
        faults.push(list(
            applied.errors.iter().map(ToString::to_string).collect(),
        ));
    }
    if !applied.missing.is_empty() {
        let missing = applied
            .missing
            .iter()
            .map(|(name, _)| name.clone())
            .collect();
        faults.push(format!("missing: {}", list(missing)));
    }
    if !applied.unused.is_empty() {
        faults.push(format!("unexpected: {}", list(applied.unused.clone())));
    }
    match faults.is_empty() {
        true => Ok(module),
        false => Err(fault(format!(
            "it does not fit the network: {}",
            faults.join("; ")
        ))),
    }
}

/// SHA-256 of bytes, in hexadecimal.
pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// Reads a whole file, and refuses it when its SHA-256 is not the `expected` one (where one is known).
///
/// # Errors
/// [`Error::Read`] when it cannot be read, [`Error::Checksum`] when it is not the file that was meant.
pub fn read_verified(path: &Path, expected: Option<&str>) -> Result<Vec<u8>, Error> {
    let bytes = std::fs::read(path).map_err(|source| Error::Read {
        path: path.to_owned(),
        source,
    })?;
    let found = sha256(&bytes);
    match expected {
        Some(expected) if expected != found => Err(Error::Checksum {
            path: path.to_owned(),
            expected: expected.to_owned(),
            found,
        }),
        _ => Ok(bytes),
    }
}
