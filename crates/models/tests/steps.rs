//! One evaluation of every family, as `cargo xtask model info` runs it, at small sizes.

use burn::tensor::Device;
use diffguard_models::Summary;
use diffguard_models::cifar_resnet::CifarResnetConfig;
use diffguard_models::latent_diffusion::LatentDiffusionConfig;
use diffguard_models::quick_unet::QuickUnetConfig;
use diffguard_models::resnet18_32::Resnet18SmallConfig;
use diffguard_models::resnet50::Resnet50Config;
use diffguard_models::unet_ddim::DdimUnetConfig;
use diffguard_models::unet_guided::GuidedUnetConfig;
use diffguard_models::unet_iddpm::IddpmUnetConfig;
use diffguard_models::vgg::Vgg16Config;
use diffguard_models::wide_resnet::WideResnetConfig;

/// Sizes of input and output of each step, after looking at what was measured.
fn shapes(configuration: &dyn Summary) -> Vec<([usize; 4], Vec<usize>)> {
    let steps = configuration.steps(&Device::flex()).unwrap();
    let parameters = configuration.summary().unwrap().parameter_bytes() as u64;
    steps
        .into_iter()
        .map(|step| {
            assert!(step.seconds > 0.0 && step.evaluations > 0, "{step:?}");
            if cfg!(target_os = "linux") {
                // The weights at least are in memory.
                assert!(step.peak_bytes.unwrap() > parameters, "{step:?}");
            }
            (step.input, step.output)
        })
        .collect()
}

#[test]
fn classifiers() {
    let cifar = [([1, 3, 32, 32], vec![1, 10])];
    assert_eq!(shapes(&CifarResnetConfig::new(10)), cifar);
    assert_eq!(shapes(&Resnet18SmallConfig::new(10).with_width(8)), cifar);
    assert_eq!(shapes(&WideResnetConfig::new(10).with_widen(1)), cifar);
    let small = Resnet50Config::new(7).with_input_side(64).with_width(8);
    assert_eq!(shapes(&small), [([1, 3, 64, 64], vec![1, 7])]);
    let vgg = Vgg16Config::new(7)
        .with_input_side(32)
        .with_pooled_side(1)
        .with_hidden(8);
    assert_eq!(shapes(&vgg), [([1, 3, 32, 32], vec![1, 7])]);
}

#[test]
fn diffusion_networks() {
    let same = |side: usize| [([1, 3, side, side], vec![1, 3, side, side])];
    let mut guided = GuidedUnetConfig::imagenet_256_unconditional();
    (guided.model_channels, guided.image_size) = (32, 64);
    guided.num_head_channels = Some(16);
    assert_eq!(shapes(&guided), same(64));
    // A network that needs labels gets one.
    guided.num_classes = Some(5);
    assert_eq!(shapes(&guided), same(64));
    let mut iddpm = IddpmUnetConfig::cifar10();
    iddpm.model_channels = 32;
    assert_eq!(shapes(&iddpm), same(32));
    let mut ddim = DdimUnetConfig::cifar10();
    ddim.ch = 32;
    assert_eq!(shapes(&ddim), same(32));
    let quick = QuickUnetConfig::new(3).with_channels(8).with_image_size(20);
    assert_eq!(shapes(&quick), [([1, 1, 20, 20], vec![1, 1, 20, 20])]);
}

#[test]
fn latent_diffusion_has_three_steps() {
    let mut config = LatentDiffusionConfig::cin256_v2();
    config.unet.model_channels = 32;
    config.unet.image_size = 16;
    config.first_stage.ddconfig.ch = 32;
    config.first_stage.ddconfig.resolution = 64;
    let image = ([1, 3, 64, 64], vec![1, 3, 64, 64]);
    let latent = ([1, 3, 16, 16], vec![1, 3, 16, 16]);
    assert_eq!(
        shapes(&config),
        [
            (image.0, latent.1.clone()),
            (latent.0, image.1),
            (latent.0, latent.1)
        ]
    );
}
