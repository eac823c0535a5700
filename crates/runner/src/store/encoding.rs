//! Outputs as bytes: a safetensors file with what they cost in its header.

use std::collections::{BTreeMap, HashMap};

use safetensors::tensor::{Dtype, SafeTensors, TensorView};

use super::{Array, Output};
use crate::spent::Spent;

/// The bytes of an output, or why there are none.
pub(super) fn encode(output: &Output) -> Result<Vec<u8>, String> {
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
    let mut views = Vec::new();
    for (name, array) in &output.arrays {
        let view = TensorView::new(Dtype::F32, array.shape.clone(), &bytes[name])
            .map_err(|error| error.to_string())?;
        views.push((name.clone(), view));
    }
    let cost = serde_json::to_string(&output.cost).map_err(|error| error.to_string())?;
    let mut metadata = HashMap::from([
        ("cost".to_owned(), cost),
        ("seconds".to_owned(), output.seconds.to_string()),
    ]);
    if output.shared != Spent::default() {
        let shared = serde_json::to_string(&output.shared).map_err(|error| error.to_string())?;
        metadata.insert("shared".to_owned(), shared);
    }
    safetensors::serialize(views, Some(metadata)).map_err(|error| error.to_string())
}

/// The output of these bytes; `None` where they are not whole or something else.
pub(super) fn decode(bytes: &[u8]) -> Option<Output> {
    let (_, header) = SafeTensors::read_metadata(bytes).ok()?;
    let metadata = header.metadata().as_ref()?;
    let mut arrays = BTreeMap::new();
    for (name, view) in SafeTensors::deserialize(bytes).ok()?.iter() {
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
        shared: match metadata.get("shared") {
            Some(shared) => serde_json::from_str(shared).ok()?,
            None => Spent::default(),
        },
    })
}
