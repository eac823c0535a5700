//! Networks that cannot do what is asked of them are refused before anything is computed: a class-conditional one
//! without a null label that is to predict without a label, and one that does not take the images.

use burn::tensor::{Device, Tensor};
use diffguard_guidance::{GuidanceConfig, InversionConfig, ScheduleConfig, Trajectory, invert};
use diffguard_models::NoisePredictor;
use diffguard_models::unet_guided::{GuidedUnet, GuidedUnetConfig};

const FITS: [usize; 4] = [1, 3, 8, 8];

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

fn inversion(network: &GuidedUnet, shape: [usize; 4]) -> Result<(), String> {
    let schedule = ScheduleConfig::default().init().unwrap();
    let config = InversionConfig {
        spacing: "ddim2".parse().unwrap(),
        ..InversionConfig::default()
    };
    let trajectory = Trajectory::new(&schedule, &config.spacing).unwrap();
    let image = Tensor::zeros(shape, &Device::flex());
    invert(network, &trajectory, &config, image, &mut |_| ())
        .map(|_| ())
        .map_err(|error| error.to_string())
}

#[test]
fn a_network_that_needs_labels() {
    let conditional = network(Some(5));
    let refused = [
        inversion(&conditional, FITS).unwrap_err(),
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
fn an_unconditional_network_is_welcome() {
    let unconditional = network(None);
    inversion(&unconditional, FITS).unwrap();
    GuidanceConfig::None {}.check(&unconditional).unwrap();
}

#[test]
fn images_that_do_not_fit() {
    let unconditional = network(None);
    for shape in [[1, 1, 8, 8], [1, 3, 8, 7], [1, 3, 9, 8], [1, 3, 0, 8]] {
        let message = inversion(&unconditional, shape).unwrap_err();
        let found = format!("found {:?}", &shape[1..]);
        assert!(
            message
                .contains("`input_blocks.0` expects 3 channels and sides that are multiples of 2")
                && message.contains(&found),
            "{message}"
        );
    }
}
