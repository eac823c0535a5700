//! The quick U-Net: shapes, the null label, and weights that survive a round trip.

use std::path::Path;

use burn::module::Module;
use burn::tensor::{Device, Distribution, Int, Tensor};
use diffguard_models::checkpoint::{Precision, from_bytes, to_bytes};
use diffguard_models::network::DiffusionNetwork;
use diffguard_models::quick_unet::{QuickUnet, QuickUnetConfig};
use diffguard_models::{NoisePredictor, Summary};

fn input(device: &Device) -> (Tensor<4>, Tensor<1>) {
    device.seed(5);
    let x = Tensor::random([3, 1, 28, 28], Distribution::Normal(0.0, 1.0), device);
    (x, Tensor::from_floats([0.0, 500.0, 999.0], device))
}

/// Zero-initialised branches would hide errors: every parameter is moved a little.
fn network(device: &Device) -> QuickUnet {
    struct Shake;
    impl burn::module::ModuleMapper for Shake {
        fn map_float<const D: usize>(
            &mut self,
            param: burn::module::Param<Tensor<D>>,
        ) -> burn::module::Param<Tensor<D>> {
            param.map(|p| p.clone() + p.random_like(Distribution::Normal(0.0, 0.05)))
        }
    }
    device.seed(4);
    QuickUnetConfig::new(8)
        .with_channels(16)
        .init(device)
        .map(&mut Shake)
}

fn worst(a: Tensor<4>, b: Tensor<4>) -> f32 {
    (a - b).abs().max().into_scalar()
}

#[test]
fn no_label_is_the_null_label_and_another_label_is_another_prediction() {
    let device = Device::flex();
    let (network, (x, t)) = (network(&device), input(&device));
    let labelled = |label: i64| {
        let label = Tensor::<1, Int>::full([3], label, &device);
        network.eps(x.clone(), t.clone(), Some(label))
    };
    let unconditional = network.eps(x.clone(), t.clone(), None);
    assert_eq!(unconditional.dims(), [3, 1, 28, 28]);
    assert_eq!(network.null_label(), Some(8));
    assert_eq!(worst(unconditional.clone(), labelled(8)), 0.0);
    assert!(worst(unconditional, labelled(0)) > 1e-4);
}

#[test]
fn weights_survive_the_round_trip() {
    let device = Device::flex();
    let (network, (x, t)) = (network(&device), input(&device));
    let before = network.eps(x.clone(), t.clone(), None);
    for (precision, tolerance) in [(Precision::F32, 0.0), (Precision::F16, 2e-2)] {
        let bytes = to_bytes(&network, precision, "test").unwrap();
        let fresh = QuickUnetConfig::new(8).with_channels(16).init(&device);
        let loaded = from_bytes(fresh, bytes, Path::new("memory"))
            .unwrap()
            .valid();
        let change = worst(before.clone(), loaded.eps(x.clone(), t.clone(), None));
        assert!(change <= tolerance, "{precision:?}: {change}");
    }
}

#[test]
fn the_summary_is_of_the_size_that_the_configuration_names() {
    let of = |side: usize| QuickUnetConfig::new(8).with_image_size(side).summary();
    let (small, large) = (of(28).unwrap(), of(56).unwrap());
    assert_eq!(small.parameters, large.parameters);
    // Attention grows faster than the number of pixels.
    assert!(large.gflop > 4.0 * small.gflop && large.gflop < 8.0 * small.gflop);
    assert!(large.activation_bytes > 3 * small.activation_bytes);
    let error = of(30).unwrap_err().to_string();
    assert!(
        error.contains("multiple of 2 * patch = 4, found 30"),
        "{error}"
    );
    // A description; older ones do not say the size.
    let text = "family = 'quick-unet'\nimage_channels = 1\nnum_classes = 8\npatch = 2\nchannels = 48\nblocks = 2\n\
                heads = 4\ngroups = 8\n";
    let network: DiffusionNetwork = toml::from_str(text).unwrap();
    assert_eq!(network.input_shape(), [1, 28, 28]);
    assert_eq!(network.summary().unwrap(), small);
    let network: DiffusionNetwork = toml::from_str(&format!("{text}image_size = 56\n")).unwrap();
    assert_eq!(network.summary().unwrap(), large);
}

#[test]
fn sizes_that_do_not_divide_each_other_are_refused() {
    QuickUnetConfig::new(8).check().unwrap();
    for (config, key) in [
        (QuickUnetConfig::new(8).with_patch(4), "image_size"),
        (QuickUnetConfig::new(8).with_patch(0), "image_size"),
        (QuickUnetConfig::new(8).with_groups(5), "groups"),
        (QuickUnetConfig::new(8).with_heads(5), "heads"),
        (QuickUnetConfig::new(8).with_heads(0), "heads"),
        (QuickUnetConfig::new(0), "num_classes"),
    ] {
        let error = config.check().unwrap_err().to_string();
        assert!(error.contains(key), "{error}");
    }
}
