//! Order, names and faults of the loader.

mod common;

use std::io::Cursor;
use std::path::Path;

use diffguard_datasets::container::Container;
use diffguard_datasets::loader::{Loader, Sample};
use diffguard_datasets::transforms::Preprocess;
use diffguard_datasets::{Error, hash};

/// PNGs of 40 x 50 whose red value is their number.
fn pictures(count: usize) -> Vec<(String, Vec<u8>)> {
    let png = |index: usize| {
        let pixel = image::Rgb([index as u8, (index / 256) as u8, 77]);
        let mut bytes = Vec::new();
        image::RgbImage::from_pixel(50, 40, pixel)
            .write_to(&mut Cursor::new(&mut bytes), image::ImageFormat::Png)
            .unwrap();
        (format!("x/{index}.png"), bytes)
    };
    (0..count).map(png).collect()
}

fn archive(files: &[(String, Vec<u8>)]) -> Vec<u8> {
    let files: Vec<(&str, &[u8])> = files.iter().map(|(n, b)| (n.as_str(), &b[..])).collect();
    common::tar(&files)
}

/// A list that goes through the archive in leaps.
fn list(count: usize) -> Vec<Sample> {
    (0..count)
        .map(|place| place * 7 % count)
        .map(|index| Sample {
            name: format!("set/{index:04}"),
            entry: format!("x/{index}.png"),
            label: index as i64 % 10,
        })
        .collect()
}

#[test]
fn samples_come_in_the_order_of_the_list() {
    let plain = archive(&pictures(300));
    for bytes in [common::gzip(&plain), plain] {
        let container = Container::from_bytes(Path::new("a"), bytes).unwrap();
        for threads in [1, 2, 5] {
            let loader = Loader::new(&container, Preprocess::CIFAR, list(300)).unwrap();
            let loader = loader.threads(threads);
            let mut met = 0;
            let each = loader.each(|place, picture| {
                assert_eq!(place, met);
                met += 1;
                let index = place * 7 % 300;
                assert_eq!(picture.shape(), loader.shape());
                assert_eq!(picture.pixels()[0], index as u8);
                assert_eq!(picture.pixels()[1024], (index / 256) as u8);
                Ok(())
            });
            each.unwrap();
            assert_eq!(met, 300);

            let set = loader.image_set("set").unwrap();
            assert_eq!((set.ids[1].as_str(), set.labels[1]), ("set/0007", 7));
            let mut pixels = Vec::new();
            let mut sizes = Vec::new();
            let batches = loader.batches(128, |batch| {
                sizes.push(batch.places);
                pixels.extend(batch.pixels);
                Ok(())
            });
            batches.unwrap();
            assert_eq!(sizes, [0..128, 128..256, 256..300]);
            assert!(pixels == set.pixels);
            let one = loader.get("set/0123").unwrap();
            let place = set.ids.iter().position(|id| id == "set/0123").unwrap();
            assert_eq!(one.pixels(), set.image(place));
        }
    }
}

#[test]
fn the_first_fault_of_the_list_is_told() {
    let mut files = pictures(200);
    // The 50th and the 51st of the list, and the list's order is not the archive's.
    for place in [50, 51] {
        files[place * 7 % 200].1.truncate(30);
    }
    let container = Container::from_bytes(Path::new("a.tar"), archive(&files)).unwrap();
    for _ in 0..20 {
        let loader = Loader::new(&container, Preprocess::CIFAR, list(200)).unwrap();
        let mut met = 0;
        let error = loader.each(|_, _| {
            met += 1;
            Ok(())
        });
        let text = error.unwrap_err().to_string();
        assert!(text.contains(&format!("x/{}.png", 350 % 200)), "{text}");
        assert_eq!(met, 50);
    }
}

#[test]
fn a_consumer_may_stop() {
    let container = Container::from_bytes(Path::new("a"), archive(&pictures(2000))).unwrap();
    let loader = Loader::new(&container, Preprocess::CIFAR, list(2000)).unwrap();
    let loader = loader.threads(3);
    let stop = loader.each(|place, _| match place {
        900 => Err(Error::Invalid {
            what: "consumer".into(),
            problem: "enough".into(),
        }),
        _ => Ok(()),
    });
    assert!(stop.unwrap_err().to_string().contains("enough"));
}

#[test]
fn unknown_and_double_names_are_errors() {
    let container = Container::from_bytes(Path::new("a"), archive(&pictures(3))).unwrap();
    let loader = Loader::new(&container, Preprocess::CIFAR, list(3)).unwrap();
    assert!(matches!(loader.get("set/9"), Err(Error::Missing { .. })));
    let missing = Loader::new(&container, Preprocess::CIFAR, list(4)).unwrap_err();
    assert!(missing.to_string().contains("x/3.png"), "{missing}");
    let twice = [list(3), list(1)].concat();
    assert!(Loader::new(&container, Preprocess::CIFAR, twice).is_err());
    let none = Loader::new(&container, Preprocess::CIFAR, Vec::new()).unwrap();
    assert!(none.image_set("none").unwrap().is_empty());
}

#[test]
fn tiny_imagenet_validation_loads() {
    let Some(tar) = diffguard_oracle::large_file("tin_val.tar") else {
        return;
    };
    let container = Container::open(&tar).unwrap();
    let samples: Vec<Sample> = (0..10_000)
        .map(|index| Sample {
            name: format!("tin/val/images/val_{index}.JPEG"),
            entry: format!("tiny-imagenet-200/val/images/val_{index}.JPEG"),
            label: -1,
        })
        .collect();
    let loader = Loader::new(&container, Preprocess::CIFAR, samples).unwrap();
    let set = loader.image_set("tin").unwrap();
    // The md5 of the same pictures by Pillow 13.0.0 and torchvision 0.29.2: `Resize(32)`, `CenterCrop(32)`, planar.
    assert_eq!(
        hash::md5_hex(&set.pixels),
        "c3074ef0520456f49390c4d68f656a3a"
    );
}
