//! Training of classifiers and diffusion networks: seeded, resumable to the bit, stopped cleanly.
//!
//! A run lives in a directory: `step-N/` holds the newest whole checkpoint (weights, optimiser, moving average,
//! curve), and at the end `NAME.safetensors`, its record `NAME.toml` and `NAME-curve.csv` stand beside it. Random
//! streams are keyed by seed and step, so a resumed run draws what the uninterrupted one would have drawn.

mod classifier;
mod config;
mod curve;
mod data;
mod diffusion;
mod ema;
mod error;
mod finish;
mod noise;
mod run;

use std::path::Path;
use std::sync::atomic::AtomicBool;

use burn::tensor::Device;
use diffguard_datasets::benchmark::Shelf;

pub use config::{ClassifierTraining, DiffusionTraining, NoiseTraining, TrainingData};
pub use error::Error;

/// What a training run is given from outside.
pub struct Context<'a> {
    /// Where the training data are.
    pub shelf: Shelf<'a>,
    /// Where the run keeps its checkpoints and writes its results.
    pub out: &'a Path,
    /// The device, without autodiff.
    pub device: Device,
    /// Set from outside (Ctrl-C) to stop after the current step with a checkpoint.
    pub stop: &'a AtomicBool,
    /// Whether to draw a progress bar; plain lines otherwise.
    pub progress: bool,
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// The weights were written; the path is their record's.
    Finished(std::path::PathBuf),
    /// It was stopped at this step; the same command goes on from there.
    Stopped(usize),
}

/// Trains a classifier as `config` says.
///
/// # Errors
/// [`Error`] when data, configuration or output directory do not allow it.
pub fn train_classifier(config: &Path, context: &Context) -> Result<Outcome, Error> {
    classifier::train(config, context)
}

/// Trains a diffusion network as `config` says.
///
/// # Errors
/// [`Error`] when data, configuration or output directory do not allow it.
pub fn train_diffusion(config: &Path, context: &Context) -> Result<Outcome, Error> {
    diffusion::train(config, context)
}
