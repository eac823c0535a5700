//! An ablation of four settings on the same 16 images and N = 5 steps: one inversion, four syntheses that share what they
//! ask the networks at their first step.
//!
//! The peer does what the published code does: for each setting the inversion again and, with Clean Grad, two runs of the
//! U-Net a step with an autograd graph that is recorded and not used.

use burn::module::Module;
use burn::tensor::Tensor;
use diffguard_guidance::{
    GuidanceConfig, GuidanceContext, InversionConfig, ScheduleConfig, SpacingConfig, Start,
    SynthesisConfig, Trajectory, invert, synthesise,
};
use diffguard_models::cifar_resnet::CifarResnetConfig;
use serde_json::json;

use super::unet_quick::{CLASSES, network};
use super::{Row, Work, device, normal};
use crate::{Error, Result, parallel};

pub(super) const GUIDANCE: Row = Row {
    name: "image_classifier_guidance",
    operations: None,
    prepare: guidance,
};

pub(super) const FREE: Row = Row {
    name: "image_classifier_free",
    operations: None,
    prepare: free,
};

const IMAGES: usize = 16;
/// Images of a work unit; units run side by side, as those of a run do.
const UNIT: usize = 8;
const STEPS: usize = 5;

/// Clean Grad at two scales, with and without eight cutouts.
fn guidance() -> Result<Work> {
    let settings = [(1.0, false), (1.0, true), (3.0, false), (3.0, true)];
    prepare(
        settings
            .map(|(scale, cutout)| json!({ "kind": "classifier", "scale": scale, "x0hat": true, "cutout": cutout, "crops": 8 })),
    )
}

/// Four scales.
fn free() -> Result<Work> {
    prepare([1.5, 2.0, 3.0, 5.0].map(|scale| json!({ "kind": "classifier-free", "scale": scale })))
}

fn prepare(settings: [serde_json::Value; 4]) -> Result<Work> {
    let device = device();
    let unet = network(&device);
    let classifier = CifarResnetConfig::new(CLASSES)
        .with_blocks(2)
        .with_input_side(28)
        .with_mean(vec![0.286])
        .with_std(vec![0.353])
        .init(&device)
        .valid();
    let schedule = serde_json::from_value::<ScheduleConfig>(json!({ "kind": "linear" }))
        .map_err(setting)?
        .init()?;
    let trajectory = Trajectory::new(&schedule, &SpacingConfig::Ddim(STEPS))?;
    let settings = settings
        .into_iter()
        .map(|value| serde_json::from_value::<GuidanceConfig>(value).map_err(setting))
        .collect::<Result<Vec<_>>>()?;
    let inversion = InversionConfig {
        spacing: SpacingConfig::Ddim(STEPS),
        ..InversionConfig::default()
    };
    let images: Tensor<4> = normal([IMAGES, 1, 28, 28], &device).tanh();
    let labels: Vec<i64> = (0..IMAGES).map(|i| (i % CLASSES) as i64).collect();
    let of_unit = move |first: usize| -> Result<()> {
        let image = images.clone().narrow(0, first, UNIT);
        let labels = &labels[first..first + UNIT];
        let inverted = invert(&unet, &trajectory, &inversion, image.clone(), &mut |_| {})?;
        let start = Start::after(&inverted, &trajectory, None).shared();
        for setting in &settings {
            let context =
                GuidanceContext::new(&unet, Some(&classifier), image.clone(), labels.to_vec())?;
            let guidance = setting.prepare(&context)?;
            let config = SynthesisConfig::default();
            synthesise(
                &unet,
                &trajectory,
                &config,
                &*guidance,
                start.clone(),
                &mut |_| {},
            )?;
        }
        Ok(())
    };
    let run = move || -> Result<()> {
        let mut units: Vec<usize> = (0..IMAGES).step_by(UNIT).collect();
        parallel::each(&mut units, |first| of_unit(*first)).map(drop)
    };
    run()?;
    Ok(Box::new(move || {
        run().expect("went well in preparation");
    }))
}

fn setting(error: serde_json::Error) -> Error {
    Error::Setting(error.to_string())
}
