//! Invert: the latent of each image, and where its inversion stopped.

use burn::tensor::Tensor;
use diffguard_guidance::{
    EarlyStopConfig, FirstStep, InversionConfig, Look, ScheduleConfig, SimilarityName, StopMetric,
    Trajectory,
};
use diffguard_models::Compute;
use serde::Serialize;

use crate::Result;
use crate::networks::Networks;
use crate::parts::Unit;
use crate::pipeline::{Pipeline, array};
use crate::spent::Spent;
use crate::stages::{Encoded, Kept, Noised};
use crate::store::{Array, Key, Output};

pub const STAGE: &str = "invert";
pub(super) const VERSION: u32 = 2;

/// An inverted work unit, or [one that was noised](crate::stages::noise()) in place of that.
#[derive(Clone, Debug)]
pub struct Inversion {
    /// Where its syntheses start.
    pub latent: Latent,
    /// Index of the last move of each image.
    pub stops: Vec<usize>,
    /// Key of the output.
    pub key: Key,
    /// What it cost when it was computed, its encoding included.
    pub spent: Spent,
    /// What the networks have answered at the latent while its work unit is at work.
    pub first: FirstStep,
}

impl Inversion {
    /// Lets go of the latent, which the store has, and of all that is known of it.
    pub fn let_go(&mut self) {
        match &mut self.latent {
            Latent::Inverted(latent) => latent.let_go(),
            Latent::Noised(noised) => noised.let_go(),
        }
        self.first.let_go();
    }
}

/// Where the syntheses of a work unit start, `[image, channel, height, width]`.
#[derive(Clone, Debug)]
pub enum Latent {
    /// As it is stored.
    Inverted(Kept),
    /// Made again whenever it is asked for.
    Noised(Noised),
}

impl Latent {
    /// Number of the draw of noise; 0 of an inversion.
    pub fn draw(&self) -> u64 {
        match self {
            Self::Inverted(_) => 0,
            Self::Noised(noised) => noised.draw as u64,
        }
    }

    /// The latent of `unit`.
    ///
    /// # Errors
    /// When an image cannot be read, or an output is no longer in the store.
    pub fn get(
        &self,
        pipeline: &Pipeline,
        unit: &Unit,
        trajectory: &Trajectory,
    ) -> Result<Tensor<4>> {
        match self {
            Self::Inverted(latent) => Ok(pipeline.tensor::<4>(&*latent.get(pipeline)?)),
            Self::Noised(noised) => noised.get(pipeline, unit, trajectory),
        }
    }
}

#[derive(Serialize)]
struct DependsOn<'a> {
    device: &'a str,
    unet: String,
    schedule: &'a ScheduleConfig,
    inversion: &'a InversionConfig,
    #[serde(skip_serializing_if = "Option::is_none")]
    compute: Option<Compute>,
    images: &'a Key,
    /// What is inverted in their place, by a latent diffusion network.
    #[serde(skip_serializing_if = "Option::is_none")]
    encoded: Option<&'a Key>,
    /// Where an early stop looks through it.
    #[serde(skip_serializing_if = "Option::is_none")]
    classifier: Option<String>,
    /// Likewise.
    #[serde(skip_serializing_if = "Option::is_none")]
    perceptual: Option<&'a [String]>,
}

/// The key of the inversion of a work unit, or of what it was encoded to.
///
/// # Errors
/// When an image cannot be read, or the experiment has no diffusion network.
pub fn invert_key(
    pipeline: &Pipeline,
    unit: &Unit,
    networks: &Networks,
    encoded: Option<&Key>,
    (name, config): (&str, &InversionConfig),
) -> Result<Key> {
    let protected = networks.protected();
    let classifier = config
        .early_stop
        .as_ref()
        .is_some_and(EarlyStopConfig::needs_classifier)
        .then_some(protected);
    let diffusion = networks.diffusion(name)?;
    let watched: Vec<SimilarityName> = config
        .early_stop
        .iter()
        .flat_map(EarlyStopConfig::thresholds)
        .filter_map(|(metric, _)| match metric {
            StopMetric::Psnr => None,
            StopMetric::Similarity(name) => Some(name),
        })
        .collect();
    Ok(Key::new(
        STAGE,
        VERSION,
        &DependsOn {
            device: &pipeline.device_name,
            unet: diffusion.provenance.key(),
            schedule: &diffusion.schedule_config,
            inversion: config,
            compute: diffusion.compute_key(),
            images: unit.key()?,
            encoded,
            classifier: classifier.map(|classifier| classifier.provenance.key()),
            perceptual: networks.perceptual_key(&watched),
        },
    ))
}

/// Inverts a work unit, or what it was [encoded](crate::stages::encode()) to. An early stop looks at decoded images.
///
/// # Errors
/// What [`Pipeline::unit`] and the method meet.
pub fn invert(
    pipeline: &Pipeline,
    set: &str,
    unit: &Unit,
    networks: &Networks,
    encoded: Option<&Encoded>,
    (name, config): (&str, &InversionConfig),
) -> Result<Inversion> {
    let diffusion = networks.diffusion(name)?;
    let encoding = encoded.map(|encoded| &encoded.key);
    let key = invert_key(pipeline, unit, networks, encoding, (name, config))?;
    let output = pipeline.unit(STAGE, set, unit.len(), &key, || {
        let trajectory = Trajectory::new(&diffusion.schedule, &config.spacing)?;
        let mut look = Look::new(|image: Tensor<4>| networks.view(image));
        let image = match (encoded, &diffusion.first_stage) {
            (Some(encoded), Some(first_stage)) => {
                if config.early_stop.is_some() {
                    let input = pipeline.tensor::<4>(&unit.images()?);
                    look = look.decoding(first_stage.as_ref(), input);
                }
                pipeline.tensor::<4>(&*encoded.latent.get(pipeline)?)
            }
            _ => pipeline.tensor::<4>(&unit.images()?),
        };
        let inverted = diffguard_guidance::invert_with(
            diffusion.unet.as_ref(),
            &trajectory,
            config,
            image,
            &look,
            &mut |_| {},
        )?;
        let mut output = Output {
            cost: inverted.cost,
            ..Output::default()
        };
        output
            .arrays
            .insert("latent".into(), array(inverted.latent)?);
        let stops = Array {
            shape: vec![unit.len()],
            values: inverted.stops.iter().map(|&stop| stop as f32).collect(),
        };
        output.arrays.insert("stops".into(), stops);
        Ok(output)
    })?;
    let mut spent = output.alone();
    if let Some(encoded) = encoded {
        spent += encoded.spent;
    }
    Ok(Inversion {
        stops: output
            .array("stops")?
            .values
            .iter()
            .map(|&stop| stop as usize)
            .collect(),
        spent,
        first: FirstStep::default(),
        latent: Latent::Inverted(Kept::new(STAGE, &key, output, "latent")?),
        key,
    })
}
