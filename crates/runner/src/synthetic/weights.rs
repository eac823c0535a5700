//! Generated weights: a file of the names and shapes of a published one.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use diffguard_guidance::similarity::{DISTS_WEIGHTS, DistsWeights, LPIPS_WEIGHTS};
use diffguard_models::vgg::{BLOCK_CHANNELS, Vgg16Features};
use diffguard_oracle::procedural;
use diffguard_report::write_atomic;
use safetensors::tensor::{Dtype, TensorView};

use super::WARNING;
use crate::{Error, Result};

/// Writes `NAME.safetensors` into `folder`; every value follows from its key and place.
///
/// # Errors
/// When the file cannot be written.
pub(super) fn write(
    folder: &Path,
    name: &str,
    tensors: impl IntoIterator<Item = (String, Vec<usize>)>,
) -> Result<PathBuf> {
    let path = folder.join(format!("{name}.safetensors"));
    std::fs::create_dir_all(folder).map_err(|error| Error::io(folder, &error))?;
    // What the distances weigh with is not negative.
    let weighs = name == DISTS_WEIGHTS || name == LPIPS_WEIGHTS;
    let filled: Vec<(String, Vec<usize>, Vec<u8>)> = tensors
        .into_iter()
        .map(|(key, shape)| {
            let bytes = procedural(&key, &shape)
                .into_iter()
                .flat_map(|value| if weighs { value.abs() } else { value }.to_le_bytes())
                .collect();
            (key, shape, bytes)
        })
        .collect();
    let fault = |error: safetensors::SafeTensorError| Error::file(&path, error);
    let views = filled
        .iter()
        .map(|(key, shape, bytes)| {
            let view = TensorView::new(Dtype::F32, shape.clone(), bytes).map_err(fault)?;
            Ok((key.as_str(), view))
        })
        .collect::<Result<Vec<_>>>()?;
    let note = HashMap::from([("note".to_owned(), WARNING.to_owned())]);
    let file = safetensors::serialize(views, Some(note)).map_err(fault)?;
    write_atomic(&path, file)?;
    Ok(path)
}

/// Keys and shapes of the files that DISTS and LPIPS look through, by their names in datasets.toml.
pub(super) fn perceptual(name: &str) -> Vec<(String, Vec<usize>)> {
    match name {
        DISTS_WEIGHTS => ["alpha", "beta"]
            .map(|key| (key.to_owned(), vec![1, DistsWeights::CHANNELS, 1, 1]))
            .to_vec(),
        LPIPS_WEIGHTS => BLOCK_CHANNELS
            .iter()
            .enumerate()
            .map(|(i, &channels)| (format!("lin{i}.model.1.weight"), vec![1, channels, 1, 1]))
            .collect(),
        _ => Vgg16Features::parameters().collect(),
    }
}
