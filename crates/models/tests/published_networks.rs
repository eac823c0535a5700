//! The diffusion networks' own behaviour beside their golden cases: faults are named, and short paths give what the general
//! ones give.

use burn::tensor::{Device, Distribution, Int, Tensor};
use diffguard_models::checkpoint::{Source, load};
use diffguard_models::latent_diffusion::LatentDiffusionConfig;
use diffguard_models::network::DiffusionNetwork;
use diffguard_models::unet_ddim::{self, DdimUnetConfig};
use diffguard_models::unet_guided::{self, GuidedUnetConfig};
use diffguard_models::unet_iddpm::IddpmUnetConfig;
use diffguard_models::unet_latent::{self, LatentUnetConfig};
use diffguard_models::vq_autoencoder::VqAutoencoderConfig;
use diffguard_models::{FirstStage, NoisePredictor, Summary};

fn small_guided() -> GuidedUnetConfig {
    GuidedUnetConfig {
        image_size: 16,
        in_channels: 3,
        model_channels: 32,
        out_channels: 6,
        num_res_blocks: 1,
        attention_resolutions: vec![2],
        channel_mult: vec![1, 2],
        num_classes: None,
        num_heads: 1,
        num_head_channels: Some(32),
        use_scale_shift_norm: true,
        resblock_updown: true,
        use_new_attention_order: false,
    }
}

fn zeros(config: &GuidedUnetConfig) -> Vec<(String, Vec<usize>, Vec<f32>)> {
    let keys = config.summary().unwrap().keys;
    let tensors = keys.into_iter();
    tensors
        .map(|key| {
            let length = key.shape.iter().product();
            (key.published, key.shape, vec![0.0; length])
        })
        .collect()
}

#[test]
fn keys_that_do_not_fit_are_named() {
    let config = small_guided();
    let mut tensors = zeros(&config);
    tensors.retain(|(name, _, _)| name != "middle_block.1.qkv.weight");
    tensors.push(("label_emb.weight".into(), vec![10, 128], vec![0.0; 1280]));
    let at = tensors
        .iter()
        .position(|(name, _, _)| name == "out.2.bias")
        .unwrap();
    tensors[at] = ("out.2.bias".into(), vec![3], vec![0.0; 3]);
    let network = config.init(&Device::flex()).unwrap();
    let source = Source::from_values("broken", tensors);
    let error = load(network, &source, &unet_guided::key_map())
        .expect_err("it does not fit")
        .to_string();
    for part in [
        "middle_block.1.qkv.weight",
        "label_emb.weight",
        "out.2.bias",
        "[3]",
        "[6]",
    ] {
        assert!(error.contains(part), "{part} is not in: {error}");
    }
}

#[test]
fn impossible_configurations_name_the_layer() {
    let device = Device::flex();
    let guided = |change: fn(&mut GuidedUnetConfig)| {
        let mut config = small_guided();
        change(&mut config);
        config.init(&device).expect_err("impossible").to_string()
    };
    let cases = [
        (
            guided(|c| c.model_channels = 48),
            vec!["level 0", "32", "48"],
        ),
        (
            guided(|c| c.attention_resolutions = vec![16]),
            vec!["factors", "[1, 2]", "16"],
        ),
        (
            guided(|c| c.num_head_channels = Some(24)),
            vec!["level 1", "64", "24"],
        ),
        (guided(|c| c.out_channels = 4), vec!["out.2", "3 or 6", "4"]),
        (
            guided(|c| c.model_channels = usize::MAX),
            vec!["model_channels", "18446744073709551615"],
        ),
        (
            guided(|c| c.channel_mult = vec![1; 70]),
            vec!["channel_mult", "70"],
        ),
        (guided(|c| c.channel_mult.clear()), vec!["channel_mult"]),
        (
            guided(|c| c.num_head_channels = Some(0)),
            vec!["num_head_channels", "0"],
        ),
    ];
    for (error, parts) in cases {
        for part in parts {
            assert!(error.contains(part), "{part} is not in: {error}");
        }
    }
    let ddim = DdimUnetConfig {
        attn_resolutions: vec![15],
        ..DdimUnetConfig::cifar10()
    };
    let error = ddim.init(&device).err().unwrap().to_string();
    assert!(
        error.contains("[32, 16, 8, 4]") && error.contains("15"),
        "{error}"
    );
    let mut latent = LatentDiffusionConfig::cin256_v2();
    latent.unet.in_channels = 4;
    let error = latent.init(&device).err().unwrap().to_string();
    assert!(
        error.contains("input_blocks.0") && error.contains("found 4"),
        "{error}"
    );
}

#[test]
fn unknown_settings_are_refused() {
    let mut config = serde_json::to_value(DdimUnetConfig::cifar10()).unwrap();
    config["chanels"] = 3.into();
    let error = serde_json::from_value::<DdimUnetConfig>(config).unwrap_err();
    assert!(error.to_string().contains("chanels"), "{error}");
}

fn noise<const D: usize>(shape: [usize; D], device: &Device) -> Tensor<D> {
    let count: usize = shape.iter().product();
    let values: Vec<f32> = (0..count)
        .map(|i| ((i * 37 % 101) as f32 / 50.0) - 1.0)
        .collect();
    Tensor::<1>::from_floats(values.as_slice(), device).reshape(shape)
}

fn worst(a: Tensor<4>, b: Tensor<4>) -> f32 {
    (a - b).abs().max().into_scalar()
}

/// One context token takes the short path, two equal ones the general path with softmaxes of one half each: the same.
#[test]
fn one_context_token_is_one_vector() {
    let device = Device::flex();
    let config = LatentUnetConfig {
        image_size: 8,
        model_channels: 32,
        attention_resolutions: vec![1, 2],
        num_res_blocks: 1,
        channel_mult: vec![1, 2],
        num_heads: 2,
        context_dim: 24,
        n_classes: 11,
        ..LatentUnetConfig::cin256_v2()
    };
    let network = config.init(&device).unwrap();
    let x = noise([2, 3, 8, 8], &device);
    let t = Tensor::from_floats([3.0, 700.5], &device);
    let context = network.context(Tensor::<1, Int>::from_ints([4, 7], &device));
    assert_eq!(context.dims(), [2, 1, 24]);
    let single = network.forward(x.clone(), t.clone(), &context);
    let twice = Tensor::cat(vec![context.clone(), context.clone()], 1);
    let general = network.forward(x.clone(), t.clone(), &twice);
    assert!(worst(single.clone(), general) < 1e-5);
    // and the context matters
    let other = network.forward(x, t, &(context * -1.0));
    assert!(worst(single, other) > 1e-4);
}

#[test]
fn no_label_is_the_last_row() {
    let device = Device::flex();
    let config = DdimUnetConfig {
        image_size: 8,
        ch: 32,
        ch_mult: vec![1, 2],
        num_res_blocks: 1,
        attn_resolutions: vec![4],
        ..DdimUnetConfig::cifar10()
    };
    let network = config.init(&device).unwrap();
    let eps = |label: Option<i64>| {
        let label = label.map(|label| Tensor::<1, Int>::full([2], label, &device));
        let t = Tensor::from_floats([-1.0, 12.5], &device);
        network.eps(noise([2, 3, 8, 8], &device), t, label)
    };
    assert_eq!(
        (network.num_classes(), network.null_label()),
        (10, Some(10))
    );
    assert_eq!(worst(eps(None), eps(Some(10))), 0.0);
    assert!(worst(eps(None), eps(Some(0))) > 1e-4);
    let summary = config.summary().unwrap();
    assert!(
        summary
            .keys
            .iter()
            .any(|key| key.published == "label_emb.weight")
    );
    assert_eq!(
        unet_ddim::key_map().published_name("temb.first.weight"),
        "temb.dense.0.weight"
    );
}

#[test]
fn the_whole_latent_file_serves_each_part() {
    let device = Device::flex();
    let mut config = LatentDiffusionConfig::cin256_v2();
    config.unet.model_channels = 32;
    config.unet.channel_mult = vec![1, 2];
    config.unet.attention_resolutions = vec![2];
    config.first_stage.ddconfig.ch = 32;
    config.first_stage.ddconfig.ch_mult = vec![1, 2];
    config.first_stage.n_embed = 16;
    let mut tensors: Vec<_> = config
        .summary()
        .unwrap()
        .keys
        .into_iter()
        .map(|key| {
            let length: usize = key.shape.iter().product();
            let seed = key.published.len();
            let values = (0..length).map(|i| ((i * 31 + seed) % 17) as f32 / 100.0 - 0.08);
            (
                format!("state_dict.{}", key.published),
                key.shape,
                values.collect(),
            )
        })
        .collect();
    for beside in [
        "betas",
        "model_ema.decay",
        "first_stage_model.loss.discriminator.main.0.weight",
    ] {
        tensors.push((format!("state_dict.{beside}"), vec![1], vec![0.0]));
    }
    tensors.push(("optimizer_states.0".into(), vec![1], vec![0.0]));
    let source = Source::from_values("latent", tensors);
    let map = diffguard_models::latent_diffusion::key_map();
    let both = load(config.init(&device).unwrap(), &source, &map).unwrap();
    let unet = load(
        config.unet.init(&device).unwrap(),
        &source,
        &unet_latent::key_map(),
    )
    .unwrap();
    let map = diffguard_models::latent_diffusion::first_stage_key_map();
    let first = load(config.first_stage.init(&device).unwrap(), &source, &map).unwrap();
    let x = noise([1, 3, 8, 8], &device);
    let t = Tensor::from_floats([10.0], &device);
    let eps = both.diffusion.eps(x.clone(), t.clone(), None);
    assert_eq!(worst(eps, unet.eps(x.clone(), t, None)), 0.0);
    assert_eq!(
        worst(both.first_stage.encode(x.clone()), first.encode(x)),
        0.0
    );
    assert_eq!((first.factor(), first.latent_channels()), (2, 3));
}

#[test]
fn decoding_quantises_and_encoding_does_not() {
    let device = Device::flex();
    let mut config = VqAutoencoderConfig::vq_f4();
    config.n_embed = 8;
    config.ddconfig.ch = 32;
    config.ddconfig.ch_mult = vec![1, 2];
    let network = config.init(&device).unwrap();
    device.seed(3);
    let latent = Tensor::random([1, 3, 4, 4], Distribution::Normal(0.0, 1.0), &device);
    let codes = network.codes(network.nearest_codes(latent.clone()));
    assert_eq!(
        worst(
            network.codes(network.nearest_codes(codes.clone())),
            codes.clone()
        ),
        0.0
    );
    let decoded = network.decode(latent.clone());
    assert_eq!(
        worst(decoded.clone(), network.decode_unquantised(codes)),
        0.0
    );
    assert!(worst(decoded, network.decode_unquantised(latent)) > 0.0);
}

#[test]
fn families_are_called_by_name() {
    let network = |text: &str| toml::from_str::<DiffusionNetwork>(text);
    let text = |config: toml::Value, family: &str| {
        let mut table = config.as_table().unwrap().clone();
        table.insert("family".into(), family.into());
        toml::to_string(&table).unwrap()
    };
    let families = [
        (
            toml::Value::try_from(GuidedUnetConfig::imagenet_256_unconditional()),
            "guided-unet",
            552_814_086,
        ),
        (
            toml::Value::try_from(DdimUnetConfig::cifar10()),
            "ddim-unet",
            35_751_939,
        ),
        (
            toml::Value::try_from(IddpmUnetConfig::cifar10()),
            "iddpm-unet",
            52_552_070,
        ),
        (
            toml::Value::try_from(LatentDiffusionConfig::cin256_v2()),
            "latent-diffusion",
            456_755_873,
        ),
    ];
    for (config, family, parameters) in families {
        let text = text(config.unwrap(), family);
        let summary = network(&text).unwrap().summary().unwrap();
        assert_eq!(summary.parameters, parameters, "{family}");
        let misspelt = format!("chanels = 3\n{text}");
        let error = network(&misspelt).unwrap_err().to_string();
        assert!(error.contains("chanels"), "{family}: {error}");
    }
}
