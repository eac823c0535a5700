//! Noise: where the syntheses of a work unit start that is noised in place of being inverted. No network is asked, and nothing
//! is stored: it is made again sooner than read.

use burn::tensor::Tensor;
use diffguard_guidance::{FirstStep, InversionConfig, Trajectory, noised};
use serde::Serialize;

use super::invert::{Latent, invert_key};
use crate::Result;
use crate::networks::Networks;
use crate::parts::Unit;
use crate::pipeline::Pipeline;
use crate::spent::Spent;
use crate::stages::{Encoded, Inversion, Kept};
use crate::store::Key;

const NAME: &str = "noise";
pub(super) const VERSION: u32 = 1;

/// One draw of noise on a work unit.
#[derive(Clone, Debug)]
pub struct Noised {
    config: InversionConfig,
    /// What is noised in place of the images, for a latent diffusion network.
    encoded: Option<Kept>,
    pub(super) draw: usize,
    seed: u64,
}

impl Noised {
    pub(super) fn let_go(&mut self) {
        self.encoded.iter_mut().for_each(Kept::let_go);
    }

    pub(super) fn get(
        &self,
        pipeline: &Pipeline,
        unit: &Unit,
        trajectory: &Trajectory,
    ) -> Result<Tensor<4>> {
        let image = match &self.encoded {
            Some(encoded) => pipeline.tensor::<4>(&*encoded.get(pipeline)?),
            None => pipeline.tensor::<4>(&unit.images()?),
        };
        let of = (self.draw, self.seed);
        let made = noised(trajectory, &self.config, image, &unit.samples, of)?;
        Ok(made.latent)
    }
}

#[derive(Serialize)]
struct DependsOn<'a> {
    /// That of the inversion in whose place it is.
    inversion: &'a Key,
    draw: usize,
    seed: u64,
}

/// What stands for one draw of noise on a work unit in the keys of what is made of it. It does not depend on the number of
/// draws: more of them go on from fewer.
///
/// # Errors
/// When an image cannot be read, or the experiment has no diffusion network.
pub fn noise_key(
    pipeline: &Pipeline,
    unit: &Unit,
    networks: &Networks,
    encoded: Option<&Key>,
    (name, config): (&str, &InversionConfig),
    (draw, seed): (usize, u64),
) -> Result<Key> {
    let config = InversionConfig {
        draws: None,
        ..config.clone()
    };
    let inversion = &invert_key(pipeline, unit, networks, encoded, (name, &config))?;
    let depends_on = DependsOn {
        inversion,
        draw,
        seed,
    };
    Ok(Key::new(NAME, VERSION, &depends_on))
}

/// One draw of noise on a work unit, or on what it was [encoded](crate::stages::encode()) to.
///
/// # Errors
/// As [`noise_key`], and when the configuration cannot be run.
pub fn noise(
    pipeline: &Pipeline,
    unit: &Unit,
    networks: &Networks,
    encoded: Option<&Encoded>,
    (name, config): (&str, &InversionConfig),
    (draw, seed): (usize, u64),
) -> Result<Inversion> {
    let diffusion = networks.diffusion(name)?;
    let trajectory = Trajectory::new(&diffusion.schedule, &config.spacing)?;
    let encoding = encoded.map(|encoded| &encoded.key);
    let of = (draw, seed);
    Ok(Inversion {
        key: noise_key(pipeline, unit, networks, encoding, (name, config), of)?,
        stops: vec![config.moves(&trajectory)? - 1; unit.len()],
        // Encoded once, whatever the number of draws.
        spent: match (draw, encoded) {
            (0, Some(encoded)) => encoded.spent,
            _ => Spent::default(),
        },
        first: FirstStep::default(),
        latent: Latent::Noised(Noised {
            config: config.clone(),
            encoded: encoded.map(|encoded| encoded.latent.clone()),
            draw,
            seed,
        }),
    })
}
