//! The quick benchmark's U-Net: a prediction of 50 images, and a training step of 64.

use burn::optim::{AdamWConfig, GradientsParams};
use burn::tensor::{Device, Int, Tensor};
use diffguard_models::quick_unet::{QuickUnet, QuickUnetConfig};

use super::{Row, Work, device, normal};
use crate::Result;

pub(super) const FORWARD: Row = Row {
    name: "unet_quick",
    operations: None,
    prepare: forward,
};

pub(super) const TRAIN: Row = Row {
    name: "train_unet_quick",
    operations: None,
    prepare: train,
};

pub(super) const CLASSES: usize = 8;

pub(super) fn network(device: &Device) -> QuickUnet {
    QuickUnetConfig::new(CLASSES).init(device)
}

/// Noisy images, steps and labels.
fn input(batch: usize, device: &Device) -> (Tensor<4>, Tensor<1>, Tensor<1, Int>) {
    let steps: Vec<f32> = (0..batch).map(|i| (i * 1000 / batch) as f32).collect();
    let labels: Vec<i64> = (0..batch).map(|i| (i % (CLASSES + 1)) as i64).collect();
    (
        normal([batch, 1, 28, 28], device),
        Tensor::from_floats(steps.as_slice(), device),
        Tensor::from_ints(labels.as_slice(), device),
    )
}

fn forward() -> Result<Work> {
    let device = device();
    let unet = network(&device);
    let (x, t, label) = input(50, &device);
    Ok(Box::new(move || {
        drop(unet.forward(x.clone(), t.clone(), label.clone()))
    }))
}

fn train() -> Result<Work> {
    let device = device().autodiff();
    let mut unet = Some(network(&device));
    let mut optimiser = AdamWConfig::new().with_weight_decay(0.0).init();
    let (x, t, label) = input(64, &device);
    let noise = normal([64, 1, 28, 28], &device);
    Ok(Box::new(move || {
        let module = unet.take().expect("put back at the end of each step");
        let predicted = module.forward(x.clone(), t.clone(), label.clone());
        let loss = (predicted - noise.clone()).square().mean();
        let gradients = GradientsParams::from_grads(loss.backward(), &module);
        unet = Some(optimiser.step(6e-4, module, gradients));
    }))
}

#[cfg(test)]
mod tests {
    use burn::module::Module;

    use super::*;

    #[test]
    fn as_many_parameters_as_the_trained_network() {
        assert_eq!(network(&Device::flex()).num_params(), 1_970_788);
    }
}
