//! Which Fashion-MNIST images the quick benchmark trains on, fits on and validates on.

use crate::{Error, ImageSet, Result};

/// The Fashion-MNIST classes that the quick benchmark calls in-distribution, in the order of their new labels 0 to
/// 7. The two that are left out, Shirt (6) and Ankle boot (9), are its near out-of-distribution sets: each has close
/// relatives among the eight.
pub const QUICK_CLASSES: [i64; 8] = [0, 1, 2, 3, 4, 5, 7, 8];

/// Images of each class at the end of the training file that nothing is trained on.
pub(crate) const VALIDATION_PER_CLASS: usize = 250;

/// Images of each class at the beginning of the training file that detectors fit to.
pub(crate) const FIT_PER_CLASS: usize = 500;

/// What becomes of the training file. All three have labels 0 to 7.
#[derive(Clone, Debug)]
pub struct TrainingSplit {
    /// What networks are trained on: everything in-distribution but `val`, 46,000 images.
    pub train: ImageSet,
    /// What detectors fit to: the first 500 of each class, which are part of `train` too.
    pub fit: ImageSet,
    /// What settings are chosen on: the last 250 of each class, in no other split.
    pub val: ImageSet,
}

/// Splits the Fashion-MNIST training file (see [`load_train`](crate::fashion_mnist::load_train)) for the quick
/// benchmark; images of the classes 6 and 9 are left out.
///
/// # Errors
///
/// [`Error::Invalid`] where a class has too few images for the three splits.
pub fn quick_training_split(train: &ImageSet) -> Result<TrainingSplit> {
    let mut parts: [Vec<usize>; 3] = Default::default();
    for class in QUICK_CLASSES {
        let members: Vec<usize> = (0..train.len())
            .filter(|&index| train.labels[index] == class)
            .collect();
        if members.len() < FIT_PER_CLASS + VALIDATION_PER_CLASS {
            return Err(Error::Invalid {
                what: format!("image set `{}`", train.name),
                problem: format!(
                    "{} images of class {class}; the split needs {}",
                    members.len(),
                    FIT_PER_CLASS + VALIDATION_PER_CLASS
                ),
            });
        }
        let (trained, validation) = members.split_at(members.len() - VALIDATION_PER_CLASS);
        parts[0].extend(trained);
        parts[1].extend(&trained[..FIT_PER_CLASS]);
        parts[2].extend(validation);
    }
    let [train, fit, val] = parts.map(|mut indices| {
        indices.sort_unstable();
        remapped(train.subset(&indices))
    });
    Ok(TrainingSplit {
        train: train.named("fashion-mnist-train"),
        fit: fit.named("fashion-mnist-fit"),
        val: val.named("fashion-mnist-val"),
    })
}

/// The images of the eight classes, with their new labels, in file order.
pub(crate) fn in_distribution(set: &ImageSet) -> ImageSet {
    let indices: Vec<usize> = (0..set.len())
        .filter(|&index| QUICK_CLASSES.contains(&set.labels[index]))
        .collect();
    remapped(set.subset(&indices))
}

/// Replaces each Fashion-MNIST label by its place in [`QUICK_CLASSES`].
fn remapped(mut set: ImageSet) -> ImageSet {
    for label in &mut set.labels {
        let place = QUICK_CLASSES.iter().position(|class| class == label);
        *label = place.map_or(crate::OUT_OF_DISTRIBUTION, |place| place as i64);
    }
    set
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ImageShape;

    /// `per_class` images of each of the ten classes, classes in turn; the pixel is the class.
    fn file(per_class: usize) -> ImageSet {
        let labels: Vec<i64> = (0..per_class * 10)
            .map(|index| (index % 10) as i64)
            .collect();
        let pixels = labels.iter().map(|&label| label as u8).collect();
        let ids = (0..labels.len())
            .map(|index| format!("f/{index:05}"))
            .collect();
        ImageSet::new(
            "f",
            ImageShape {
                channels: 1,
                height: 1,
                width: 1,
            },
            pixels,
            labels,
            ids,
        )
        .unwrap()
    }

    #[test]
    fn splits_are_the_ends_of_each_class() {
        let TrainingSplit { train, fit, val } = quick_training_split(&file(1000)).unwrap();
        assert_eq!(
            (train.len(), fit.len(), val.len()),
            (750 * 8, 500 * 8, 250 * 8)
        );
        // The 500th image of class 8 is number 4998 of the file, the 751st of class 0 is number 7500.
        assert_eq!(fit.ids.last().unwrap(), "f/04998");
        assert_eq!(val.ids[0], "f/07500");
        assert!(fit.ids.iter().all(|id| train.ids.binary_search(id).is_ok()));
        assert!(
            val.ids
                .iter()
                .all(|id| train.ids.binary_search(id).is_err())
        );
    }

    #[test]
    fn labels_are_contiguous_and_the_near_classes_are_gone() {
        let split = quick_training_split(&file(800)).unwrap();
        for set in [&split.train, &split.fit, &split.val] {
            for (label, pixel) in set.labels.iter().zip(&set.pixels) {
                assert_eq!(QUICK_CLASSES[*label as usize], i64::from(*pixel));
            }
            assert!(!set.pixels.contains(&6) && !set.pixels.contains(&9));
        }
    }

    #[test]
    fn too_small_a_file_is_an_error() {
        assert!(quick_training_split(&file(700)).is_err());
    }
}
