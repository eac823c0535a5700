//! Synthesise: the image again, from its latent, under a guidance.

use diffguard_guidance::synthesis::{Start, SynthesisConfig};
use diffguard_guidance::{
    Cost, GuidanceConfig, GuidanceContext, Solver, SpacingConfig, Trajectory, latent,
};
use serde::Serialize;

use crate::Result;
use crate::donors::LoadedDonors;
use crate::networks::{LoadedDiffusion, Networks};
use crate::parts::Unit;
use crate::pipeline::{Pipeline, array};
use crate::spent::Spent;
use crate::stages::{Inversion, Kept};
use crate::store::{Key, Output};

pub const STAGE: &str = "synthesise";
pub(super) const VERSION: u32 = 2;

/// A synthesised work unit.
#[derive(Clone, Debug)]
pub struct Synthesis {
    /// `[image, channel, height, width]`, decoded where latents were synthesised; may leave [-1, 1].
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
    classifier: Option<String>,
    /// Images that it mixes in.
    #[serde(skip_serializing_if = "Option::is_none")]
    donors: Option<&'a Key>,
    /// Of DPM-Solver++, which extrapolated the last of few moves before.
    #[serde(skip_serializing_if = "Option::is_none")]
    lower_order_final: Option<bool>,
}

/// The images that `guidance` mixes in.
fn donors<'a>(networks: &'a Networks, guidance: &GuidanceConfig) -> Option<&'a LoadedDonors> {
    networks.donors.as_ref().filter(|_| guidance.needs_donors())
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
        .then(|| networks.protected().provenance.key());
    Key::new(
        STAGE,
        VERSION,
        &DependsOn {
            inversion,
            guidance,
            synthesis,
            labels,
            classifier,
            donors: donors(networks, guidance).map(|donors| &donors.key),
            lower_order_final: (synthesis.solver != Solver::Ddim).then_some(true),
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
    (diffusion, spacing): (&LoadedDiffusion, &SpacingConfig),
    inversion: &Inversion,
    (guidance, synthesis): (&GuidanceConfig, &SynthesisConfig),
    labels: &[i64],
) -> Result<Synthesis> {
    let protected = networks.protected();
    let needs_classifier = guidance.needs_classifier();
    let key = synthesise_key(networks, &inversion.key, (guidance, synthesis), labels);
    let donors = donors(networks, guidance);
    let output = pipeline.unit(STAGE, set, unit.len(), &key, || {
        let trajectory = Trajectory::new(&diffusion.schedule, spacing)?;
        let mut context = GuidanceContext::new(
            diffusion.unet.as_ref(),
            needs_classifier.then_some(protected.network.as_ref()),
            pipeline.tensor::<4>(&unit.images()?),
            labels.to_vec(),
        )?;
        if let Some(donors) = donors {
            context = context.with_donors(&donors.donors);
        }
        let prepared = guidance.prepare(&context)?;
        let start = Start {
            latent: inversion.latent.get(pipeline, unit, &trajectory)?,
            indices: inversion
                .stops
                .iter()
                .map(|&stop| trajectory.start_after(stop, synthesis.lead))
                .collect(),
            samples: Some(unit.samples.clone()),
            draw: inversion.latent.draw(),
            first: Some(inversion.first.clone()),
        };
        let made = diffguard_guidance::synthesise(
            diffusion.unet.as_ref(),
            &trajectory,
            synthesis,
            prepared.as_ref(),
            start,
            &mut |_| {},
        )?;
        let (image, decoded) = match diffusion.first_stage.as_deref() {
            Some(first_stage) => latent::decode(first_stage, made.image),
            None => (made.image, Cost::default()),
        };
        let mut output = Output {
            cost: made.cost + context.cost() + decoded,
            shared: made.shared,
            ..Output::default()
        };
        output.arrays.insert("image".into(), array(image)?);
        Ok(output)
    })?;
    Ok(Synthesis {
        spent: output.alone(),
        image: Kept::new(STAGE, &key, output, "image")?,
        key,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_mixed_in_is_part_of_the_key() {
        let (inversion, guidance) = (Key::of(b"inversion"), GuidanceConfig::None {});
        let key = |donors: Option<&Key>| {
            let synthesis = &SynthesisConfig::default();
            let depends_on = DependsOn {
                inversion: &inversion,
                guidance: &guidance,
                synthesis,
                labels: &[1, 2],
                classifier: None,
                donors,
                lower_order_final: None,
            };
            Key::new(STAGE, VERSION, &depends_on)
        };
        let (one, other) = (Key::of(b"one"), Key::of(b"other"));
        assert_ne!(key(Some(&one)), key(Some(&other)));
        assert_ne!(key(Some(&one)), key(None));
        assert_eq!(key(Some(&one)), key(Some(&one.clone())));
    }
}
