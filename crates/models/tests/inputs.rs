//! Images that a network does not take are refused with the layer, what it expects and what was found; those that are not
//! refused are taken.

use burn::tensor::{Device, Tensor};
use diffguard_models::cifar_resnet::CifarResnetConfig;
use diffguard_models::quick_unet::QuickUnetConfig;
use diffguard_models::unet_ddim::DdimUnetConfig;
use diffguard_models::unet_iddpm::IddpmUnetConfig;
use diffguard_models::unet_latent::LatentUnetConfig;
use diffguard_models::vgg::Vgg16Config;
use diffguard_models::{Classifier, NoisePredictor};

fn diffusion(network: &dyn NoisePredictor, fits: [usize; 3], layer: &str, multiple: usize) {
    let device = Device::flex();
    network.check_input(fits).unwrap();
    let [channels, height, width] = fits;
    let x = Tensor::zeros([1, channels, height, width], &device);
    let eps = network.eps(x, Tensor::from_floats([3.0], &device), None);
    assert_eq!(eps.dims(), [1, channels, height, width]);
    for found in [
        [channels + 1, height, width],
        [channels, height + multiple / 2, width],
        [channels, height, width + 1],
    ] {
        let message = network.check_input(found).unwrap_err().to_string();
        let expected = format!(
            "layer `{layer}` expects {channels} channels and sides that are multiples of {multiple}, found {found:?}"
        );
        assert!(message.starts_with(&expected), "{message}");
    }
}

#[test]
fn diffusion_networks() {
    let device = Device::flex();
    let quick = QuickUnetConfig::new(2).with_channels(8);
    diffusion(&quick.init(&device), [1, 12, 8], "stem", 4);
    let mut ddim = DdimUnetConfig::cifar10();
    ddim.ch = 32;
    diffusion(&ddim.init(&device).unwrap(), [3, 8, 16], "conv_in", 8);
    let mut iddpm = IddpmUnetConfig::cifar10();
    iddpm.model_channels = 32;
    diffusion(
        &iddpm.init(&device).unwrap(),
        [3, 16, 8],
        "input_blocks.0",
        8,
    );
    let mut latent = LatentUnetConfig::cin256_v2();
    latent.model_channels = 32;
    diffusion(
        &latent.init(&device).unwrap(),
        [3, 8, 8],
        "input_blocks.0",
        8,
    );
}

#[test]
fn classifiers() {
    let device = Device::flex();
    let resnet = CifarResnetConfig::new(4).with_width(4).init(&device);
    resnet.check_input([3, 20, 32]).unwrap();
    let message = resnet.check_input([1, 32, 32]).unwrap_err().to_string();
    assert!(message.contains("`conv1` expects 3 channels"), "{message}");
    let vgg = Vgg16Config::new(4).with_pooled_side(1).with_hidden(4);
    let vgg = vgg.init(&device);
    vgg.check_input([3, 32, 33]).unwrap();
    assert_eq!(
        vgg.logits(Tensor::zeros([1, 3, 32, 33], &device)).dims(),
        [1, 4]
    );
    let message = vgg.check_input([3, 32, 31]).unwrap_err().to_string();
    assert!(
        message.contains("`features.0`") && message.contains("at least 32"),
        "{message}"
    );
}
