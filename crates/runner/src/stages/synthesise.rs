//! Synthesise: the image again, from its latent, under a guidance.

use diffguard_guidance::synthesis::{Start, SynthesisConfig};
use diffguard_guidance::{GuidanceConfig, GuidanceContext, SpacingConfig, Trajectory};
use serde::Serialize;

use crate::Result;
use crate::networks::Networks;
use crate::parts::Unit;
use crate::pipeline::{Pipeline, array};
use crate::spent::Spent;
use crate::stages::{Inversion, Kept};
use crate::store::{Key, Output};

pub const STAGE: &str = "synthesise";
const VERSION: u32 = 2;

/// A synthesised work unit.
#[derive(Clone, Debug)]
pub struct Synthesis {
    /// `[image, channel, height, width]`; may leave [-1, 1].
    pub image: Kept,
    /// Key of the output.
    pub key: Key,
    /// What it cost when it was computed.
    pub spent: Spent,
}

#[derive(Serialize)]
struct DependsOn<'a> {
    inversion: &'a Key,
    guidance: &'a GuidanceConfig,
    synthesis: &'a SynthesisConfig,
    labels: &'a [i64],
    classifier: Option<&'a str>,
}

/// The key of a work unit's synthesis.
pub fn synthesise_key(
    networks: &Networks,
    inversion: &Key,
    (guidance, synthesis): (&GuidanceConfig, &SynthesisConfig),
    labels: &[i64],
) -> Key {
    let classifier = guidance
        .needs_classifier()
        .then_some(networks.protected().provenance.sha256.as_str());
    Key::new(
        STAGE,
        VERSION,
        &DependsOn {
            inversion,
            guidance,
            synthesis,
            labels,
            classifier,
        },
    )
}

/// Synthesises a work unit under `guidance`, towards `labels` (-1: none).
///
/// # Errors
/// What [`Pipeline::unit`] and the method meet.
#[allow(clippy::too_many_arguments)]
pub fn synthesise(
    pipeline: &Pipeline,
    set: &str,
    unit: &Unit,
    networks: &Networks,
    spacing: &SpacingConfig,
    inversion: &Inversion,
    (guidance, synthesis): (&GuidanceConfig, &SynthesisConfig),
    labels: &[i64],
) -> Result<Synthesis> {
    let (protected, diffusion) = (networks.protected(), networks.diffusion()?);
    let needs_classifier = guidance.needs_classifier();
    let key = synthesise_key(networks, &inversion.key, (guidance, synthesis), labels);
    let output = pipeline.unit(STAGE, set, unit.len(), &key, || {
        let trajectory = Trajectory::new(&diffusion.schedule, spacing)?;
        let context = GuidanceContext::new(
            diffusion.unet.as_ref(),
            needs_classifier.then_some(protected.network.as_ref()),
            pipeline.tensor::<4>(&unit.images()?),
            labels.to_vec(),
        )?;
        let prepared = guidance.prepare(&context)?;
        let start = Start {
            latent: pipeline.tensor::<4>(&*inversion.latent.get(pipeline)?),
            indices: inversion
                .stops
                .iter()
                .map(|&stop| trajectory.start_after(stop, synthesis.lead))
                .collect(),
            samples: Some(unit.samples.clone()),
        };
        let made = diffguard_guidance::synthesise(
            diffusion.unet.as_ref(),
            &trajectory,
            synthesis,
            prepared.as_ref(),
            start,
            &mut |_| {},
        )?;
        let mut output = Output {
            cost: made.cost + context.cost(),
            ..Output::default()
        };
        output.arrays.insert("image".into(), array(made.image)?);
        Ok(output)
    })?;
    Ok(Synthesis {
        spent: Spent::of(&output),
        image: Kept::new(STAGE, &key, output, "image")?,
        key,
    })
}
