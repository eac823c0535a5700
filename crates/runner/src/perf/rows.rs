//! What is measured. Weights are random: the time does not depend on them.

mod ablation;
mod convolution;
mod metrics;
mod networks;
mod unet_quick;

use burn::tensor::{Device, Distribution, Tensor};

use crate::{Error, Result};

/// What a row measures: each call does its work once.
pub type Work = Box<dyn FnMut() + Send>;

/// One measurement.
pub struct Row {
    /// Its name, the same in the peer's script.
    pub name: &'static str,
    /// Additions and multiplications of one execution, counted as direct convolutions, where that means something.
    pub operations: Option<fn() -> f64>,
    /// Makes the work.
    pub prepare: fn() -> Result<Work>,
}

/// The row whose speed is the peak that others are compared with.
pub const PEAK: &str = "sgemm_2048";

/// Every row, in the table's order.
pub const ROWS: &[Row] = &[
    Row {
        name: PEAK,
        operations: Some(|| 2.0 * 2048.0 * 2048.0 * 2048.0),
        prepare: sgemm,
    },
    convolution::C128X32,
    convolution::C256X16,
    convolution::C256X8,
    convolution::C64X32,
    convolution::C32X28,
    unet_quick::FORWARD,
    unet_quick::TRAIN,
    networks::DDPM,
    networks::GUIDED,
    networks::CLASSIFIER,
    ablation::GUIDANCE,
    ablation::FREE,
    metrics::AUROC,
];

/// The row of this name.
///
/// # Errors
/// When there is none; the error lists all names.
pub fn find(name: &str) -> Result<&'static Row> {
    ROWS.iter().find(|row| row.name == name).ok_or_else(|| {
        let names: Vec<&str> = ROWS.iter().map(|row| row.name).collect();
        Error::Setting(format!(
            "there is no row `{name}`; there are: {}",
            names.join(", ")
        ))
    })
}

fn device() -> Device {
    let device = Device::flex();
    device.seed(0);
    device
}

fn normal<const D: usize>(shape: [usize; D], device: &Device) -> Tensor<D> {
    Tensor::random(shape, Distribution::Normal(0.0, 1.0), device)
}

fn sgemm() -> Result<Work> {
    let device = device();
    let (a, b) = (normal([2048, 2048], &device), normal([2048, 2048], &device));
    Ok(Box::new(move || drop(a.clone().matmul(b.clone()))))
}
