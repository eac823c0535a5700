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

#[cfg(test)]
mod tests {
    use diffguard_datasets::{ImageSet, synthetic};

    use super::*;

    fn benchmark(fit: usize) -> OpenBenchmark {
        synthetic::benchmark("quick", 90, fit).unwrap().into()
    }

    #[test]
    fn donors_are_training_images_that_the_seed_chooses() {
        let (benchmark, device) = (benchmark(100), Device::flex());
        let of = |seed| LoadedDonors::of(&benchmark, seed, &device).unwrap();
        let (one, again, other) = (of(1), of(1), of(2));
        assert_eq!(one.donors.count(), DONORS);
        assert_eq!(one.key, again.key);
        assert_ne!(one.key, other.key);
        // They are among the training images, with their labels.
        let AnySet::Memory(fit) = benchmark.fit.limit(DONORS, 1) else {
            panic!("in memory")
        };
        let labels: Vec<usize> = fit.labels.iter().map(|&label| label as usize).collect();
        assert_eq!(one.donors.labels(), labels);
        let drawn = LoadedDonors::drawn(&AnySet::Memory(fit), &device).unwrap();
        assert_eq!(drawn.key, one.key);
    }

    #[test]
    fn without_training_images_validation_images_are_taken() {
        let mut benchmark = benchmark(1);
        let nothing = ImageSet::new("fit", benchmark.fit.shape(), vec![], vec![], vec![]);
        benchmark.fit = AnySet::Memory(nothing.unwrap());
        let device = Device::flex();
        let of_validation = LoadedDonors::drawn(&benchmark.id_val.limit(DONORS, 0), &device);
        let donors = LoadedDonors::of(&benchmark, 0, &device).unwrap();
        assert_eq!(donors.key, of_validation.unwrap().key);
        benchmark.id_val = benchmark.fit.clone();
        let error = LoadedDonors::of(&benchmark, 0, &device).err().unwrap();
        assert!(error.to_string().contains("no training"), "{error}");
    }
}
