//! Weights into a network: everything that it needs, and nothing else.

use std::collections::BTreeMap;
use std::path::Path;

use burn::module::Module;
use burn::store::bridge::{deferred, map_data};
use burn::store::burn_pack::{Error as PackError, Tensor as PackTensor};
use burn::store::{ApplyError, ModuleAdapter, ModuleContext, ModuleSnapshot};
use burn::tensor::{DType, Shape, TensorData};

use super::key_map::{KeyMap, Selection};
use super::listed;
use super::source::{Entry, Source};
use crate::Error;

/// Loads the weights of `source` into `module`, named as `map` says. One tensor is in memory beside the network at a
/// time, whatever the size of the file.
///
/// # Errors
/// [`Error::Checkpoint`] names the file and the weights that are missing, unexpected or misshapen, and the layers.
pub fn load<M: Module>(module: M, source: &Source, map: &KeyMap) -> Result<M, Error> {
    load_selection(module, map.select(source)?, map, source.path())
}

/// As [`load`], of a selection that is made already.
///
/// # Errors
/// As [`load`].
pub fn load_selection<M: Module>(
    mut module: M,
    selection: Selection,
    map: &KeyMap,
    path: &Path,
) -> Result<M, Error> {
    let mut stored = BTreeMap::new();
    let tensors = selection
        .tensors
        .into_iter()
        .map(|(name, (file_name, entry))| {
            stored.insert(name.clone(), (file_name, entry.shape.clone()));
            tensor(name, entry)
        })
        .collect();
    let adapter: Option<Box<dyn ModuleAdapter>> = match map.native {
        true => None,
        false => Some(Box::new(Published)),
    };
    let applied = module.apply(tensors, None, adapter, true);
    let published = |name: &str| map.published_name(name);
    // The affine parameters of a norm have other names in the file.
    let in_file = |name: &str| {
        let alternative = match name.rsplit_once('.') {
            Some((path, "gamma")) => format!("{path}.weight"),
            Some((path, "beta")) => format!("{path}.bias"),
            _ => name.to_owned(),
        };
        stored.get(name).or_else(|| stored.get(&alternative))
    };
    let misfit = |error: &ApplyError| match error {
        ApplyError::ShapeMismatch {
            path,
            expected,
            found,
        } => {
            let (expected, found) = (expected.to_vec(), found.to_vec());
            // A linear layer's weight is transposed on its way in; the message speaks of the file.
            let reversed = |shape: &[usize]| shape.iter().rev().copied().collect::<Vec<_>>();
            let turned = in_file(path).is_some_and(|(_, shape)| *shape != found);
            let (expected, found) = match turned {
                true => (reversed(&expected), reversed(&found)),
                false => (expected, found),
            };
            format!(
                "{} has the shape {found:?} where the network expects {expected:?}",
                published(path)
            )
        }
        ApplyError::DTypeMismatch { path, .. } => {
            format!("{} holds another kind of number", published(path))
        }
        ApplyError::AdapterError { path, message } | ApplyError::LoadError { path, message } => {
            format!("{} cannot be read: {message}", published(path))
        }
    };
    let mut faults = Vec::new();
    if !applied.errors.is_empty() {
        let misfits: Vec<String> = applied.errors.iter().map(misfit).collect();
        faults.push(listed(&misfits));
    }
    if !applied.missing.is_empty() {
        let names: Vec<String> = applied.missing.iter().map(|(n, _)| published(n)).collect();
        faults.push(format!("missing: {}", listed(&names)));
    }
    if !applied.unused.is_empty() {
        let name = |name: &String| match stored.get(name) {
            Some((file_name, _)) => file_name.clone(),
            None => name.clone(),
        };
        let names: Vec<String> = applied.unused.iter().map(name).collect();
        faults.push(format!("unexpected: {}", listed(&names)));
    }
    match faults.is_empty() {
        true => Ok(module),
        false => Err(Error::Checkpoint {
            path: path.to_owned(),
            what: format!("it does not fit the network: {}", faults.join("; ")),
        }),
    }
}

/// A tensor that is read when the network takes it.
fn tensor(name: String, entry: Entry) -> PackTensor {
    let shape = Shape::from(entry.shape.clone());
    let declared = shape.clone();
    deferred(name, DType::F32, shape, None, move || {
        let values = entry.values().map_err(PackError::ValidationError)?;
        if values.iter().any(|value| !value.is_finite()) {
            let what = "it holds NaN or infinite values: its training has diverged, or the file is damaged";
            return Err(PackError::ValidationError(what.into()));
        }
        Ok(TensorData::new(values, declared.clone()))
    })
}

/// PyTorch's conventions: a linear layer's weight is `[out, in]`; the affine parameters of every norm are `weight`
/// and `bias`.
#[derive(Clone)]
struct Published;

impl ModuleAdapter for Published {
    fn adapt(&self, tensor: PackTensor, context: ModuleContext<'_>) -> PackTensor {
        let linear = context.module_type() == Some("Struct:Linear");
        let [rows, columns] = tensor.shape[..] else {
            return tensor;
        };
        if !linear {
            return tensor;
        }
        let (name, dtype) = (tensor.name.clone(), tensor.dtype);
        map_data(
            tensor,
            name,
            dtype,
            Shape::from([columns, rows]),
            move |data| transposed(data, rows, columns),
        )
    }

    fn get_alternative_param_name(&self, name: &str, _: &str) -> Option<String> {
        match name {
            "gamma" => Some("weight".into()),
            "beta" => Some("bias".into()),
            _ => None,
        }
    }

    fn clone_box(&self) -> Box<dyn ModuleAdapter> {
        Box::new(self.clone())
    }
}

fn transposed(data: TensorData, rows: usize, columns: usize) -> TensorData {
    let shape = data.shape().clone();
    match data.try_to_vec::<f32>() {
        Ok(values) => {
            let turned = (0..columns)
                .flat_map(|column| (0..rows).map(move |row| (row, column)))
                .map(|(row, column)| values[row * columns + column])
                .collect::<Vec<f32>>();
            TensorData::new(turned, [columns, rows])
        }
        // Only f32 tensors are made above.
        Err(_) => TensorData::new(Vec::<f32>::new(), shape),
    }
}
