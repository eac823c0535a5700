//! The benchmarks of OpenOOD, on the data that `DIFFGUARD_DATA` has (several folders are divided by `:`); what is not
//! at hand is passed over aloud.

mod common;

use std::collections::BTreeMap;

use common::shelf::{at_hand, or_passed_over, with_shelf};
use diffguard_datasets::benchmark::{self, AnySet, Limits, OpenBenchmark, Role};
use diffguard_datasets::cifar::{Part, load_cifar10};
use diffguard_datasets::listed::{ListedSet, open_archive};
use diffguard_datasets::lists::Lists;
use diffguard_datasets::transforms::Preprocess;
use diffguard_datasets::{OUT_OF_DISTRIBUTION, Result, hash};

fn open(name: &str) -> Option<OpenBenchmark> {
    let opened = with_shelf(at_hand(), |shelf| benchmark::open(name, shelf));
    or_passed_over(name, opened)
}

#[test]
fn without_data_the_command_is_told() {
    for (name, command) in [
        ("cifar10-v1", "cargo xtask fetch cifar10"),
        ("imagenet-v1.5", "put it into the data folder"),
    ] {
        let error = with_shelf(Vec::new(), |shelf| benchmark::open(name, shelf));
        let text = error.unwrap_err().to_string();
        assert!(text.contains(command), "{text}");
    }
}

/// The counts of `sources.toml`, which are those of OpenOOD's papers.
#[test]
fn lists_have_the_published_counts() {
    let lists = Lists::open().unwrap();
    let count = |list: &str| lists.get(list).unwrap().entries.len();
    for (list, lines) in [
        ("v1/cifar10/test_cifar10", 9000),
        ("v1/cifar10/val_cifar10", 1000),
        ("v1/cifar10/train_cifar10", 50_000),
        ("v1/cifar10/test_cifar100", 9000),
        ("v1/cifar10/test_tin", 8793),
        ("v1/cifar10/test_mnist", 70_000),
        ("v1/cifar10/test_svhn", 26_032),
        ("v1/cifar10/test_texture", 5640),
        ("v1/cifar10/test_places365", 35_195),
        ("v1/cifar10/val_cifar100", 1000),
        ("v1.5/cifar10/test_tin", 7793),
        ("v1.5/cifar10/val_tin", 1000),
        ("v1/imagenet/test_imagenet", 45_000),
        ("v1/imagenet/val_imagenet", 5000),
        ("v1/imagenet/test_species", 10_000),
        ("v1/imagenet/test_inaturalist", 10_000),
        ("v1/imagenet/test_openimage_o", 15_869),
        ("v1/imagenet/val_openimage_o", 1763),
        ("v1/imagenet/test_imagenet_o", 2000),
        ("v1/imagenet/test_texture", 5160),
        ("v1.5/imagenet/test_imagenet", 45_000),
        ("v1.5/imagenet/test_ssb_hard", 49_000),
        ("v1.5/imagenet/test_ninco", 5879),
        ("v1.5/imagenet/test_iNaturalist", 10_000),
        ("v1.5/imagenet/test_textures", 5160),
        ("v1.5/imagenet/test_openimage_o", 15_869),
    ] {
        assert_eq!(count(list), lines, "{list}");
    }
}

#[test]
fn cifar10_from_the_npm_package_is_the_official_one() {
    let Some(opened) = open("cifar10-v1.5") else {
        return;
    };
    assert_eq!(opened.fit.len(), 50_000);
    assert_eq!((opened.id_test.len(), opened.id_val.len()), (9000, 1000));
    let parts = opened.id_test.load().unwrap();
    let val = opened.id_val.load().unwrap();
    // Both halves of the test file together, by class and place, are the published test file.
    let mut by_name: BTreeMap<&str, (i64, &[u8])> = BTreeMap::new();
    for set in [&parts, &val] {
        for index in 0..set.len() {
            by_name.insert(&set.ids[index], (set.labels[index], set.image(index)));
        }
    }
    assert_eq!(by_name.len(), 10_000);
    let test = with_shelf(at_hand(), |shelf| load_cifar10(shelf, Part::Test)).unwrap();
    let records: Vec<u8> = test
        .ids
        .iter()
        .flat_map(|id| {
            let (label, image) = by_name[id.as_str()];
            [&[label as u8], image].concat()
        })
        .collect();
    assert_eq!(hash::md5_hex(&records), "803d5f7f4d78ea53de84dbe85f74fb6d");
    for class in 0..10 {
        let images = parts.labels.iter().filter(|&&label| label == class).count();
        let more = val.labels.iter().filter(|&&label| label == class).count();
        assert_eq!(images + more, 1000, "class {class}");
    }
    let fit = opened.fit.load().unwrap();
    assert_eq!(fit.labels.iter().filter(|&&label| label == 3).count(), 5000);
    assert!(opened.left_out.iter().any(|set| set.name == "mnist"));
}

#[test]
fn sets_at_hand_and_sets_left_out_are_the_whole_benchmark() {
    let Some(opened) = open("cifar10-v1") else {
        return;
    };
    let mut names: Vec<&str> = opened
        .ood_test
        .iter()
        .filter(|ood| ood.role != Role::Extra)
        .map(|ood| ood.set.name())
        .chain(opened.left_out.iter().map(|set| set.name.as_str()))
        .chain(opened.ood_val.iter().map(AnySet::name))
        .filter(|name| *name != "fashion-mnist")
        .collect();
    names.sort_unstable();
    let all = [
        "cifar100",
        "cifar100-val",
        "mnist",
        "places365",
        "svhn",
        "texture",
        "tin",
    ];
    assert_eq!(names, all);
    for set in &opened.left_out {
        assert!(set.command.contains(&set.dataset) && !set.reason.is_empty());
    }
    let extra = opened.ood_test.iter().filter(|ood| ood.role == Role::Extra);
    for ood in extra {
        let set = ood.set.limit(50, 0).load().unwrap();
        assert_eq!((set.shape.channels, set.shape.height), (3, 32));
        assert!(set.labels.iter().all(|&label| label == OUT_OF_DISTRIBUTION));
    }
}

#[test]
fn limits_take_the_same_images_before_and_after_decoding() -> Result<()> {
    let Some(opened) = open("cifar10-v1.5") else {
        return Ok(());
    };
    let most = Limits {
        test: 60,
        extra: 30,
        validation: 20,
    };
    let small = opened.limit(most, 7).load()?;
    for ood in &small.ood_test {
        let extra = ood.role == Role::Extra;
        assert_eq!(
            ood.set.len(),
            if extra { 30 } else { 60 },
            "{}",
            ood.set.name
        );
    }
    assert_eq!((small.id_test.len(), small.id_val.len()), (60, 20));
    assert_eq!(small.fit.len(), 50_000);
    assert_eq!(small.id_test, opened.id_test.load()?.limit(60, 7));
    Ok(())
}

#[test]
fn tiny_imagenet_validation_decodes_fully() {
    with_shelf(at_hand(), |shelf| {
        let found = shelf.find("tiny-imagenet");
        let Some(found) = or_passed_over("tiny-imagenet", found) else {
            return;
        };
        let dataset = shelf.manifest.dataset("tiny-imagenet").unwrap();
        let pictures = open_archive(dataset, &found, &[]).unwrap();
        let list = Lists::open().unwrap().get("v1/cifar10/test_tin").unwrap();
        let set = ListedSet::new("tin", &list, pictures, Preprocess::CIFAR).unwrap();
        let images = set.decode(0..set.len()).unwrap();
        assert_eq!(images.len(), 8793);
        assert_eq!(images.ids[0], "tin/val/images/val_0.JPEG");
        let some = set.decode(100..110).unwrap();
        assert_eq!(some.image(3), images.image(103));
    });
}
