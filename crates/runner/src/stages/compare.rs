//! Compare: one column a similarity.

use std::collections::BTreeMap;

use diffguard_guidance::{Cost, SimilarityName, View};
use serde::Serialize;

use crate::Result;
use crate::networks::LoadedClassifier;
use crate::parts::Unit;
use crate::pipeline::{Pipeline, array};
use crate::stages::{Observed, Synthesis};
use crate::store::{Key, Output};

const STAGE: &str = "compare";
const VERSION: u32 = 1;

/// Scores of a work unit by similarity; higher means more in-distribution.
pub type Columns = BTreeMap<SimilarityName, Vec<f64>>;

#[derive(Serialize)]
struct DependsOn<'a> {
    device: &'a str,
    synthesis: &'a Key,
    /// The reconstruction, or the input where there is none.
    reference: &'a Key,
    classifier: &'a str,
    similarities: &'a [SimilarityName],
}

/// Compares a synthesis with the input, or with the unconditional reconstruction where one is given.
///
/// # Errors
/// What [`Pipeline::unit`] and the similarities meet.
#[allow(clippy::too_many_arguments)]
pub fn compare(
    pipeline: &Pipeline,
    set: &str,
    unit: &Unit,
    classifier: &LoadedClassifier,
    observed: &Observed,
    reconstruction: Option<&Synthesis>,
    synthesis: &Synthesis,
    similarities: &[SimilarityName],
) -> Result<Columns> {
    let key = Key::new(
        STAGE,
        VERSION,
        &DependsOn {
            device: &pipeline.device_name,
            synthesis: &synthesis.key,
            reference: reconstruction.map_or(&unit.key, |reconstruction| &reconstruction.key),
            classifier: &classifier.provenance.sha256,
            similarities,
        },
    );
    let output = pipeline.unit(STAGE, set, unit.len(), &key, || {
        let network = Some(classifier.network.as_ref());
        let reference = match reconstruction {
            Some(reconstruction) => View::new(pipeline.tensor::<4>(&reconstruction.image), network),
            // The input's features are known from the first stage.
            None => View::new(pipeline.tensor::<4>(&unit.images), network).with_observations(
                pipeline.tensor(&observed.features),
                pipeline.tensor(&observed.logits),
            ),
        };
        let made = View::new(pipeline.tensor::<4>(&synthesis.image), network);
        let mut output = Output::default();
        for name in similarities {
            let score = name.similarity().score(&reference, &made)?;
            output.arrays.insert(name.to_string(), array(score)?);
        }
        output.cost = Cost::default() + reference.cost() + made.cost();
        Ok(output)
    })?;
    similarities
        .iter()
        .map(|name| {
            let scores = output.array(name.as_str())?;
            Ok((
                *name,
                scores
                    .values
                    .iter()
                    .map(|&score| f64::from(score))
                    .collect(),
            ))
        })
        .collect()
}
