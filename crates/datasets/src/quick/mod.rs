//! The quick benchmark: real images that come with the repository, so that everything can be tried at once.
//!
//! In-distribution are eight classes of Fashion-MNIST; its other two are the near out-of-distribution sets, MNIST
//! digits 2 to 9 the far one. Settings are validated on digits 0 and 1 and on CutMix pictures, which have nothing in
//! common with the test sets but their style.

mod digits;
mod prepare;
mod split;

use std::path::Path;

use crate::assets::{Assets, MANIFEST};
use crate::benchmark::{Benchmark, OodSet, Outline, Role, Source};
use crate::cutmix::cutmix;
use crate::idx::{self, Idx};
use crate::{Error, ImageSet, ImageShape, Result, fashion_mnist};

pub use prepare::prepare;
pub use split::{QUICK_CLASSES, TrainingSplit, quick_training_split};

/// The folder in the repository's `assets`.
pub const FOLDER: &str = "quick";

const TEST_IMAGES: &str = "fashion-mnist/t10k-images-idx3-ubyte.gz";
const TEST_LABELS: &str = "fashion-mnist/t10k-labels-idx1-ubyte.gz";
const TRAIN_IMAGES: &str = "fashion-mnist/train-subset-images-idx3-ubyte.gz";
const TRAIN_LABELS: &str = "fashion-mnist/train-subset-labels-idx1-ubyte.gz";
const TRAIN_POSITIONS: &str = "fashion-mnist/train-subset-positions.txt";
const DIGIT_IMAGES: &str = "mnist-10k/images-idx3-ubyte.gz";
const DIGIT_LABELS: &str = "mnist-10k/labels-idx1-ubyte.gz";

/// CutMix validation pictures, and the seed that they are made with.
const CUTMIX: (usize, u64) = (1000, 0);

/// The near out-of-distribution sets: Fashion-MNIST label, name.
const NEAR: [(i64, &str); 2] = [(6, "shirt"), (9, "ankle-boot")];

/// Digits below this validate, the others test.
const FIRST_TEST_DIGIT: i64 = 2;

/// Reads the benchmark from `assets/quick`, every file checked against the manifest.
///
/// # Errors
///
/// [`Error::Checksum`] or [`Error::Missing`] where a file is not as it came; the mend is in the message.
pub fn load(assets: &Path) -> Result<Benchmark> {
    let assets = Assets::open(&assets.join(FOLDER), MANIFEST)?;
    let id_file = test_file(&assets)?;
    let split = quick_training_split(&training_subset(&assets)?)?;
    let digits = digit_file(&assets)?;

    let near = NEAR.iter().map(|&(class, name)| OodSet {
        role: Role::Near,
        set: where_label(&id_file, |label| label == class)
            .named(name)
            .unlabelled(),
    });
    let far = OodSet {
        role: Role::Far,
        set: where_label(&digits, |label| label >= FIRST_TEST_DIGIT)
            .named("mnist-10k")
            .unlabelled(),
    };
    let early_digits = where_label(&digits, |label| label < FIRST_TEST_DIGIT)
        .named("mnist-01")
        .unlabelled();
    let mixed = cutmix(&split.val, "cutmix", CUTMIX.0, CUTMIX.1)?;

    Ok(Benchmark {
        name: "quick".into(),
        class_names: QUICK_CLASSES
            .iter()
            .map(|&class| fashion_mnist::CLASS_NAMES[class as usize].into())
            .collect(),
        fit: split.fit,
        id_val: split.val,
        ood_val: vec![early_digits, mixed],
        id_test: split::in_distribution(&id_file),
        ood_test: near.chain([far]).collect(),
        sources: sources(&assets)?,
        left_out: Vec::new(),
    })
}

/// What the benchmark looks like from outside.
pub(crate) fn outline() -> Outline {
    let near = NEAR.iter().map(|&(_, name)| (Role::Near, name));
    Outline {
        name: "quick",
        class_names: QUICK_CLASSES
            .iter()
            .map(|&class| fashion_mnist::CLASS_NAMES[class as usize].into())
            .collect(),
        shape: ImageShape {
            channels: 1,
            height: 28,
            width: 28,
        },
        fit: "fashion-mnist-fit",
        id_val: "fashion-mnist-val",
        ood_val: vec!["mnist-01", "cutmix"],
        id_test: "fashion-mnist-test",
        ood_test: near.chain([(Role::Far, "mnist-10k")]).collect(),
    }
}

/// The 10,000 digits of `assets/quick`, labels 0 to 9.
///
/// # Errors
///
/// As [`load`].
pub(crate) fn digits(assets: &Path) -> Result<ImageSet> {
    digit_file(&Assets::open(&assets.join(FOLDER), MANIFEST)?)
}

/// The whole Fashion-MNIST test file, labels 0 to 9.
fn test_file(assets: &Assets) -> Result<ImageSet> {
    let images = read(assets, TEST_IMAGES, 3)?;
    let labels = read(assets, TEST_LABELS, 1)?;
    fashion_mnist::image_set("fashion-mnist-test", images, labels, fashion_mnist::test_id)
}

/// The images of the training file that are fitted to and validated on: 750 of each in-distribution class, in file
/// order, with their Fashion-MNIST labels and the ids of their positions in the whole file.
fn training_subset(assets: &Assets) -> Result<ImageSet> {
    let images = read(assets, TRAIN_IMAGES, 3)?;
    let labels = read(assets, TRAIN_LABELS, 1)?;
    let positions = positions(
        &assets.locate(TRAIN_POSITIONS),
        &assets.read(TRAIN_POSITIONS)?,
    )?;
    if positions.len() != labels.data.len() {
        return Err(Error::format(
            &assets.locate(TRAIN_POSITIONS),
            "lines",
            format!(
                "{} positions for {} labels",
                positions.len(),
                labels.data.len()
            ),
            "write the three files together with `cargo xtask prepare-quick`",
        ));
    }
    fashion_mnist::image_set("fashion-mnist-train", images, labels, |index| {
        fashion_mnist::train_id(positions[index])
    })
}

/// The digits, labels 0 to 9, ids `mnist-10k/<digit>/<place among its digit>`.
fn digit_file(assets: &Assets) -> Result<ImageSet> {
    let images = read(assets, DIGIT_IMAGES, 3)?;
    let labels = read(assets, DIGIT_LABELS, 1)?;
    let digits = labels.data.clone();
    let place = |index: usize| {
        digits[..index]
            .iter()
            .rev()
            .take_while(|&&digit| digit == digits[index])
            .count()
    };
    fashion_mnist::image_set("mnist-10k", images, labels, |index| {
        format!("mnist-10k/{}/{:04}", digits[index], place(index))
    })
}

/// Reads a checked IDX asset.
fn read(assets: &Assets, path: &str, dimensions: usize) -> Result<Idx> {
    idx::parse(&assets.locate(path), &assets.read(path)?, dimensions)
}

/// One decimal number a line; lines that begin with `#` are remarks.
fn positions(path: &Path, bytes: &[u8]) -> Result<Vec<usize>> {
    let lines = String::from_utf8_lossy(bytes);
    let numbered = lines
        .lines()
        .enumerate()
        .filter(|(_, line)| !line.starts_with('#'));
    numbered
        .map(|(number, line)| {
            line.parse().map_err(|_| {
                let entry = format!("line {}", number + 1);
                Error::format(
                    path,
                    entry,
                    format!("`{line}` is no position"),
                    "write one whole number a line",
                )
            })
        })
        .collect()
}

/// The images whose label passes.
fn where_label(set: &ImageSet, passes: impl Fn(i64) -> bool) -> ImageSet {
    let indices: Vec<usize> = (0..set.len())
        .filter(|&index| passes(set.labels[index]))
        .collect();
    set.subset(&indices)
}

/// What the benchmark was read from.
fn sources(assets: &Assets) -> Result<Vec<Source>> {
    let read = [
        TEST_IMAGES,
        TEST_LABELS,
        TRAIN_IMAGES,
        TRAIN_LABELS,
        TRAIN_POSITIONS,
        DIGIT_IMAGES,
        DIGIT_LABELS,
    ];
    read.into_iter()
        .map(|path| {
            let entry = assets.entry(path)?;
            Ok(Source {
                name: entry.path.clone(),
                licence: entry.licence.clone(),
                sha256: entry.sha256.clone(),
            })
        })
        .collect()
}
