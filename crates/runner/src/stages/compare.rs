//! Compare: one column a similarity.

use std::cell::OnceCell;
use std::collections::BTreeMap;

use diffguard_guidance::{SimilarityName, View};
use serde::Serialize;

use crate::Result;
use crate::networks::Networks;
use crate::parts::Unit;
use crate::pipeline::{Pipeline, array};
use crate::stages::{Observed, Synthesis};
use crate::store::{Key, Output};

pub const STAGE: &str = "compare";
pub(super) const VERSION: u32 = 2;

/// Scores of a work unit by similarity; higher means more in-distribution.
pub type Columns = BTreeMap<SimilarityName, Vec<f64>>;

#[derive(Serialize)]
struct DependsOn<'a> {
    device: &'a str,
    synthesis: &'a Key,
    reference: &'a Key,
    classifier: String,
    similarities: &'a [SimilarityName],
    /// Where a similarity looks through it.
    #[serde(skip_serializing_if = "Option::is_none")]
    perceptual: Option<&'a [String]>,
}

/// What the syntheses of a work unit are compared with. The networks look at it once, whatever the number of settings,
/// and not at all where every comparison is stored.
pub struct Compared<'a> {
    key: Key,
    look: Box<dyn Fn() -> Result<View<'a>> + 'a>,
    view: OnceCell<View<'a>>,
}

impl<'a> Compared<'a> {
    /// The input, whose logits and features are known from the first stage.
    ///
    /// # Errors
    /// When an image cannot be read.
    pub fn input(
        pipeline: &'a Pipeline,
        networks: &'a Networks,
        unit: &'a Unit,
        observed: &'a Observed,
    ) -> Result<Self> {
        Ok(Self {
            key: unit.key()?.clone(),
            look: Box::new(|| {
                let view = networks.view(pipeline.tensor::<4>(&unit.images()?));
                Ok(view.with_observations(
                    pipeline.tensor(&observed.features),
                    pipeline.tensor(&observed.logits),
                ))
            }),
            view: OnceCell::new(),
        })
    }

    /// The unconditional reconstruction.
    pub fn reconstruction(
        pipeline: &'a Pipeline,
        networks: &'a Networks,
        reconstruction: &'a Synthesis,
    ) -> Self {
        Self {
            key: reconstruction.key.clone(),
            look: Box::new(|| {
                let image = reconstruction.image.get(pipeline)?;
                Ok(networks.view(pipeline.tensor::<4>(&image)))
            }),
            view: OnceCell::new(),
        }
    }

    /// The key of its comparison with a synthesis.
    pub fn key_with(
        &self,
        pipeline: &Pipeline,
        networks: &Networks,
        synthesis: &Synthesis,
        similarities: &[SimilarityName],
    ) -> Key {
        compare_key(pipeline, networks, &synthesis.key, &self.key, similarities)
    }

    fn view(&self) -> Result<&View<'a>> {
        if let Some(view) = self.view.get() {
            return Ok(view);
        }
        let view = (self.look)()?;
        Ok(self.view.get_or_init(|| view))
    }
}

/// The key of a work unit's comparison.
pub fn compare_key(
    pipeline: &Pipeline,
    networks: &Networks,
    synthesis: &Key,
    reference: &Key,
    similarities: &[SimilarityName],
) -> Key {
    Key::new(
        STAGE,
        VERSION,
        &DependsOn {
            device: &pipeline.device_name,
            synthesis,
            reference,
            classifier: networks.protected().provenance.key(),
            similarities,
            perceptual: networks.perceptual_key(similarities),
        },
    )
}

/// Compares a synthesis with its reference.
///
/// # Errors
/// What [`Pipeline::unit`] and the similarities meet.
pub fn compare(
    pipeline: &Pipeline,
    set: &str,
    unit: &Unit,
    networks: &Networks,
    reference: &Compared<'_>,
    synthesis: &Synthesis,
    similarities: &[SimilarityName],
) -> Result<Columns> {
    let key = reference.key_with(pipeline, networks, synthesis, similarities);
    let output = pipeline.unit(STAGE, set, unit.len(), &key, || {
        let with = reference.view()?;
        let before = with.cost().classifier_rows;
        let made = networks.view(pipeline.tensor::<4>(&*synthesis.image.get(pipeline)?));
        let mut output = Output::default();
        for name in similarities {
            let score = name.similarity().score(with, &made)?;
            output.arrays.insert(name.to_string(), array(score)?);
        }
        // Earlier settings have paid for what the networks had seen of the reference before.
        output.cost = made.cost();
        output.cost.classifier_rows += with.cost().classifier_rows - before;
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
