//! Training of a diffusion network.

use std::path::Path;

use burn::module::Module;
use burn::tensor::{Int, Tensor, TensorData};
use diffguard_datasets::ImageShape;
use diffguard_guidance::schedule::Schedule;
use diffguard_models::checkpoint::Precision;
use diffguard_models::quick_unet::QuickUnet;
use rand::Rng;
use rand_distr::{Distribution, StandardNormal};

use crate::config::{DiffusionTraining, identity, read};
use crate::data::{Purpose, Sampler, augment, load, pixels, stream};
use crate::finish::finish;
use crate::run::run;
use crate::{Context, Error, Outcome};

/// Steps, noise and labels of a batch, all drawn on the host from one stream.
struct Draw {
    steps: Vec<usize>,
    noise: Vec<f32>,
    labels: Vec<i64>,
}

impl Draw {
    fn new(
        labels: &[i64],
        elements: usize,
        total: usize,
        null: (f64, i64),
        rng: &mut impl Rng,
    ) -> Self {
        Self {
            steps: labels.iter().map(|_| rng.random_range(0..total)).collect(),
            labels: labels
                .iter()
                .map(|&label| {
                    if rng.random_bool(null.0) {
                        null.1
                    } else {
                        label
                    }
                })
                .collect(),
            noise: (0..labels.len() * elements)
                .map(|_| StandardNormal.sample(rng))
                .collect(),
        }
    }
}

/// `mean((eps(x_t, t, y) - noise)^2)` (Ho et al. 2020, eq. 14).
fn loss(
    unet: &QuickUnet,
    schedule: &Schedule,
    shape: ImageShape,
    pixels: Vec<f32>,
    draw: Draw,
    device: &burn::tensor::Device,
) -> Result<Tensor<1>, Error> {
    let batch = draw.steps.len();
    let shape = [batch, shape.channels, shape.height, shape.width];
    let image = Tensor::<4>::from_data(TensorData::new(pixels, shape), device);
    let noise = Tensor::<4>::from_data(TensorData::new(draw.noise, shape), device);
    let x_t = schedule.diffuse(image, noise.clone(), &draw.steps)?;
    let t: Vec<f32> = draw.steps.iter().map(|&t| t as f32).collect();
    let t = Tensor::<1>::from_data(TensorData::new(t, [batch]), device);
    let label = Tensor::<1, Int>::from_data(TensorData::new(draw.labels, [batch]), device);
    Ok((unet.forward(x_t, t, label) - noise).square().mean())
}

pub(crate) fn train(path: &Path, context: &Context) -> Result<Outcome, Error> {
    let (config, table): (DiffusionTraining, _) = read(path)?;
    config.check(path)?;
    let Some(quick) = config.network.quick_unet() else {
        return Err(Error::Config {
            path: path.to_owned(),
            what: "`network.family` must be `quick-unet`: the published networks are loaded, not trained"
                .to_owned(),
        });
    };
    quick.check()?;
    let (num_classes, image_channels) = (quick.num_classes, quick.image_channels);
    let split = load(config.data, context)?;
    if num_classes != config.data.num_classes() || image_channels != split.train.shape.channels {
        return Err(Error::Config {
            path: path.to_owned(),
            what: format!(
                "the data have {} classes and {} channels, the network {num_classes} and {image_channels}",
                config.data.num_classes(),
                split.train.shape.channels
            ),
        });
    }
    let schedule = config.schedule.init()?;
    let shape = split.train.shape;
    if [shape.height, shape.width] != [quick.image_size; 2] {
        return Err(Error::Config {
            path: path.to_owned(),
            what: format!(
                "the images have {} x {} pixels, `network.image_size` says {}",
                shape.height, shape.width, quick.image_size
            ),
        });
    }
    let (seed, batch) = (config.optimisation.seed, config.optimisation.batch);
    let null = (config.null_share, num_classes as i64);
    let device = context.device.clone().autodiff();
    device.seed(seed);
    let mut sampler = Sampler::new(seed, split.train.len(), batch);
    let trained = run(
        &config.name,
        &identity(&table, &config.optimisation),
        &config.optimisation,
        Some(config.ema_decay),
        context,
        || quick.init(&device),
        |unet: &QuickUnet, step| {
            let indices = sampler.batch(step);
            let labels: Vec<i64> = indices.iter().map(|&i| split.train.labels[i]).collect();
            let rng = &mut stream(seed, Purpose::Noise, step as u64);
            let draw = Draw::new(&labels, shape.len(), schedule.steps(), null, rng);
            let mut pixels = pixels(&split.train, &indices);
            if config.flip {
                let rng = &mut stream(seed, Purpose::Augmentation, step as u64);
                let size = (shape.channels, shape.height, shape.width);
                augment(&mut pixels, size, 0, true, rng);
            }
            loss(unet, &schedule, shape, pixels, draw, &device)
        },
    )?;
    if trained.stopped {
        return Ok(Outcome::Stopped(trained.steps));
    }
    // The same steps and noise for every network, so that two validation losses can be compared.
    let mut total = 0.0;
    let indices: Vec<usize> = (0..split.val.len()).collect();
    for (number, part) in indices.chunks(100).enumerate() {
        let labels: Vec<i64> = part.iter().map(|&i| split.val.labels[i]).collect();
        let rng = &mut stream(0, Purpose::Validation, number as u64);
        let draw = Draw::new(&labels, shape.len(), schedule.steps(), (0.0, null.1), rng);
        let part_loss = loss(
            &trained.module,
            &schedule,
            shape,
            pixels(&split.val, part),
            draw,
            &context.device,
        )?;
        total += f64::from(part_loss.into_scalar::<f32>()) * part.len() as f64;
    }
    let measured = [("val_loss".to_owned(), total / split.val.len() as f64)].into();
    let parameters = trained.module.num_params();
    finish(
        context,
        &config.name,
        &config.network,
        table,
        batch,
        trained,
        parameters,
        Precision::F16,
        measured,
    )
}
