//! Batches: which images a step sees is a function of seed and step alone.

use std::collections::HashSet;

use diffguard_datasets::cifar::{self, CIFAR10_CLASSES};
use diffguard_datasets::lists::Lists;
use diffguard_datasets::{
    ImageSet, QUICK_CLASSES, TrainingSplit, fashion_mnist, quick_training_split,
};
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::{Context, Error, TrainingData};

/// The images of a training run.
pub(crate) struct Split {
    /// What the network is trained on.
    pub train: ImageSet,
    /// What it is measured on at the end.
    pub val: ImageSet,
}

/// The training and validation images.
pub(crate) fn load(data: TrainingData, context: &Context) -> Result<Split, Error> {
    match data {
        TrainingData::Quick => {
            let whole = fashion_mnist::load_train(&context.shelf.find("fashion-mnist")?.paths)?;
            let TrainingSplit { train, val, .. } = quick_training_split(&whole)?;
            Ok(Split { train, val })
        }
        TrainingData::Cifar10 => Ok(Split {
            train: cifar::load_cifar10(&context.shelf, cifar::Part::Train)?,
            val: listed(
                &cifar::load_cifar10(&context.shelf, cifar::Part::Test)?,
                "v1.5/cifar10/val_cifar10",
            )?,
        }),
    }
}

/// The images of `set` that OpenOOD's list names.
fn listed(set: &ImageSet, list: &str) -> Result<ImageSet, Error> {
    let names: HashSet<String> = Lists::open()?
        .get(list)?
        .entries
        .into_iter()
        .map(|entry| entry.name)
        .collect();
    let kept: Vec<usize> = (0..set.len())
        .filter(|&index| names.contains(&set.ids[index]))
        .collect();
    Ok(set.subset(&kept))
}

impl TrainingData {
    /// Number of classes.
    pub(crate) fn num_classes(self) -> usize {
        match self {
            Self::Quick => QUICK_CLASSES.len(),
            Self::Cifar10 => CIFAR10_CLASSES.len(),
        }
    }
}

/// What a random stream is for.
#[derive(Clone, Copy)]
pub(crate) enum Purpose {
    Order = 1,
    Augmentation = 2,
    Noise = 3,
    Validation = 4,
}

/// The random stream of a purpose at an index (a step or an epoch).
pub(crate) fn stream(seed: u64, purpose: Purpose, index: u64) -> ChaCha8Rng {
    let mut key = [0u8; 32];
    key[..8].copy_from_slice(&seed.to_le_bytes());
    key[8] = purpose as u8;
    key[16..24].copy_from_slice(&index.to_le_bytes());
    ChaCha8Rng::from_seed(key)
}

/// Walks through the images in a new order every epoch; an epoch's incomplete last batch is filled from the next.
pub(crate) struct Sampler {
    seed: u64,
    images: usize,
    batch: usize,
    epoch: Option<(usize, Vec<usize>)>,
}

impl Sampler {
    pub(crate) fn new(seed: u64, images: usize, batch: usize) -> Self {
        Self {
            seed,
            images,
            batch,
            epoch: None,
        }
    }

    /// Indices of the images of a step.
    pub(crate) fn batch(&mut self, step: usize) -> Vec<usize> {
        (step * self.batch..(step + 1) * self.batch)
            .map(|position| {
                let (epoch, offset) = (position / self.images, position % self.images);
                if self.epoch.as_ref().is_none_or(|(known, _)| *known != epoch) {
                    let mut order: Vec<usize> = (0..self.images).collect();
                    order.shuffle(&mut stream(self.seed, Purpose::Order, epoch as u64));
                    self.epoch = Some((epoch, order));
                }
                self.epoch
                    .as_ref()
                    .map_or(offset, |(_, order)| order[offset])
            })
            .collect()
    }
}

/// The pixels of some images in [-1, 1], `[index, channel, height, width]`.
pub(crate) fn pixels(set: &ImageSet, indices: &[usize]) -> Vec<f32> {
    indices
        .iter()
        .flat_map(|&index| set.image(index).iter().map(|&v| f32::from(v) / 127.5 - 1.0))
        .collect()
}

/// Shifts every image by up to `shift` pixels each way (black comes in), and mirrors half of them if `flip`.
pub(crate) fn augment(
    pixels: &mut [f32],
    (channels, height, width): (usize, usize, usize),
    shift: usize,
    flip: bool,
    rng: &mut ChaCha8Rng,
) {
    let shift = shift as i64;
    for image in pixels.chunks_exact_mut(channels * height * width) {
        let (dy, dx) = (
            rng.random_range(-shift..=shift),
            rng.random_range(-shift..=shift),
        );
        let mirrored = flip && rng.random_bool(0.5);
        let original = image.to_vec();
        for c in 0..channels {
            for y in 0..height {
                for x in 0..width {
                    let from_y = y as i64 - dy;
                    let from_x = if mirrored {
                        width as i64 - 1 - x as i64
                    } else {
                        x as i64
                    } - dx;
                    let inside =
                        (0..height as i64).contains(&from_y) && (0..width as i64).contains(&from_x);
                    image[(c * height + y) * width + x] = match inside {
                        true => original[(c * height + from_y as usize) * width + from_x as usize],
                        false => -1.0,
                    };
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_epoch_sees_every_image_once_and_a_step_can_be_drawn_out_of_order() {
        let mut sampler = Sampler::new(7, 10, 4);
        let drawn: Vec<usize> = (0..5).flat_map(|step| sampler.batch(step)).collect();
        for epoch in drawn.chunks(10) {
            let mut sorted = epoch.to_vec();
            sorted.sort_unstable();
            assert_eq!(sorted, (0..10).collect::<Vec<_>>());
        }
        assert_eq!(Sampler::new(7, 10, 4).batch(3), drawn[12..16]);
    }

    #[test]
    fn augmentation_without_shift_and_flip_is_the_identity() {
        let mut pixels: Vec<f32> = (0..32).map(|v| v as f32).collect();
        let before = pixels.clone();
        augment(
            &mut pixels,
            (1, 4, 4),
            0,
            false,
            &mut stream(1, Purpose::Augmentation, 0),
        );
        assert_eq!(pixels, before);
    }
}
