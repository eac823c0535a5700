//! In-distribution images that a guidance mixes into what the classifier sees (`mix`).

use burn::tensor::{Device, Tensor, TensorData};
use diffguard_datasets::benchmark::{AnySet, OpenBenchmark};
use diffguard_guidance::augment::Donors;

use crate::store::Key;
use crate::{Error, Result};

/// Images that are drawn from at most.
const DONORS: usize = 64;

/// The donors of a run, and a hash of all that they are.
pub struct LoadedDonors {
    /// The images with their labels.
    pub donors: Donors,
    /// Of their names, images and labels.
    pub key: Key,
}

impl LoadedDonors {
    /// Images that detectors fit to, or where the benchmark has none, in-distribution validation images; never test
    /// images. Which ones depends on `seed` and each image's name alone, evenly over the classes.
    ///
    /// # Errors
    /// When an image cannot be read, or the benchmark has neither.
    pub fn of(benchmark: &OpenBenchmark, seed: u64, device: &Device) -> Result<Self> {
        let sets = [&benchmark.fit, &benchmark.id_val];
        let set = sets.into_iter().find(|set| !set.is_empty());
        let set = set.ok_or_else(|| {
            Error::Setting(format!(
                "`mix` needs in-distribution images, and the benchmark `{}` has no training and no validation images",
                benchmark.name
            ))
        })?;
        Self::drawn(&set.limit(DONORS, seed), device)
    }

    fn drawn(set: &AnySet, device: &Device) -> Result<Self> {
        let mut bytes = Vec::new();
        for (index, (id, label)) in set.ids().iter().zip(set.labels()).enumerate() {
            bytes.extend_from_slice(id.as_bytes());
            bytes.push(0);
            bytes.extend_from_slice(&label.to_le_bytes());
            bytes.extend_from_slice(&set.evidence(index)?);
        }
        let images = set.decode(0..set.len())?;
        let shape = images.shape;
        let dims = [images.len(), shape.channels, shape.height, shape.width];
        let values = TensorData::new(images.signed(0..images.len()), dims);
        let labels = images.labels.iter().map(|&label| label as usize).collect();
        Ok(Self {
            donors: Donors::new(Tensor::from_data(values, device), labels)?,
            key: Key::of(&bytes),
        })
    }
}
