//! Denoise: the errors under labels of each image, noised.

use diffguard_guidance::{DenoisingConfig, ScheduleConfig};
use diffguard_models::Compute;
use serde::Serialize;

use crate::Result;
use crate::networks::LoadedDiffusion;
use crate::parts::Unit;
use crate::pipeline::{Pipeline, array};
use crate::spent::Spent;
use crate::stages::Encoded;
use crate::store::{Array, Key, Output};

pub const STAGE: &str = "denoise";
const VERSION: u32 = 1;

/// A denoised work unit.
#[derive(Clone, Debug)]
pub struct Denoised {
    /// `[image, round, place]`, the predicted label first.
    pub errors: Array,
    /// What it cost when it was computed, its encoding included.
    pub spent: Spent,
}

#[derive(Serialize)]
struct DependsOn<'a> {
    device: &'a str,
    unet: &'a str,
    schedule: &'a ScheduleConfig,
    #[serde(skip_serializing_if = "Option::is_none")]
    compute: Option<Compute>,
    denoising: &'a DenoisingConfig,
    seed: u64,
    images: &'a Key,
    /// What is noised in their place, by a latent diffusion network.
    #[serde(skip_serializing_if = "Option::is_none")]
    encoded: Option<&'a Key>,
    predicted: &'a [usize],
}

/// The key of a work unit's errors under its predicted labels and others.
///
/// # Errors
/// When an image cannot be read.
pub fn denoise_key(
    pipeline: &Pipeline,
    unit: &Unit,
    diffusion: &LoadedDiffusion,
    encoded: Option<&Key>,
    (denoising, seed): (&DenoisingConfig, u64),
    predicted: &[usize],
) -> Result<Key> {
    Ok(Key::new(
        STAGE,
        VERSION,
        &DependsOn {
            device: &pipeline.device_name,
            unet: &diffusion.provenance.sha256,
            schedule: &diffusion.schedule_config,
            compute: diffusion.compute_key(),
            denoising,
            seed,
            images: unit.key()?,
            encoded,
            predicted,
        },
    ))
}

/// Noises a work unit, or what it was encoded to, and denoises it under labels.
///
/// # Errors
/// What [`Pipeline::unit`] and the method meet.
pub fn denoise(
    pipeline: &Pipeline,
    set: &str,
    unit: &Unit,
    diffusion: &LoadedDiffusion,
    encoded: Option<&Encoded>,
    (denoising, seed): (&DenoisingConfig, u64),
    predicted: &[usize],
) -> Result<Denoised> {
    let latent = encoded.map(|encoded| &encoded.key);
    let how = (denoising, seed);
    let key = denoise_key(pipeline, unit, diffusion, latent, how, predicted)?;
    let output = pipeline.unit(STAGE, set, unit.len(), &key, || {
        let image = match encoded {
            Some(encoded) => encoded.latent.get(pipeline)?.into_owned(),
            None => unit.images()?,
        };
        let made = denoising.errors(
            diffusion.unet.as_ref(),
            &diffusion.schedule,
            &pipeline.tensor::<4>(&image),
            (predicted, &unit.samples),
            seed,
        )?;
        let mut output = Output {
            cost: made.cost,
            ..Output::default()
        };
        output.arrays.insert("errors".into(), array(made.errors)?);
        Ok(output)
    })?;
    let mut spent = output.alone();
    if let Some(encoded) = encoded {
        spent += encoded.spent;
    }
    Ok(Denoised {
        errors: output.array("errors")?.clone(),
        spent,
    })
}
