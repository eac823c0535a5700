//! A class-conditional network without a null label: whatever asks it for predictions without a label is refused before
//! anything is computed.

use burn::tensor::{Device, Tensor};
use diffguard_guidance::{GuidanceConfig, InversionConfig, ScheduleConfig, Trajectory, invert};
use diffguard_models::NoisePredictor;
use diffguard_models::unet_guided::{GuidedUnet, GuidedUnetConfig};

fn network(num_classes: Option<usize>) -> GuidedUnet {
    let config = GuidedUnetConfig {
        image_size: 8,
        in_channels: 3,
        model_channels: 32,
        out_channels: 3,
        num_res_blocks: 1,
        attention_resolutions: vec![],
        channel_mult: vec![1, 1],
        num_classes,
        num_heads: 1,
        num_head_channels: None,
        use_scale_shift_norm: true,
        resblock_updown: false,
        use_new_attention_order: false,
    };
    config.init(&Device::flex()).unwrap()
}

fn inversion(network: &GuidedUnet) -> Result<(), String> {
    let schedule = ScheduleConfig::default().init().unwrap();
    let config = InversionConfig {
        spacing: "ddim2".parse().unwrap(),
        ..InversionConfig::default()
    };
    let trajectory = Trajectory::new(&schedule, &config.spacing).unwrap();
    let image = Tensor::zeros([1, 3, 8, 8], &Device::flex());
    invert(network, &trajectory, &config, image, &mut |_| ())
        .map(|_| ())
        .map_err(|error| error.to_string())
}

#[test]
fn it_is_refused_with_what_to_give_instead() {
    let conditional = network(Some(5));
    let refused = [
        inversion(&conditional).unwrap_err(),
        conditional.check_unlabelled().unwrap_err().to_string(),
        GuidanceConfig::None {}
            .check(&conditional)
            .unwrap_err()
            .to_string(),
        serde_json::from_str::<GuidanceConfig>("{\"kind\": \"classifier\"}")
            .unwrap()
            .check(&conditional)
            .unwrap_err()
            .to_string(),
    ];
    for message in refused {
        assert!(
            message.contains("5 classes") && message.contains("null label"),
            "{message}"
        );
    }
}

#[test]
fn an_unconditional_network_is_not() {
    let unconditional = network(None);
    inversion(&unconditional).unwrap();
    GuidanceConfig::None {}.check(&unconditional).unwrap();
}
