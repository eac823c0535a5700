//! Reads CIFAR-10 where `DIFFGUARD_DATA` has it; passes over it elsewhere.

use std::path::PathBuf;

use diffguard_datasets::cifar::{Part, load_cifar10};
use diffguard_datasets::{Error, hash};

#[test]
fn the_test_images_are_the_official_ones() {
    let given = std::env::var_os("DIFFGUARD_DATA").unwrap_or_default();
    let dirs: Vec<PathBuf> = std::env::split_paths(&given).collect();
    let test = match load_cifar10(&dirs, Part::Test) {
        Err(Error::Missing { .. }) => return eprintln!("CIFAR-10 is not at hand: passed over"),
        loaded => loaded.expect("the files are whole"),
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
    let train = load_cifar10(&dirs, Part::Train).expect("comes with the test images");
    assert_eq!(train.len(), 50_000);
    assert_eq!(train.labels[..5], [6, 9, 9, 4, 1]);
}
