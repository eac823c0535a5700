//! Perturb: what a classifier says of the images after ODIN's step.

use diffguard_guidance::Cost;
use diffguard_models::input_gradient::perturbed_logits;
use diffguard_ood::detectors::Odin;
use serde::Serialize;

use crate::Result;
use crate::networks::LoadedClassifier;
use crate::parts::Unit;
use crate::pipeline::{Pipeline, array};
use crate::store::{Array, Key, Output};

pub const STAGE: &str = "perturb";
pub(super) const VERSION: u32 = 1;

#[derive(Serialize)]
struct DependsOn<'a> {
    device: &'a str,
    classifier: String,
    images: &'a Key,
    setting: &'a Odin,
}

/// The key of a work unit's perturbed logits.
///
/// # Errors
/// When an image cannot be read.
pub fn perturb_key(
    pipeline: &Pipeline,
    unit: &Unit,
    classifier: &LoadedClassifier,
    setting: &Odin,
) -> Result<Key> {
    Ok(Key::new(
        STAGE,
        VERSION,
        &DependsOn {
            device: &pipeline.device_name,
            classifier: classifier.provenance.key(),
            images: unit.key()?,
            setting,
        },
    ))
}

/// Logits `[image, class]` of a work unit's images after the step of `setting`.
///
/// # Errors
/// What [`Pipeline::unit`] meets.
pub fn perturb(
    pipeline: &Pipeline,
    set: &str,
    unit: &Unit,
    classifier: &LoadedClassifier,
    setting: &Odin,
) -> Result<Array> {
    let key = perturb_key(pipeline, unit, classifier, setting)?;
    let output = pipeline.unit(STAGE, set, unit.len(), &key, || {
        let logits = perturbed_logits(
            classifier.network.as_ref(),
            pipeline.tensor::<4>(&unit.images()?),
            setting.temperature,
            setting.noise,
        );
        let rows = unit.len() as u64;
        let mut output = Output {
            cost: Cost {
                classifier_rows: 2 * rows,
                classifier_gradient_rows: rows,
                ..Cost::default()
            },
            ..Output::default()
        };
        output.arrays.insert("logits".into(), array(logits)?);
        Ok(output)
    })?;
    Ok(output.array("logits")?.clone())
}
