//! Denoise: the errors under labels of each image, noised. Rounds are stored by thirties: a longer run goes on from a shorter
//! one.

use std::ops::Range;

use diffguard_guidance::{DenoisingConfig, ScheduleConfig, denoising_scores};
use diffguard_models::Compute;
use serde::Serialize;

use crate::Result;
use crate::experiment::Denoising;
use crate::networks::LoadedDiffusion;
use crate::parts::Unit;
use crate::pipeline::{Pipeline, array};
use crate::spent::Spent;
use crate::stages::Encoded;
use crate::store::{Array, Key, Output};

pub const STAGE: &str = "denoise";
pub(super) const VERSION: u32 = 1;

const ROUNDS_TOGETHER: usize = 30;

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
    unet: String,
    schedule: &'a ScheduleConfig,
    #[serde(skip_serializing_if = "Option::is_none")]
    compute: Option<Compute>,
    denoising: DenoisingConfig,
    /// Where it is not the run's first.
    #[serde(skip_serializing_if = "Option::is_none")]
    first: Option<usize>,
    seed: u64,
    images: &'a Key,
    /// What is noised in their place, by a latent diffusion network.
    #[serde(skip_serializing_if = "Option::is_none")]
    encoded: Option<&'a Key>,
    predicted: &'a [usize],
}

/// The rounds that are stored together.
pub fn spans(denoising: &DenoisingConfig) -> Vec<Range<usize>> {
    let all = denoising.rounds;
    let starts = (0..all).step_by(ROUNDS_TOGETHER);
    starts
        .map(|first| first..all.min(first + ROUNDS_TOGETHER))
        .collect()
}

/// The key of a work unit's errors in some rounds, under its predicted labels and others.
///
/// # Errors
/// When an image cannot be read.
pub fn denoise_key(
    pipeline: &Pipeline,
    unit: &Unit,
    diffusion: &LoadedDiffusion,
    encoded: Option<&Key>,
    (denoising, rounds, seed): (&DenoisingConfig, &Range<usize>, u64),
    predicted: &[usize],
) -> Result<Key> {
    // Their errors do not depend on the rounds after them.
    let denoising = DenoisingConfig {
        rounds: rounds.len(),
        ..denoising.clone()
    };
    Ok(Key::new(
        STAGE,
        VERSION,
        &DependsOn {
            device: &pipeline.device_name,
            unet: diffusion.provenance.key(),
            schedule: &diffusion.schedule_config,
            compute: diffusion.compute_key(),
            denoising,
            first: (rounds.start > 0).then_some(rounds.start),
            seed,
            images: unit.key()?,
            encoded,
            predicted,
        },
    ))
}

/// The columns of images from their errors, `[image, round, place]` of all rounds, row-major: the scores, and how hard the images
/// are.
pub fn denoising_columns(
    denoising: &Denoising,
    errors: &[f32],
    places: usize,
) -> Vec<(String, Vec<f64>)> {
    let noise = &denoising.noise;
    let scores = |after| denoising_scores(errors, [noise.rounds, places], after);
    let scored = denoising
        .columns()
        .map(|(column, after)| (column, scores(after)));
    let hardness = noise.hardness(errors, places, denoising.levels.unwrap_or(0));
    scored
        .chain(denoising.level_columns().zip(hardness))
        .collect()
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
    let mut spent = encoded.map_or_else(Spent::default, |encoded| encoded.spent);
    let mut parts = Vec::new();
    for rounds in spans(denoising) {
        let how = (denoising, &rounds, seed);
        let key = denoise_key(pipeline, unit, diffusion, latent, how, predicted)?;
        let output = pipeline.unit(STAGE, set, unit.len(), &key, || {
            let image = match encoded {
                Some(encoded) => encoded.latent.get(pipeline)?.into_owned(),
                None => unit.images()?,
            };
            let made = denoising.errors(
                rounds,
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
        spent += output.alone();
        parts.push(output.array("errors")?.clone());
    }
    Ok(Denoised {
        errors: joined(&parts, unit.len()),
        spent,
    })
}

/// `[image, round, place]` of all rounds, from those of some.
fn joined(parts: &[Array], images: usize) -> Array {
    let rounds = parts.iter().map(|part| part.shape[1]).sum();
    let places = parts[0].shape[2];
    let mut values = Vec::with_capacity(images * rounds * places);
    for image in 0..images {
        for part in parts {
            let row = part.shape[1] * places;
            values.extend_from_slice(&part.values[image * row..][..row]);
        }
    }
    Array {
        shape: vec![images, rounds, places],
        values,
    }
}
