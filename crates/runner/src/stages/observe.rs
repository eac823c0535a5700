//! Observe: what each classifier says of the images.

use diffguard_guidance::Cost;
use serde::Serialize;

use crate::Result;
use crate::networks::LoadedClassifier;
use crate::parts::Unit;
use crate::pipeline::{Pipeline, array};
use crate::store::{Array, Key, Output};

pub const STAGE: &str = "observe";
pub(super) const VERSION: u32 = 2;

/// What a classifier says of a work unit.
#[derive(Clone, Debug)]
pub struct Observed {
    /// `[image, class]`.
    pub logits: Array,
    /// Penultimate features, `[image, feature]`.
    pub features: Array,
}

impl Observed {
    /// The predicted class of each image: the first largest logit.
    pub fn predictions(&self) -> Vec<usize> {
        predictions(&self.logits)
    }
}

/// The place of the first largest of the logits `[image, class]` of each image.
pub(crate) fn predictions(logits: &Array) -> Vec<usize> {
    let classes = logits.shape[1];
    logits
        .values
        .chunks_exact(classes)
        .map(|row| {
            (0..classes)
                .rev()
                .max_by(|&a, &b| row[a].total_cmp(&row[b]))
                .unwrap_or(0)
        })
        .collect()
}

#[derive(Serialize)]
struct DependsOn<'a> {
    device: &'a str,
    classifier: String,
    images: &'a Key,
}

/// The key of a work unit's observation.
///
/// # Errors
/// When an image cannot be read.
pub fn observe_key(pipeline: &Pipeline, unit: &Unit, classifier: &LoadedClassifier) -> Result<Key> {
    Ok(Key::new(
        STAGE,
        VERSION,
        &DependsOn {
            device: &pipeline.device_name,
            classifier: classifier.provenance.key(),
            images: unit.key()?,
        },
    ))
}

/// Runs a classifier on a work unit.
///
/// # Errors
/// What [`Pipeline::unit`] meets.
pub fn observe(
    pipeline: &Pipeline,
    set: &str,
    unit: &Unit,
    classifier: &LoadedClassifier,
) -> Result<Observed> {
    let key = observe_key(pipeline, unit, classifier)?;
    let output = pipeline.unit(STAGE, set, unit.len(), &key, || {
        let features = classifier
            .network
            .features(pipeline.tensor::<4>(&unit.images()?));
        let logits = classifier.network.head(features.clone());
        let mut output = Output {
            cost: Cost {
                classifier_rows: unit.len() as u64,
                ..Cost::default()
            },
            ..Output::default()
        };
        output.arrays.insert("logits".into(), array(logits)?);
        output.arrays.insert("features".into(), array(features)?);
        Ok(output)
    })?;
    Ok(Observed {
        logits: output.array("logits")?.clone(),
        features: output.array("features")?.clone(),
    })
}
