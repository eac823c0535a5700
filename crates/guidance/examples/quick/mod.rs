//! The networks of the quick benchmark, and images as they expect them.

use std::error::Error;
use std::path::{Path, PathBuf};

use burn::tensor::{Device, Tensor, TensorData};
use diffguard_datasets::transforms::{Filter, Picture, Preprocess};
use diffguard_guidance::ScheduleConfig;
use diffguard_models::network::{ClassifierNetwork, DiffusionNetwork, WeightsRecord};
use diffguard_models::{Classifier, NoisePredictor};

pub type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Side of the benchmark's grey images.
const SIDE: usize = 28;

/// The repository's `assets/`.
pub fn assets() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../assets")
}

/// The diffusion network and the schedule that it was trained with.
pub fn diffusion() -> Result<(Box<dyn NoisePredictor>, ScheduleConfig)> {
    let path = assets().join("quick/quick-unet.toml");
    let record: WeightsRecord<DiffusionNetwork> = WeightsRecord::read(&path)?;
    let weights = record.weights_path(&path);
    let network = record
        .network
        .load(&weights, Some(&record.sha256), &Device::flex())?;
    let schedule = record.training.get("schedule").cloned();
    let schedule = schedule.ok_or("the record of the diffusion network names no schedule")?;
    Ok((network, schedule.try_into()?))
}

/// The classifier under protection.
#[allow(dead_code, reason = "one example brings its own")]
pub fn classifier() -> Result<Box<dyn Classifier>> {
    let path = assets().join("quick/quick-classifier-0.toml");
    let record: WeightsRecord<ClassifierNetwork> = WeightsRecord::read(&path)?;
    let weights = record.weights_path(&path);
    Ok(record
        .network
        .load(&weights, Some(&record.sha256), &Device::flex())?)
}

/// An image file as `[1, 1, 28, 28]` in [-1, 1]: its green channel, resized and cropped.
pub fn image(path: &Path) -> Result<Tensor<4>> {
    let preprocess = Preprocess {
        resize: SIDE,
        crop: SIDE,
        filter: Filter::Bilinear,
    };
    let pixels = preprocess.apply(&Picture::read(path)?)?.into_pixels();
    let green = &pixels[SIDE * SIDE..2 * SIDE * SIDE];
    let values: Vec<f32> = green.iter().map(|v| f32::from(*v) / 127.5 - 1.0).collect();
    let data = TensorData::new(values, [1, 1, SIDE, SIDE]);
    Ok(Tensor::from_data(data, &Device::flex()))
}
