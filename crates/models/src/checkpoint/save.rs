//! Weights of our own as safetensors.

use burn::module::Module;
use burn::store::{FloatCastAdapter, ModuleSnapshot, SafetensorsStore};
use burn::tensor::DType;

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
