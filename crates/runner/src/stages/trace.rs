//! Trace: a value an image and noise level, for figures over the training step.

use burn::tensor::{Tensor, TensorData};
use diffguard_guidance::ddim::{implied_image, recompose};
use diffguard_guidance::early_stop::psnr;
use diffguard_guidance::{
    Cost, InversionConfig, ScheduleConfig, SpacingConfig, Step, Trajectory, forward_noise, latent,
};
use diffguard_models::{Classifier, Compute};
use serde::Serialize;

use super::observe::predictions;
use crate::Result;
use crate::networks::{LoadedClassifier, Networks};
use crate::parts::Unit;
use crate::pipeline::{Pipeline, array};
use crate::stages::Encoded;
use crate::store::{Array, Key, Output};
use crate::traces::{Series, TraceKind};

pub const STAGE: &str = "trace";
pub(super) const VERSION: u32 = 1;

#[derive(Serialize)]
struct DependsOn<'a> {
    device: &'a str,
    unet: String,
    schedule: &'a ScheduleConfig,
    #[serde(skip_serializing_if = "Option::is_none")]
    compute: Option<Compute>,
    what: &'a TraceKind,
    images: &'a Key,
    /// What is inverted in their place, by a latent diffusion network.
    #[serde(skip_serializing_if = "Option::is_none")]
    encoded: Option<&'a Key>,
    /// The classifiers that are asked.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    classifiers: Vec<String>,
}

/// The classifiers that a trace asks: the one under protection, then the noisy one.
fn asked<'a>(networks: &'a Networks, what: &TraceKind) -> Result<Vec<&'a LoadedClassifier>> {
    let TraceKind::Classification { noisy, .. } = what else {
        return Ok(Vec::new());
    };
    let mut asked = vec![networks.protected()];
    if let Some(noisy) = noisy {
        asked.push(networks.classifier(noisy)?);
    }
    Ok(asked)
}

/// The key of a work unit's trace.
///
/// # Errors
/// When an image cannot be read, or a network is missing.
pub fn trace_key(
    pipeline: &Pipeline,
    unit: &Unit,
    networks: &Networks,
    encoded: Option<&Key>,
    what: &TraceKind,
) -> Result<Key> {
    let diffusion = networks.main_diffusion()?;
    let classifiers = asked(networks, what)?;
    Ok(Key::new(
        STAGE,
        VERSION,
        &DependsOn {
            device: &pipeline.device_name,
            unet: diffusion.provenance.key(),
            schedule: &diffusion.schedule_config,
            compute: diffusion.compute_key(),
            what,
            images: unit.key()?,
            encoded: encoded.filter(|_| matches!(what, TraceKind::Inversion { .. })),
            classifiers: classifiers
                .iter()
                .map(|classifier| classifier.provenance.key())
                .collect(),
        },
    ))
}

/// Traces a work unit, or what it was [encoded](crate::stages::encode()) to; its series, `[image, step]` each.
///
/// # Errors
/// What [`Pipeline::unit`] and the method meet.
pub fn trace(
    pipeline: &Pipeline,
    set: &str,
    unit: &Unit,
    networks: &Networks,
    encoded: Option<&Encoded>,
    what: &TraceKind,
) -> Result<Vec<(Series, Array)>> {
    let key = trace_key(pipeline, unit, networks, encoded.map(|it| &it.key), what)?;
    let output = pipeline.unit(STAGE, set, unit.len(), &key, || match what {
        TraceKind::Inversion { inversion } => {
            inversion_trace(pipeline, unit, networks, encoded, inversion)
        }
        TraceKind::Classification { spacing, seed, .. } => {
            let asked = asked(networks, what)?;
            classification_trace(pipeline, unit, networks, &asked, spacing, *seed)
        }
    })?;
    let series = what.series().into_iter();
    series
        .map(|series| Ok((series, output.array(series.name())?.clone())))
        .collect()
}

/// Values `[image, step]`, to be filled.
struct Columns {
    steps: usize,
    values: Vec<f32>,
}

impl Columns {
    fn new(images: usize, steps: usize) -> Self {
        Self {
            steps,
            values: vec![f32::NAN; images * steps],
        }
    }

    fn set(&mut self, image: usize, step: usize, value: f32) {
        self.values[image * self.steps + step] = value;
    }

    fn into_array(self, images: usize) -> Array {
        Array {
            shape: vec![images, self.steps],
            values: self.values,
        }
    }
}

fn inversion_trace(
    pipeline: &Pipeline,
    unit: &Unit,
    networks: &Networks,
    encoded: Option<&Encoded>,
    config: &InversionConfig,
) -> Result<Output> {
    let diffusion = networks.main_diffusion()?;
    let trajectory = Trajectory::new(&diffusion.schedule, &config.spacing)?;
    let steps = config.moves(&trajectory)?;
    let input = pipeline.tensor::<4>(&unit.images()?);
    let first_stage = diffusion.first_stage.as_deref();
    let start = match encoded {
        Some(encoded) => pipeline.tensor::<4>(&*encoded.latent.get(pipeline)?),
        None => input.clone(),
    };
    let mut decoding = Cost::default();
    let mut seen = |x: &Tensor<4>, step: &Step<'_>| -> Result<Array> {
        let image = match first_stage {
            None => x.clone(),
            Some(first_stage) => {
                let (image, cost) = latent::decode(first_stage, x.clone());
                decoding += cost;
                image
            }
        };
        array(psnr(step.rows.select(&input), image))
    };
    let [mut x_t, mut x0hat] = [(); 2].map(|()| Columns::new(unit.len(), steps));
    // An observer has no way to fail.
    let mut fault = None;
    let inverted = diffguard_guidance::invert(
        diffusion.unet.as_ref(),
        &trajectory,
        config,
        start,
        &mut |step| {
            for (columns, x) in [(&mut x_t, step.x), (&mut x0hat, step.x0hat)] {
                match seen(x, step) {
                    Ok(seen) => {
                        let rows = step.rows.positions().iter().zip(step.indices);
                        for ((image, index), value) in rows.zip(seen.values) {
                            columns.set(*image, *index, value);
                        }
                    }
                    Err(error) => fault = Some(error),
                }
            }
        },
    )?;
    if let Some(error) = fault {
        return Err(error);
    }
    let mut output = Output {
        cost: inverted.cost + decoding,
        ..Output::default()
    };
    for (series, columns) in [(Series::PsnrXt, x_t), (Series::PsnrX0hat, x0hat)] {
        let values = columns.into_array(unit.len());
        output.arrays.insert(series.name().into(), values);
    }
    Ok(output)
}

fn classification_trace(
    pipeline: &Pipeline,
    unit: &Unit,
    networks: &Networks,
    asked: &[&LoadedClassifier],
    spacing: &SpacingConfig,
    seed: u64,
) -> Result<Output> {
    let diffusion = networks.main_diffusion()?;
    let trajectory = Trajectory::new(&diffusion.schedule, spacing)?;
    let levels = trajectory.synthesis();
    let image = pipeline.tensor::<4>(&unit.images()?);
    let [batch, channels, height, width] = image.dims();
    let shape = [channels, height, width];
    diffusion.unet.check_unlabelled()?;
    diffusion.unet.check_input(shape)?;
    let normal = networks.protected().network.as_ref();
    let noisy = asked.get(1).map(|classifier| classifier.network.as_ref());
    let mut columns: Vec<(Series, &dyn Classifier, Columns)> = Vec::new();
    let mut add = |series, classifier| {
        columns.push((series, classifier, Columns::new(batch, levels.len())));
    };
    add(Series::NormalXt, normal);
    add(Series::NormalX0hat, normal);
    if let Some(noisy) = noisy {
        add(Series::NoisyXt, noisy);
    }
    let mut cost = Cost::default();
    for (place, level) in levels.iter().enumerate() {
        // Keyed by the step itself: another spacing that has it sees the same image there.
        let purpose = level.t.max(0.0) as u64;
        let noise = forward_noise(seed, &unit.samples, purpose, shape, &pipeline.device);
        let x_t = recompose(image.clone(), noise, level.from, 0.0);
        let t = TensorData::new(vec![level.t as f32; batch], [batch]);
        let t = Tensor::<1>::from_data(t, &pipeline.device);
        let eps = diffusion.unet.eps(x_t.clone(), t, None);
        cost.unet_rows += batch as u64;
        let x0hat = implied_image(x_t.clone(), eps, level.from);
        for (series, classifier, columns) in &mut columns {
            let shown = match series {
                Series::NormalX0hat => x0hat.clone(),
                _ => x_t.clone(),
            };
            let predicted = predictions(&array(classifier.logits(shown))?);
            cost.classifier_rows += batch as u64;
            for (image, class) in predicted.into_iter().enumerate() {
                columns.set(image, place, class as f32);
            }
        }
    }
    let mut output = Output {
        cost,
        ..Output::default()
    };
    for (series, _, columns) in columns {
        let values = columns.into_array(batch);
        output.arrays.insert(series.name().into(), values);
    }
    Ok(output)
}
