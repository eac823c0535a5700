//! CIFAR's records; the whole of CIFAR-10 where it is at hand.

mod common;

use std::fs;
use std::path::Path;

use common::shelf::{at_hand, or_passed_over, with_shelf};
use diffguard_datasets::cifar::{Part, load_cifar10, load_cifar100};
use diffguard_datasets::{ImageSet, Result, hash};

/// A folder with a CIFAR-100 test file, whose record `i` has fine label `i % 100` and red values `i % 251`.
fn cifar100() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let mut bytes = Vec::new();
    for index in 0..10_000 {
        bytes.extend([(index % 20) as u8, (index % 100) as u8]);
        bytes.extend([(index % 251) as u8; 1024]);
        bytes.extend([7; 2048]);
    }
    fs::create_dir(dir.path().join("cifar-100-binary")).unwrap();
    fs::write(dir.path().join("cifar-100-binary/test.bin"), bytes).unwrap();
    dir
}

fn load(dir: &Path) -> Result<ImageSet> {
    with_shelf(vec![dir.to_path_buf()], |shelf| {
        load_cifar100(shelf, Part::Test)
    })
}

#[test]
fn records_become_planar_images_with_openoods_names() {
    let set = load(cifar100().path()).unwrap();
    assert_eq!((set.len(), set.labels[581]), (10_000, 81));
    assert_eq!(set.ids[581], "cifar100/test/streetcar/0006.png");
    let image = set.image(581);
    assert_eq!((image[0], image[1023], image[1024]), (79, 79, 7));
}

#[test]
fn damaged_records_are_named() {
    let dir = cifar100();
    let path = dir.path().join("cifar-100-binary/test.bin");
    let mut bytes = fs::read(&path).unwrap();
    bytes[3074 * 5 + 1] = 100;
    fs::write(&path, &bytes).unwrap();
    let text = load(dir.path()).unwrap_err().to_string();
    assert!(
        text.contains("record 5") && text.contains("label 100"),
        "{text}"
    );
    bytes.pop();
    fs::write(&path, &bytes).unwrap();
    let text = load(dir.path()).unwrap_err().to_string();
    assert!(text.contains("10000 records of 3074"), "{text}");
}

#[test]
fn missing_files_say_what_to_get() {
    let dir = tempfile::tempdir().unwrap();
    let text = load(dir.path()).unwrap_err().to_string();
    assert!(text.contains("cargo xtask fetch cifar100"), "{text}");
    assert!(text.contains(&dir.path().display().to_string()), "{text}");
}

#[test]
fn the_test_images_are_the_official_ones() {
    let read = with_shelf(at_hand(), |shelf| {
        Ok((
            load_cifar10(shelf, Part::Test)?,
            load_cifar10(shelf, Part::Train)?,
        ))
    });
    let Some((test, train)) = or_passed_over("cifar10", read) else {
        return;
    };
    let records: Vec<u8> = (0..test.len())
        .flat_map(|index| [&[test.labels[index] as u8], test.image(index)].concat())
        .collect();
    // The md5 of the test images as records of one label byte and 3072 planar values.
    assert_eq!(hash::md5_hex(&records), "803d5f7f4d78ea53de84dbe85f74fb6d");
    assert_eq!(test.labels[..5], [3, 8, 8, 0, 6]);
    assert_eq!(
        test.ids[..5],
        [
            "cifar10/test/cat/0001.png",
            "cifar10/test/ship/0001.png",
            "cifar10/test/ship/0002.png",
            "cifar10/test/airplane/0001.png",
            "cifar10/test/frog/0001.png",
        ]
    );
    assert_eq!(train.len(), 50_000);
    assert_eq!(train.labels[..5], [6, 9, 9, 4, 1]);
}
