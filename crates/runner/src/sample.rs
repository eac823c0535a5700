//! How good an experiment's diffusion network is: samples of every class by classifier-free guidance, what the
//! classifiers say of them, and how well images survive inversion and unconditional synthesis.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use burn::tensor::{Device, Tensor};
use diffguard_datasets::benchmark::OpenBenchmark;
use diffguard_guidance::early_stop::psnr;
use diffguard_guidance::guidance::{ClassifierFreeConfig, Unconditional};
use diffguard_guidance::{
    GuidanceConfig, GuidanceContext, Look, SpacingConfig, Start, SynthesisConfig, Trajectory,
    forward_noise, invert_with, synthesise,
};
use diffguard_ood::metrics::frechet_distance;
use diffguard_report::pictures::{Caption, GridGroup, GridRow, PictureGrid, Tile};
use ndarray::{Array2, Axis};
use serde::Serialize;

use crate::baselines::stacked;
use crate::experiment::Experiment;
use crate::networks::{LoadedDiffusion, Networks, Provenance};
use crate::outputs::{factor, tile};
use crate::parallel;
use crate::parts::{Part, Split};
use crate::pipeline::{array, tensor};
use crate::progress::{Progress, Work};
use crate::stages::{OBSERVE, predictions};
use crate::store::Array;
use crate::{Error, Result};

/// What the display calls drawing samples.
const DRAW: &str = "draw";

/// Samples of each class in the grid.
const SHOWN: usize = 10;

/// What is asked.
#[derive(Clone, Debug)]
pub struct Asked {
    /// Samples to draw.
    pub samples: usize,
    /// Test images that they are compared with, at most.
    pub images: usize,
    /// Steps of the samples.
    pub spacing: SpacingConfig,
    /// Classifier-free guidance scale of the samples; 1 is conditional without guidance.
    pub scale: f64,
    /// Seed of the noise.
    pub seed: u64,
}

/// What was found.
#[derive(Clone, Debug, Serialize)]
pub struct Quality {
    /// The diffusion network.
    pub diffusion: Provenance,
    /// What its convolutions computed on.
    pub compute: &'static str,
    /// Number of samples, the same of every class (but for the remainder).
    pub samples: usize,
    /// Their steps.
    pub spacing: String,
    /// Their guidance scale.
    pub scale: f64,
    /// Seed of the noise.
    pub seed: u64,
    /// By classifier: the share of samples that it classifies as asked for.
    pub accuracy: BTreeMap<String, f64>,
    /// By classifier: Fréchet distance between its penultimate features of the samples and of `images` test images. On
    /// another scale than Inception's FID.
    pub frechet_distance: BTreeMap<String, f64>,
    /// By classifier: the same between as many of the test images as there are samples, half of them at most, and the other
    /// test images: about what a perfect network would have.
    pub frechet_distance_of_test_images: BTreeMap<String, f64>,
    /// Test images compared with.
    pub images: usize,
    /// By inversion, but for noise in place of one: mean PSNR in dB (peak 2) of the first test images after it and unconditional
    /// synthesis.
    pub reconstruction_psnr: BTreeMap<String, f64>,
    /// Number of those images.
    pub reconstructed: usize,
}

/// Samples from the experiment's diffusion network, until `stop`; with a display if not `silent`.
///
/// # Errors
/// When it works on latents, has no null label or no class, and what the method meets.
pub fn sample(
    experiment: &Experiment,
    networks: &Networks,
    benchmark: &OpenBenchmark,
    asked: &Asked,
    device: &Device,
    (stop, silent): (&AtomicBool, bool),
) -> Result<(Quality, PictureGrid)> {
    let diffusion = networks.main_diffusion()?;
    if networks.diffusions().any(|it| it.first_stage.is_some()) {
        return Err(Error::Setting(
            "`sample` draws and inverts images, and a diffusion network of this experiment works on latents".into(),
        ));
    }
    let classes = diffusion.unet.num_classes();
    if classes == 0 || asked.samples < 2 || asked.images < 4 {
        return Err(Error::Setting(
            "`sample` needs a diffusion network that knows classes, at least 2 samples and 4 test images".into(),
        ));
    }
    let shape = benchmark.id_test.shape();
    let shape = [shape.channels, shape.height, shape.width];
    let numbers: Vec<usize> = (0..asked.samples).collect();
    let mut units: Vec<&[usize]> = numbers.chunks(experiment.batch).collect();
    let test = Part {
        split: Split::IdTest,
        set: Arc::new(benchmark.id_test.limit(asked.images, asked.seed)),
    };
    // How long they take shows when the first are done.
    let work = |images: usize| Work {
        images: images as u64,
        seconds: 0.0,
    };
    let planned = BTreeMap::from([(DRAW, work(asked.samples)), (OBSERVE, work(test.set.len()))]);
    let progress = Progress::new(planned, rayon::current_num_threads(), silent);
    let made = parallel::each(&mut units, |unit| {
        stopped(stop)?;
        let begun = Instant::now();
        let images = draw(diffusion, unit, asked, shape, device)?;
        let seen = observe(networks, &images)?;
        let images = array(images)?;
        let seconds = begun.elapsed().as_secs_f64();
        progress.advance(DRAW, "samples", unit.len() as u64, Some(seconds));
        Ok((images, seen))
    })?;
    let mut tested = test.units(experiment.batch);
    let real = parallel::each(&mut tested, |unit| {
        stopped(stop)?;
        let begun = Instant::now();
        let seen = observe(networks, &tensor(&unit.images()?, device))?;
        let seconds = begun.elapsed().as_secs_f64();
        progress.advance(OBSERVE, "test images", unit.len() as u64, Some(seconds));
        Ok(seen)
    })?;
    progress.finish();

    let (mut accuracy, mut distance, mut of_test_images) =
        (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
    for (index, classifier) in networks.classifiers.iter().enumerate() {
        let name = classifier.provenance.name().to_owned();
        let of_samples = made.iter().map(|(_, seen)| &seen[index]);
        let right = units.iter().zip(of_samples.clone()).map(|(unit, seen)| {
            let pairs = unit.iter().zip(&seen.predicted);
            pairs
                .filter(|(i, predicted)| **i % classes == **predicted)
                .count()
        });
        accuracy.insert(
            name.clone(),
            right.sum::<usize>() as f64 / asked.samples as f64,
        );
        let samples = stacked(of_samples.map(|seen| &seen.features))?;
        let known = stacked(real.iter().map(|seen| &seen[index].features))?;
        distance.insert(
            name.clone(),
            frechet_distance(samples.view(), known.view())?,
        );
        let (some, others) = apart(&known, asked.samples);
        of_test_images.insert(name, frechet_distance(some.view(), others.view())?);
    }

    let input: Tensor<4> = match tested.first() {
        Some(unit) => tensor(&unit.images()?, device),
        None => return Err(Error::Setting("the benchmark has no test images".into())),
    };
    let mut reconstruction_psnr = BTreeMap::new();
    let inversions = experiment.inversion.iter();
    // Images that are noised are not to come back.
    for (name, config) in inversions.filter(|(_, config)| config.draws.is_none()) {
        stopped(stop)?;
        let diffusion = networks.diffusion(name)?;
        let trajectory = Trajectory::new(&diffusion.schedule, &config.spacing)?;
        let unet = diffusion.unet.as_ref();
        let look = Look::new(|image| networks.view(image));
        let inverted = invert_with(unet, &trajectory, config, input.clone(), &look, &mut |_| ())?;
        let start = Start::after(&inverted, &trajectory, None);
        let settings = SynthesisConfig::default();
        let made = synthesise(
            unet,
            &trajectory,
            &settings,
            &Unconditional,
            start,
            &mut |_| (),
        )?;
        let each = array(psnr(input.clone(), made.image).unsqueeze::<2>())?;
        let mean = each.values.iter().sum::<f32>() / each.values.len() as f32;
        reconstruction_psnr.insert(name.clone(), f64::from(mean));
    }

    let quality = Quality {
        diffusion: diffusion.provenance.clone(),
        compute: diffusion.compute.name(),
        samples: asked.samples,
        spacing: asked.spacing.to_string(),
        scale: asked.scale,
        seed: asked.seed,
        accuracy,
        frechet_distance: distance,
        frechet_distance_of_test_images: of_test_images,
        images: test.set.len(),
        reconstruction_psnr,
        reconstructed: input.dims()[0],
    };
    let pictures = grid(&made, &units, benchmark, &quality)?;
    Ok((quality, pictures))
}

/// `count` rows, half of them at most, evenly from the first to the last (sets may be in the order of their classes), and the
/// other rows.
fn apart(rows: &Array2<f32>, count: usize) -> (Array2<f32>, Array2<f32>) {
    let all = rows.nrows();
    let count = count.min(all / 2);
    // Row `i` is one of them where the multiple of `count / all` below it rises.
    let (some, others): (Vec<_>, Vec<_>) =
        (0..all).partition(|i| (i + 1) * count / all > i * count / all);
    (rows.select(Axis(0), &some), rows.select(Axis(0), &others))
}

fn stopped(stop: &AtomicBool) -> Result<()> {
    match stop.load(Ordering::Relaxed) {
        true => Err(Error::Stopped),
        false => Ok(()),
    }
}

/// The samples of these numbers, `[sample, channel, height, width]` in [-1, 1]: of class `number % classes`, from noise
/// that follows from seed and number.
fn draw(
    diffusion: &LoadedDiffusion,
    numbers: &[usize],
    asked: &Asked,
    shape: [usize; 3],
    device: &Device,
) -> Result<Tensor<4>> {
    let trajectory = Trajectory::new(&diffusion.schedule, &asked.spacing)?;
    let classes = diffusion.unet.num_classes();
    let names: Vec<u64> = numbers.iter().map(|&number| number as u64).collect();
    let pure = diffusion.schedule.steps() as u64;
    let noise = forward_noise(asked.seed, &names, pure, shape, device);
    let labels = numbers.iter().map(|number| (number % classes) as i64);
    let unet = diffusion.unet.as_ref();
    let context = GuidanceContext::new(unet, None, noise.clone(), labels.collect())?;
    let guidance = GuidanceConfig::ClassifierFree(ClassifierFreeConfig {
        scale: asked.scale,
        dsg_cut: None,
    });
    guidance.check(unet)?;
    let guidance = guidance.prepare(&context)?;
    let start = Start::at(noise, trajectory.len() - 1);
    let settings = SynthesisConfig::default();
    let made = synthesise(
        unet,
        &trajectory,
        &settings,
        guidance.as_ref(),
        start,
        &mut |_| (),
    )?;
    Ok(made.image.clamp(-1.0, 1.0))
}

/// What a classifier says of some images.
struct Seen {
    features: Array,
    predicted: Vec<usize>,
}

fn observe(networks: &Networks, images: &Tensor<4>) -> Result<Vec<Seen>> {
    let classifiers = networks.classifiers.iter();
    classifiers
        .map(|classifier| {
            let features = classifier.network.features(images.clone());
            let logits = classifier.network.head(features.clone());
            Ok(Seen {
                features: array(features)?,
                predicted: predictions(&array(logits)?),
            })
        })
        .collect()
}

/// The first samples of every class, a class a row.
fn grid(
    made: &[(Array, Vec<Seen>)],
    units: &[&[usize]],
    benchmark: &OpenBenchmark,
    quality: &Quality,
) -> Result<PictureGrid> {
    let shape = benchmark.id_test.shape();
    let names = &benchmark.class_names;
    let mut tiles: Vec<Vec<Option<Tile>>> = vec![Vec::new(); names.len()];
    for ((images, _), unit) in made.iter().zip(units) {
        for (values, number) in images.values.chunks_exact(shape.len()).zip(*unit) {
            let row = &mut tiles[number % names.len()];
            if row.len() < SHOWN {
                row.push(Some(tile(shape, values)?));
            }
        }
    }
    let rows = tiles.into_iter().zip(names).map(|(tiles, name)| GridRow {
        tiles,
        caption: Caption {
            lines: vec![name.clone()],
            verdict: None,
        },
    });
    Ok(PictureGrid {
        title: format!(
            "{}: samples, {}, guidance scale {}",
            quality.diffusion.name(),
            quality.spacing,
            quality.scale
        ),
        columns: vec![String::new(); SHOWN],
        groups: vec![GridGroup {
            heading: String::new(),
            rows: rows.collect(),
        }],
        factor: factor(shape.height),
        differences: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_divided_evenly_and_each_once() {
        let rows = Array2::from_shape_fn((11, 1), |(row, _)| row as f32);
        for (asked, given) in [(1, 1), (3, 3), (5, 5), (40, 5)] {
            let (some, others) = apart(&rows, asked);
            assert_eq!((some.nrows(), others.nrows()), (given, 11 - given));
            let mut all: Vec<f32> = some.iter().chain(&others).copied().collect();
            all.sort_by(f32::total_cmp);
            assert_eq!(all, rows.column(0).to_vec());
            let gaps = some.column(0).to_vec();
            let gaps: Vec<f32> = gaps.windows(2).map(|pair| pair[1] - pair[0]).collect();
            assert!(
                gaps.iter()
                    .all(|gap| (gap - 11.0 / given as f32).abs() < 1.0)
            );
        }
    }
}
