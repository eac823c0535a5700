//! Encode: the latent images that a latent diffusion network works on.

use diffguard_guidance::latent;
use serde::Serialize;

use crate::Result;
use crate::networks::LoadedDiffusion;
use crate::parts::Unit;
use crate::pipeline::{Pipeline, array};
use crate::spent::Spent;
use crate::stages::Kept;
use crate::store::{Key, Output};

pub const STAGE: &str = "encode";
pub(super) const VERSION: u32 = 1;

/// An encoded work unit.
#[derive(Clone, Debug)]
pub struct Encoded {
    /// `[image, latent channel, height, width]`, not quantised.
    pub latent: Kept,
    /// Key of the output.
    pub key: Key,
    /// What it cost when it was computed.
    pub spent: Spent,
}

#[derive(Serialize)]
struct DependsOn<'a> {
    device: &'a str,
    first_stage: String,
    images: &'a Key,
}

/// The key of a work unit's encoding; `None` where the diffusion network works on images.
///
/// # Errors
/// When an image cannot be read.
pub fn encode_key(
    pipeline: &Pipeline,
    unit: &Unit,
    diffusion: &LoadedDiffusion,
) -> Result<Option<Key>> {
    if diffusion.first_stage.is_none() {
        return Ok(None);
    }
    Ok(Some(Key::new(
        STAGE,
        VERSION,
        &DependsOn {
            device: &pipeline.device_name,
            // One file holds both.
            first_stage: diffusion.provenance.key(),
            images: unit.key()?,
        },
    )))
}

/// Encodes a work unit; `None` where the diffusion network works on images.
///
/// # Errors
/// What [`Pipeline::unit`] meets.
pub fn encode(
    pipeline: &Pipeline,
    set: &str,
    unit: &Unit,
    diffusion: &LoadedDiffusion,
) -> Result<Option<Encoded>> {
    let key = encode_key(pipeline, unit, diffusion)?;
    let (Some(key), Some(first_stage)) = (key, &diffusion.first_stage) else {
        return Ok(None);
    };
    let output = pipeline.unit(STAGE, set, unit.len(), &key, || {
        let image = pipeline.tensor::<4>(&unit.images()?);
        let (encoded, cost) = latent::encode(first_stage.as_ref(), image);
        let mut output = Output {
            cost,
            ..Output::default()
        };
        output.arrays.insert("latent".into(), array(encoded)?);
        Ok(output)
    })?;
    Ok(Some(Encoded {
        spent: output.alone(),
        latent: Kept::new(STAGE, &key, output, "latent")?,
        key,
    }))
}
