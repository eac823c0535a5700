//! How often a classifier is right on a test set.

use std::ops::Range;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use burn::tensor::{Device, Tensor, TensorData};
use diffguard_datasets::ImageSet;
use diffguard_models::Classifier;
use diffguard_report::write_atomic;
use serde::{Deserialize, Serialize};

use crate::{Error, Result, parallel};

/// Images of a work unit.
const UNIT: usize = 100;

/// The file of all measurements in an output folder.
const TABLE: &str = "accuracy.csv";

/// A measurement.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Accuracy {
    /// The classifier.
    pub model: String,
    /// The images.
    pub dataset: String,
    /// How many of them.
    pub images: usize,
    /// How many the classifier was right on.
    pub correct: usize,
    /// The share of those, in percent.
    pub percent: f64,
    /// Wall-clock seconds, loading apart.
    pub seconds: f64,
    /// Threads that worked.
    pub threads: usize,
    /// SHA-256 of the weights.
    pub weights_sha256: String,
    /// SHA-256 over the images and labels.
    pub images_sha256: String,
    /// What was typed.
    pub command: String,
}

/// Counts the images on which the network is right, `UNIT` at a time, as many units at once as there are threads.
///
/// # Errors
/// When the device gives back no predictions; [`Error::Stopped`].
pub fn count_correct(
    network: &dyn Classifier,
    set: &ImageSet,
    device: &Device,
    stop: &AtomicBool,
) -> Result<usize> {
    let mut units: Vec<Range<usize>> = (0..set.len())
        .step_by(UNIT)
        .map(|first| first..(first + UNIT).min(set.len()))
        .collect();
    let shape = set.shape;
    let counts = parallel::each(&mut units, |unit| {
        if stop.load(Ordering::Relaxed) {
            return Err(Error::Stopped);
        }
        let dims = [unit.len(), shape.channels, shape.height, shape.width];
        let images = TensorData::new(set.signed(unit.clone()), dims);
        let logits = network.logits(Tensor::from_data(images, device));
        let predicted = logits
            .argmax(1)
            .into_data()
            .convert::<i64>()
            .try_into_vec::<i64>()
            .map_err(|error| {
                Error::Setting(format!("no predictions from the device: {error:?}"))
            })?;
        let labels = &set.labels[unit.clone()];
        Ok(labels
            .iter()
            .zip(&predicted)
            .filter(|(l, p)| l == p)
            .count())
    })?;
    Ok(counts.into_iter().sum())
}

/// Measures a network.
///
/// # Errors
/// As [`count_correct`].
pub fn measure(
    network: &dyn Classifier,
    set: &ImageSet,
    device: &Device,
    (model, weights_sha256): (&str, &str),
    command: String,
    stop: &AtomicBool,
) -> Result<Accuracy> {
    let begun = Instant::now();
    let correct = count_correct(network, set, device, stop)?;
    Ok(Accuracy {
        model: model.to_owned(),
        dataset: set.name.clone(),
        images: set.len(),
        correct,
        percent: 100.0 * correct as f64 / set.len() as f64,
        seconds: (begun.elapsed().as_secs_f64() * 10.0).round() / 10.0,
        threads: rayon::current_num_threads(),
        weights_sha256: weights_sha256.to_owned(),
        images_sha256: set.checksum(),
        command,
    })
}

/// Adds a measurement to the table in `folder` (in place of an earlier one of the same weights and images), and writes the
/// page beside it.
///
/// # Errors
/// When the folder cannot be written, or holds a table that is none.
pub fn record(folder: &Path, accuracy: &Accuracy) -> Result<()> {
    std::fs::create_dir_all(folder).map_err(|error| Error::io(folder, &error))?;
    let path = folder.join(TABLE);
    let mut rows: Vec<Accuracy> = Vec::new();
    if path.exists() {
        let mut table = csv::Reader::from_path(&path).map_err(|error| Error::file(&path, error))?;
        for row in table.deserialize() {
            rows.push(row.map_err(|error| Error::file(&path, error))?);
        }
    }
    let what = |row: &Accuracy| {
        let names = (row.model.clone(), row.dataset.clone());
        (names, row.weights_sha256.clone(), row.images_sha256.clone())
    };
    rows.retain(|row| what(row) != what(accuracy));
    rows.push(accuracy.clone());
    rows.sort_by(|a, b| (&a.dataset, &a.model).cmp(&(&b.dataset, &b.model)));
    let mut table = csv::Writer::from_writer(Vec::new());
    for row in &rows {
        table
            .serialize(row)
            .map_err(|error| Error::file(&path, error))?;
    }
    let table = table
        .into_inner()
        .map_err(|error| Error::file(&path, error))?;
    write_atomic(&path, &table)?;
    write_atomic(folder.join("README.md"), page(&rows).as_bytes())?;
    Ok(())
}

fn page(rows: &[Accuracy]) -> String {
    let mut text = String::from(
        "# Accuracy of the classifiers\n\nWritten by the commands below; `accuracy.csv` has the checksums of weights and \
         images.\n\n| classifier | images | accuracy | seconds | threads |\n| --- | --- | ---: | ---: | ---: |\n",
    );
    for row in rows {
        text += &format!(
            "| {} | {} of {} | {:.2} % | {:.0} | {} |\n",
            row.model, row.images, row.dataset, row.percent, row.seconds, row.threads
        );
    }
    text += "\n```\n";
    for row in rows {
        text += &row.command;
        text.push('\n');
    }
    text + "```\n"
}
