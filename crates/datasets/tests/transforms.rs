//! The transforms against golden cases of PIL, torchvision and torch.
//!
//! The small cases are in `oracles/resize`; a folder with more of them can be named in `DIFFGUARD_ORACLES` (its
//! subfolder `resize` is read).

use std::path::{Path, PathBuf};

use diffguard_datasets::ImageShape;
use diffguard_datasets::transforms::{Filter, Picture, Preprocess, resize_shorter_side};
use diffguard_datasets::verify::KINDS;
use diffguard_oracle::assert_folder;

#[test]
fn golden_cases() {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../oracles");
    let more = std::env::var_os("DIFFGUARD_ORACLES").map(PathBuf::from);
    for folder in [Some(own), more].into_iter().flatten() {
        assert_folder(&folder.join("resize"), KINDS);
    }
}

#[test]
fn sides_of_nothing_are_errors() {
    let shape = ImageShape {
        channels: 1,
        height: 2,
        width: 500,
    };
    let picture = Picture::new(shape, vec![0; 1000]).expect("fits");
    assert!(resize_shorter_side(&picture, 0, Filter::Bilinear).is_err());
    assert!(
        Picture::new(
            ImageShape {
                channels: 3,
                height: 0,
                width: 4
            },
            Vec::new()
        )
        .is_err()
    );
    assert!(
        Preprocess {
            resize: 2,
            crop: 0,
            filter: Filter::Bicubic
        }
        .apply(&picture)
        .is_err()
    );
}

#[test]
fn a_picture_without_a_sensible_size_is_refused() {
    let shape = ImageShape {
        channels: 3,
        height: 1,
        width: 1 << 22,
    };
    let thread = Picture::new(shape, vec![0; shape.len()]).unwrap();
    let error = Preprocess::CIFAR.apply(&thread).unwrap_err().to_string();
    assert!(error.contains("4194304 x 1"), "{error}");
}
