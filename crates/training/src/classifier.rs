//! Training of a classifier.

use std::collections::BTreeMap;
use std::path::Path;

use burn::module::Module;
use burn::tensor::{Device, Int, Tensor, TensorData};
use diffguard_datasets::ImageSet;
use diffguard_guidance::schedule::Schedule;
use diffguard_models::Classifier;
use diffguard_models::checkpoint::Precision;
use diffguard_models::network::ClassifierTask;

use crate::config::{ClassifierTraining, check, identity, read};
use crate::data::{Purpose, Sampler, Split, augment, load, pixels, stream};
use crate::finish::finish;
use crate::noise::noisy;
use crate::run::run;
use crate::{Context, Error, Outcome};

fn images(pixels: Vec<f32>, set: &ImageSet, device: &Device) -> Tensor<4> {
    let batch = pixels.len() / set.shape.len();
    let shape = [batch, set.shape.channels, set.shape.height, set.shape.width];
    Tensor::from_data(TensorData::new(pixels, shape), device)
}

/// Share of images that the network classifies as labelled; under `schedule`, of images at uniformly drawn steps, the
/// same ones for every network.
fn accuracy(
    network: &impl Classifier,
    set: &ImageSet,
    schedule: Option<&Schedule>,
    device: &Device,
) -> Result<f64, Error> {
    let indices: Vec<usize> = (0..set.len()).collect();
    let mut correct = 0;
    for (number, part) in indices.chunks(250).enumerate() {
        let mut image = images(pixels(set, part), set, device);
        if let Some(schedule) = schedule {
            let rng = &mut stream(0, Purpose::Validation, number as u64);
            image = noisy(image, schedule, rng)?;
        }
        let logits = network.logits(image);
        let predicted = logits
            .argmax(1)
            .into_data()
            .convert::<i64>()
            .try_into_vec::<i64>()
            .unwrap_or_default();
        correct += part
            .iter()
            .zip(predicted)
            .filter(|(i, p)| set.labels[**i] == *p)
            .count();
    }
    Ok(correct as f64 / set.len() as f64)
}

pub(crate) fn train(path: &Path, context: &Context) -> Result<Outcome, Error> {
    let (config, table): (ClassifierTraining, _) = read(path)?;
    check(&config.name, &config.optimisation, path)?;
    config.network.check().map_err(|what| Error::Config {
        path: path.to_owned(),
        what: format!("network: {what}"),
    })?;
    let split = load(config.data, context)?;
    let shape = split.train.shape;
    let (classes, known) = (config.network.num_classes(), config.data.num_classes());
    if classes != known {
        return Err(Error::Config {
            path: path.to_owned(),
            what: format!("the data have {known} classes, the network {classes}"),
        });
    }
    config
        .network
        .check_images([shape.channels, shape.height, shape.width])?;
    let noise = config.noise.as_ref();
    let schedule = noise.map(|noise| noise.schedule.init()).transpose()?;
    config.network.clone().apply(Training {
        config,
        table,
        split,
        schedule,
        context,
    })
}

/// A training whose network is of a type still to be told.
struct Training<'a> {
    config: ClassifierTraining,
    table: toml::Table,
    split: Split,
    /// Of the noise, where there is any.
    schedule: Option<Schedule>,
    context: &'a Context<'a>,
}

impl ClassifierTask for Training<'_> {
    type Output = Result<Outcome, Error>;

    fn run<M: Module + Classifier + 'static>(self, init: impl Fn(&Device) -> M) -> Self::Output {
        let Self {
            config,
            table,
            split,
            schedule,
            context,
        } = self;
        let shape = split.train.shape;
        let (seed, batch) = (config.optimisation.seed, config.optimisation.batch);
        let device = context.device.clone().autodiff();
        device.seed(seed);
        let mut sampler = Sampler::new(seed, split.train.len(), batch);
        let trained = run(
            &config.name,
            &identity(&table, &config.optimisation),
            &config.optimisation,
            None,
            context,
            || init(&device),
            |network: &M, step| {
                let indices = sampler.batch(step);
                let mut pixels = pixels(&split.train, &indices);
                let rng = &mut stream(seed, Purpose::Augmentation, step as u64);
                augment(
                    &mut pixels,
                    (shape.channels, shape.height, shape.width),
                    config.shift,
                    config.flip,
                    rng,
                );
                let labels: Vec<i64> = indices.iter().map(|&i| split.train.labels[i]).collect();
                let labels = Tensor::<1, Int>::from_data(TensorData::new(labels, [batch]), &device);
                let mut image = images(pixels, &split.train, &device);
                if let Some(schedule) = &schedule {
                    let rng = &mut stream(seed, Purpose::Noise, step as u64);
                    image = noisy(image, schedule, rng)?;
                }
                let logits = network.logits(image);
                let log_p = burn::tensor::activation::log_softmax(logits, 1);
                Ok(-log_p.gather(1, labels.unsqueeze_dim::<2>(1)).mean())
            },
        )?;
        if trained.stopped {
            return Ok(Outcome::Stopped(trained.steps));
        }
        let on_validation =
            |schedule| accuracy(&trained.module, &split.val, schedule, &context.device);
        let mut measured = BTreeMap::from([("val_accuracy".to_owned(), on_validation(None)?)]);
        if let Some(schedule) = &schedule {
            let noisy = on_validation(Some(schedule))?;
            measured.insert("val_accuracy_noisy".to_owned(), noisy);
        }
        let parameters = trained.module.num_params();
        finish(
            context,
            &config.name,
            &config.network,
            table,
            batch,
            trained,
            parameters,
            Precision::F32,
            measured,
        )
    }
}
