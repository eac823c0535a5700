//! One pass of published networks: DDPM's and guided diffusion's U-Nets, OpenOOD's ResNet-18.

use burn::module::Module;
use burn::tensor::{Int, Tensor};
use diffguard_models::resnet18_32::Resnet18SmallConfig;
use diffguard_models::unet_ddim::DdimUnetConfig;
use diffguard_models::unet_guided::GuidedUnetConfig;
use diffguard_models::{Classifier, NoisePredictor, Summary};

use super::{Row, Work, device, normal};
use crate::Result;

/// DDPM's U-Net of CIFAR-10 (Ho et al. 2020), without labels: 8 images.
pub(super) const DDPM: Row = Row {
    name: "unet_ddpm_cifar10",
    operations: Some(|| operations(&ddpm_config(), 8)),
    prepare: ddpm,
};

/// The class-conditional U-Net of ImageNet at 64 pixels (Dhariwal & Nichol 2021): 2 images.
pub(super) const GUIDED: Row = Row {
    name: "unet_guided_64",
    operations: Some(|| operations(&guided_config(), 2)),
    prepare: guided,
};

/// ResNet-18 for 32 pixels: 64 images.
pub(super) const CLASSIFIER: Row = Row {
    name: "classifier_resnet18_32",
    operations: Some(|| operations(&Resnet18SmallConfig::new(10), 64)),
    prepare: classifier,
};

/// Additions and multiplications of one pass over `batch` images.
fn operations(network: &dyn Summary, batch: usize) -> f64 {
    let summary = network.summary().expect("a published configuration");
    summary.gflop * 1e9 * batch as f64
}

fn ddpm_config() -> DdimUnetConfig {
    DdimUnetConfig {
        num_classes: None,
        ..DdimUnetConfig::cifar10()
    }
}

fn guided_config() -> GuidedUnetConfig {
    GuidedUnetConfig {
        image_size: 64,
        in_channels: 3,
        model_channels: 192,
        out_channels: 6,
        num_res_blocks: 3,
        attention_resolutions: vec![2, 4, 8],
        channel_mult: vec![1, 2, 3, 4],
        num_classes: Some(1000),
        num_heads: 1,
        num_head_channels: Some(64),
        use_scale_shift_norm: true,
        resblock_updown: true,
        use_new_attention_order: true,
    }
}

fn steps(batch: usize) -> Tensor<1> {
    let steps: Vec<f32> = (0..batch).map(|i| (i * 1000 / batch) as f32).collect();
    Tensor::from_floats(steps.as_slice(), &device())
}

fn ddpm() -> Result<Work> {
    let device = device();
    let unet = ddpm_config().init(&device)?;
    let (x, t) = (normal([8, 3, 32, 32], &device), steps(8));
    Ok(Box::new(move || drop(unet.eps(x.clone(), t.clone(), None))))
}

fn guided() -> Result<Work> {
    let device = device();
    let unet = guided_config().init(&device)?;
    let (x, t) = (normal([2, 3, 64, 64], &device), steps(2));
    let label = Tensor::<1, Int>::from_ints([0, 500], &device);
    Ok(Box::new(move || {
        drop(unet.forward(x.clone(), t.clone(), Some(label.clone())));
    }))
}

fn classifier() -> Result<Work> {
    let device = device();
    let network = Resnet18SmallConfig::new(10).init(&device).valid();
    let x: Tensor<4> = normal([64, 3, 32, 32], &device).tanh();
    Ok(Box::new(move || drop(network.logits(x.clone()))))
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;

    /// The peer's script asserts the same numbers of its networks.
    #[test]
    fn as_many_parameters_as_the_published_networks() {
        let device = Device::flex();
        let ddpm = ddpm_config().init(&device).unwrap();
        assert_eq!(ddpm.num_params(), 35_746_307);
        let guided = guided_config().init(&device).unwrap();
        assert_eq!(guided.num_params(), 295_904_454);
        let classifier = Resnet18SmallConfig::new(10).init(&device);
        // Means and variances of five batch norms at each width.
        let running = 2 * 5 * (64 + 128 + 256 + 512);
        assert_eq!(classifier.num_params() - running, 11_173_962);
    }
}
