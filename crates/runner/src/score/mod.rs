//! Single images by a finished benchmark: label, distances, their place among validation images, and a verdict.

mod pictures;
mod rows;

use std::path::{Path, PathBuf};

use burn::tensor::{Device, Tensor, TensorData};
use diffguard_datasets::ImageShape;
use diffguard_datasets::benchmark::{self, Outline};
use diffguard_datasets::transforms::{Filter, Picture, Preprocess};
use diffguard_guidance::{Cost, DiffGuard, Settings};
use diffguard_report::pictures::PictureGrid;
use serde::Serialize;

use self::pictures::{caption, grid, tiles};
use self::rows::{Found, Rows};
use crate::data::Data;
use crate::donors::LoadedDonors;
use crate::experiment::{Experiment, Guard, HEADLINE};
use crate::networks::Networks;
use crate::parts::{Split, identity};
use crate::published::Published;
use crate::scores::Sample;
use crate::{Error, Result, Root};

/// The share of in-distribution validation images that are accepted.
const ACCEPTED: f64 = 0.95;
/// Images that are scored together.
const TOGETHER: usize = 50;

/// What was found of an image.
#[derive(Debug, Clone, Serialize)]
pub struct Finding {
    /// Its file.
    pub image: PathBuf,
    /// The class that the classifier predicts.
    pub label: String,
    /// Its softmax probability.
    pub confidence: f64,
    /// Index of the last move of its inversion, or of the one that noise took the place of.
    pub stop: usize,
    /// Every row of the run that the guard, its networks and the image have all for.
    pub rows: Vec<Placed>,
    /// The one that judges.
    pub judge: Placed,
    /// The score below which an image is out-of-distribution.
    pub threshold: f64,
    /// Whether it is judged out-of-distribution at a true-positive rate of 95 %.
    pub out_of_distribution: bool,
}

/// A score and its place among the in-distribution validation images.
#[derive(Debug, Clone, Serialize)]
pub struct Placed {
    /// The name of its column in the benchmark's tables.
    pub name: String,
    /// The score; higher means more in-distribution.
    pub score: f64,
    /// Percentage of the validation images that score lower (ties count half).
    pub percentile: f64,
}

/// Findings of all images, and their pictures.
pub struct Scored {
    /// In the order of the images.
    pub findings: Vec<Finding>,
    /// A row an image: input, reconstruction, synthesis, difference.
    pub pictures: PictureGrid,
    /// The run's columns of denoising that nothing here is said of: the guard works with another diffusion network.
    pub left_out: Vec<String>,
    /// Rows that went through the networks.
    pub cost: Cost,
}

/// Scores image files by the run in `folder`, and judges them by one of its rows (`diffguard`: the elected one).
///
/// # Errors
/// When an image cannot be read, the run cannot be used, or the row cannot be had of single images.
pub fn score(
    images: &[PathBuf],
    folder: &Path,
    by: &str,
    root: &Root,
    device: &Device,
) -> Result<Scored> {
    let published = Published::read(folder, root, device)?;
    let entry = benchmark::entry(&published.experiment.benchmark)?;
    let Outline {
        class_names, shape, ..
    } = (entry.outline)();
    let inputs = images
        .iter()
        .map(|path| prepared(path, shape))
        .collect::<Result<Vec<_>>>()?;
    let guard = published.guard()?.clone();
    let Published {
        experiment,
        chosen,
        baselines,
        validation,
        networks,
    } = published;
    let asked = Rows::of(&experiment, &guard, &baselines)?;
    asked.check(by)?;
    let diffguard = guarding(&experiment, &guard, networks, root, device)?;

    let (mut found, mut rows) = (Found::default(), Vec::new());
    for (paths, inputs) in images.chunks(TOGETHER).zip(inputs.chunks(TOGETHER)) {
        let dims = [paths.len(), shape.channels, shape.height, shape.width];
        let x = Tensor::<4>::from_data(TensorData::new(inputs.concat(), dims), device);
        // Of what is seen, so that an image is judged alike wherever it lies.
        let samples: Vec<u64> = inputs.iter().map(|input| seen(input)).collect();
        let report = asked.ask(&diffguard, &x, &samples, &mut found)?;
        rows.extend(tiles(inputs, &report, shape)?);
    }

    let reports = &found.reports;
    let samples = images.iter().zip(reports).map(|(path, report)| Sample {
        split: Split::IdTest,
        set: String::new(),
        id: path.display().to_string(),
        label: -1,
        predicted: report.predicted as i64,
    });
    let run = (&chosen, &validation, folder);
    let (all, elected) = asked.all(run, samples.collect(), &found)?;
    let values = all.column(by).unwrap_or_default();
    let mut accepted = all.of(values, Split::IdVal, None);
    let threshold = diffguard_ood::quantile(&mut accepted, 1.0 - ACCEPTED)
        .ok_or_else(|| Error::Setting("the run has no validation scores; run it again".into()))?;
    let place = |name: &str, values: &[f64], i: usize| {
        let score = values[validation.samples.len() + i];
        Placed {
            name: name.to_owned(),
            score,
            percentile: percentile(&all.of(values, Split::IdVal, None), score),
        }
    };
    let judge = if by == HEADLINE { &elected } else { by };
    let findings: Vec<Finding> = reports
        .iter()
        .enumerate()
        .map(|(i, report)| {
            let judge = place(judge, values, i);
            Finding {
                image: images[i].clone(),
                label: class(&class_names, report.predicted),
                confidence: report.confidence,
                stop: report.stop,
                rows: all
                    .methods()
                    .filter(|name| *name != HEADLINE)
                    .map(|name| place(name, all.column(name).unwrap_or_default(), i))
                    .collect(),
                out_of_distribution: judge.score < threshold,
                judge,
                threshold,
            }
        })
        .collect();
    for (row, finding) in rows.iter_mut().zip(&findings) {
        row.caption = caption(finding);
    }
    Ok(Scored {
        pictures: grid(rows, &experiment.title),
        findings,
        cost: found.cost,
        left_out: asked.left_out,
    })
}

/// The guard with its networks.
fn guarding(
    experiment: &Experiment,
    guard: &Guard,
    mut networks: Networks,
    root: &Root,
    device: &Device,
) -> Result<DiffGuard> {
    let diffusion = networks.take_diffusion(&guard.inversion)?;
    let settings = Settings {
        schedule: diffusion.schedule_config,
        inversion: experiment.inversion[&guard.inversion].clone(),
        guidance: guard.guidance.clone(),
        synthesis: guard.synthesis.clone(),
        label: guard.label,
        reference: guard.reference.clone(),
        similarity: guard.similarity.clone(),
        seed: experiment.seed,
    };
    let classifier = networks.classifiers.into_iter().next();
    let classifier =
        classifier.ok_or_else(|| Error::Setting("the run has no classifier".into()))?;
    let needs_donors = settings.guidance.needs_donors();
    let mut diffguard = DiffGuard::new(diffusion.unet, classifier.network, settings)?;
    if let Some(first_stage) = diffusion.first_stage {
        diffguard = diffguard.with_first_stage(first_stage)?;
    }
    if needs_donors {
        let data = Data::new(root, root.data())?;
        let benchmark = benchmark::open(&experiment.benchmark, &data.shelf())?;
        let donors = LoadedDonors::of(&benchmark, experiment.seed, device)?;
        diffguard = diffguard.with_donors(donors.donors);
    }
    Ok(match networks.perceptual {
        Some(perceptual) => diffguard.with_perceptual(perceptual.network),
        None => diffguard,
    })
}

/// An image file as the benchmark's networks expect it: of their size and colours, in [-1, 1].
fn prepared(path: &Path, shape: ImageShape) -> Result<Vec<f32>> {
    let mut picture = Picture::read(path)?;
    if shape.channels == 1 {
        picture = grey(&picture)?;
    }
    let preprocess = Preprocess {
        resize: shape.height.min(shape.width),
        crop: shape.height.min(shape.width),
        filter: Filter::Bilinear,
    };
    let pixels = preprocess.apply(&picture)?.into_pixels();
    Ok(pixels
        .iter()
        .map(|value| f32::from(*value) / 127.5 - 1.0)
        .collect())
}

/// Luma with PIL's fixed-point weights (ITU-R 601).
fn grey(picture: &Picture) -> Result<Picture> {
    let shape = picture.shape();
    let area = shape.height * shape.width;
    let of = |channel: usize, i: usize| u32::from(picture.pixels()[channel * area + i]);
    let luma =
        |i| ((of(0, i) * 19_595 + of(1, i) * 38_470 + of(2, i) * 7_471 + 0x8000) >> 16) as u8;
    let shape = ImageShape {
        channels: 1,
        ..shape
    };
    Ok(Picture::new(shape, (0..area).map(luma).collect())?)
}

/// The identity of an image, from its values.
fn seen(input: &[f32]) -> u64 {
    let bytes: Vec<u8> = input.iter().flat_map(|value| value.to_le_bytes()).collect();
    identity(&bytes)
}

fn class(names: &[String], label: usize) -> String {
    names
        .get(label)
        .cloned()
        .unwrap_or_else(|| label.to_string())
}

/// Percentage of `among` below `score`; ties count half.
fn percentile(among: &[f64], score: f64) -> f64 {
    let below = among.iter().filter(|value| **value < score).count() as f64;
    let equal = among.iter().filter(|value| **value == score).count() as f64;
    100.0 * (below + equal / 2.0) / among.len().max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use diffguard_report::pictures::Tile;

    use crate::scores::Scores;

    /// The benchmark's own test images get the scores that its table was made of.
    #[test]
    fn images_score_as_in_the_benchmark() {
        let root = Root::find().unwrap();
        let folder = root.results().join("quick");
        let benchmark = benchmark::load("quick", &root.assets()).unwrap();
        let stored = Scores::read(&folder.join("scores.parquet")).unwrap();
        let of = |set: &str| stored.samples.iter().position(|sample| sample.set == set);
        let rows: Vec<usize> = [&benchmark.id_test, &benchmark.ood_test[0].set]
            .iter()
            .map(|set| of(&set.name).unwrap())
            .collect();
        let files = tempfile::tempdir().unwrap();
        let mut paths = Vec::new();
        for (row, set) in rows
            .iter()
            .zip([&benchmark.id_test, &benchmark.ood_test[0].set])
        {
            let id = &stored.samples[*row].id;
            let index = set.ids.iter().position(|other| other == id).unwrap();
            let (width, height) = (set.shape.width as u32, set.shape.height as u32);
            let pixels = set.image(index).to_vec();
            let picture = image::GrayImage::from_raw(width, height, pixels).unwrap();
            let path = files.path().join(format!("{row}.png"));
            picture.save(&path).unwrap();
            paths.push(path);
        }
        let scored = score(&paths, &folder, HEADLINE, &root, &Device::flex()).unwrap();
        for (finding, row) in scored.findings.iter().zip(&rows) {
            let denoising = |placed: &&Placed| placed.name.starts_with("denoising");
            let others: Vec<&Placed> = finding.rows.iter().filter(|it| !denoising(it)).collect();
            for name in ["ebo", "msp", "diffguard+ebo", "diffguard-free/l1"] {
                assert!(others.iter().any(|placed| placed.name == name), "{name}");
            }
            for placed in others {
                let want = stored.column(&placed.name).unwrap()[*row];
                let off = (placed.score - want).abs();
                assert!(
                    off < 1e-3 * (1.0 + want.abs()),
                    "{}: {} {want}",
                    placed.name,
                    placed.score
                );
            }
            // Its noise is drawn by its values, and not by its name in the set.
            let mut denoised = finding.rows.iter().filter(denoising);
            let denoised = denoised.next().unwrap();
            assert!(denoised.score.is_finite() && (0.0..=100.0).contains(&denoised.percentile));
            let headline = stored.column("diffguard").unwrap()[*row];
            assert!((finding.judge.score - headline).abs() < 1e-3);
        }
        assert_eq!(scored.cost.unet_rows, 2 * (15 + 16 * 2 + 16 + 30 * 2));
        let tiles: Vec<&Option<Tile>> = scored.pictures.groups[0].rows[0].tiles.iter().collect();
        assert!(tiles.iter().all(|tile| tile.is_some()));
    }

    #[test]
    fn percentiles() {
        let among = [1.0, 2.0, 2.0, 4.0];
        assert_eq!(percentile(&among, 0.0), 0.0);
        assert_eq!(percentile(&among, 2.0), 50.0);
        assert_eq!(percentile(&among, 3.0), 75.0);
        assert_eq!(percentile(&among, 9.0), 100.0);
    }
}
