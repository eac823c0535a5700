//! Every list resolved against made-up archives of the official layouts: who is found, who is not, and which image a
//! name stands for.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use diffguard_datasets::fetch::Found;
use diffguard_datasets::listed::{ListedSet, open_archive};
use diffguard_datasets::lists::{Half, ImageList, Lists, Naming, Target};
use diffguard_datasets::manifest::{Dataset, Holds, Manifest};
use diffguard_datasets::transforms::Preprocess;
use diffguard_datasets::{Error, Result};

fn manifest() -> Manifest {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    Manifest::read(&root.join("datasets.toml")).unwrap()
}

fn found(archive: usize, paths: Vec<PathBuf>) -> Found {
    Found {
        archive,
        paths,
        verified: false,
        unpacked: false,
    }
}

fn open(
    dataset: &Dataset,
    paths: Vec<PathBuf>,
    halves: &[Half],
    list: &ImageList,
) -> Result<ListedSet> {
    let pictures = open_archive(dataset, &found(0, paths), halves)?;
    ListedSet::new("t", list, pictures, Preprocess::CIFAR)
}

/// An uncompressed tar of empty files, but `full` where it is given.
fn tar(path: &Path, names: impl Iterator<Item = String>, full: Option<(&str, &[u8])>) {
    let mut tar = tar::Builder::new(std::io::BufWriter::new(fs::File::create(path).unwrap()));
    for name in names {
        let body = match full {
            Some((own, body)) if own == name => body,
            _ => &[],
        };
        let mut header = tar::Header::new_ustar();
        header.set_size(body.len() as u64);
        header.set_mode(0o644);
        header.set_cksum();
        tar.append_data(&mut header, &name, body).unwrap();
    }
    tar.into_inner().unwrap().flush().unwrap();
}

/// Which data set a list's images are of, by `lists/resolved.toml`.
fn datasets() -> BTreeMap<String, String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("lists/resolved.toml");
    let table: toml::Table = toml::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    table
        .into_iter()
        .map(|(name, entry)| (name, entry["dataset"].as_str().unwrap().to_owned()))
        .collect()
}

#[test]
fn every_list_of_image_files_is_found_by_name_under_any_folder() {
    let (manifest, lists, dir) = (
        manifest(),
        Lists::open().unwrap(),
        tempfile::tempdir().unwrap(),
    );
    let mut checked = 0;
    for (name, dataset) in datasets() {
        let dataset = manifest.dataset(&dataset).unwrap();
        let (Holds::Images, Some(Naming::Path(_))) =
            (dataset.archives[0].holds, dataset.archives[0].names)
        else {
            continue;
        };
        let list = lists.get(&name).unwrap();
        let naming = dataset.archives[0].names.unwrap();
        let entries = list.entries.iter().map(|entry| {
            let Target::Entry(end) = naming.target(&entry.name).unwrap() else {
                panic!("images are entries");
            };
            format!("official/{end}")
        });
        let path = dir.path().join("archive.tar");
        tar(&path, entries.clone(), None);
        let set = open(dataset, vec![path.clone()], &[], &list).unwrap();
        assert_eq!(set.len(), list.entries.len());
        assert_eq!(set.ids[7], list.entries[7].name);

        tar(&path, entries.skip(2), None);
        let text = open(dataset, vec![path], &[], &list)
            .unwrap_err()
            .to_string();
        let wanted = format!("2 of {} images", list.entries.len());
        assert!(
            text.contains(&wanted) && text.contains(&list.entries[0].name),
            "{text}"
        );
        checked += 1;
    }
    // All 34 but those of CIFAR-10, CIFAR-100, MNIST and SVHN.
    assert_eq!(checked, 21);
}

#[test]
fn a_picture_is_read_resized_and_named() {
    let (manifest, lists, dir) = (
        manifest(),
        Lists::open().unwrap(),
        tempfile::tempdir().unwrap(),
    );
    let dataset = manifest.dataset("textures").unwrap();
    let list = lists.get("v1/cifar10/test_texture").unwrap();
    let mut png = Vec::new();
    image::RgbImage::from_pixel(48, 96, image::Rgb([9, 90, 200]))
        .write_to(&mut std::io::Cursor::new(&mut png), image::ImageFormat::Png)
        .unwrap();
    let name = |name: &str| format!("dtd/images/{}", name.trim_start_matches("texture/"));
    let own = name(&list.entries[5].name);
    let path = dir.path().join("archive.tar");
    let names = list.entries.iter().map(|entry| name(&entry.name));
    tar(&path, names, Some((&own, &png)));
    let set = open(dataset, vec![path.clone()], &[], &list).unwrap();
    let one = set.decode(5..6).unwrap();
    assert_eq!((one.shape.height, one.shape.width), (32, 32));
    assert_eq!(
        (one.image(0)[0], one.image(0)[1024], one.image(0)[2048]),
        (9, 90, 200)
    );
    let text = set.decode(4..7).unwrap_err().to_string();
    let ends = [4, 6].map(|index| name(&list.entries[index].name));
    assert!(ends.iter().any(|end| text.contains(end.as_str())), "{text}");

    // The same end twice: which one is meant cannot be known.
    tar(
        &path,
        [own.clone(), format!("copy/{own}")].into_iter(),
        None,
    );
    let text = open(dataset, vec![path], &[], &list)
        .unwrap_err()
        .to_string();
    assert!(text.contains("two files end like this"), "{text}");
}

#[test]
fn cifar100_is_resolved_by_class_and_place() {
    let (manifest, lists, dir) = (
        manifest(),
        Lists::open().unwrap(),
        tempfile::tempdir().unwrap(),
    );
    let dataset = manifest.dataset("cifar100").unwrap();
    let folder = dir.path().join("cifar-100-binary");
    fs::create_dir(&folder).unwrap();
    // Image i is of class i mod 100, so it is image i / 100 + 1 of its class.
    let mut bytes = Vec::new();
    for index in 0..10_000u32 {
        bytes.extend([(index % 20) as u8, (index % 100) as u8]);
        bytes.extend([(index / 100) as u8; 1024]);
        bytes.extend([(index % 100) as u8; 2048]);
    }
    fs::write(folder.join("test.bin"), bytes).unwrap();
    for name in ["v1/cifar10/test_cifar100", "v1/cifar10/val_cifar100"] {
        let list = lists.get(name).unwrap();
        let set = open(dataset, vec![dir.path().into()], &[Half::Test], &list).unwrap();
        let images = set.decode(0..set.len()).unwrap();
        for (index, id) in images.ids.iter().enumerate() {
            let Target::Nth { class, nth, .. } = Naming::Cifar100.target(id).unwrap() else {
                panic!("by class and place");
            };
            let image = images.image(index);
            assert_eq!(
                (image[0] as usize + 1, image[1024] as usize),
                (nth, class),
                "{id}"
            );
        }
    }
}

fn idx(dims: &[usize], data: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0, 0, 8, dims.len() as u8];
    for &dim in dims {
        bytes.extend((dim as u32).to_be_bytes());
    }
    bytes.extend_from_slice(data);
    bytes
}

/// The four files of MNIST with the labels that the list names, image i of a half all `i mod 251`.
fn mnist(dir: &Path, list: &ImageList) -> Vec<PathBuf> {
    let mut labels = [vec![0u8; 60_000], vec![0u8; 10_000]];
    for entry in &list.entries {
        let Target::Record { half, index, label } = Naming::Mnist.target(&entry.name).unwrap()
        else {
            panic!("by index and label");
        };
        labels[usize::from(half == Half::Test)][index] = label as u8;
    }
    let mut paths = Vec::new();
    for (prefix, labels) in ["train", "t10k"].into_iter().zip(labels) {
        let count = labels.len();
        let pixels: Vec<u8> = (0..count)
            .flat_map(|index| [(index % 251) as u8; 784])
            .collect();
        for (kind, bytes) in [
            ("images-idx3-ubyte.gz", idx(&[count, 28, 28], &pixels)),
            ("labels-idx1-ubyte.gz", idx(&[count], &labels)),
        ] {
            let path = dir.join(format!("{prefix}-{kind}"));
            fs::write(&path, bytes).unwrap();
            paths.push(path);
        }
    }
    paths
}

#[test]
fn mnist_is_resolved_by_index_and_its_labels_are_checked() {
    let (manifest, lists, dir) = (
        manifest(),
        Lists::open().unwrap(),
        tempfile::tempdir().unwrap(),
    );
    let dataset = manifest.dataset("mnist").unwrap();
    let list = lists.get("v1/cifar10/test_mnist").unwrap();
    let paths = mnist(dir.path(), &list);
    let halves = [Half::Train, Half::Test];
    let set = open(dataset, paths.clone(), &halves, &list).unwrap();
    for index in [0, 1, 35_000, 69_999] {
        let Target::Record { index: place, .. } = Naming::Mnist.target(&set.ids[index]).unwrap()
        else {
            panic!("by index and label");
        };
        let image = set.decode(index..index + 1).unwrap();
        let grey = (place % 251) as u8;
        // Grey became three equal colours, and 28 x 28 became 32 x 32.
        assert_eq!(image.shape.len(), 3 * 32 * 32);
        assert!(image.pixels.iter().all(|&value| value == grey));
    }
    let labels = &paths[3];
    let mut bytes = fs::read(labels).unwrap();
    bytes[8 + 8486] ^= 1;
    fs::write(labels, bytes).unwrap();
    let Err(Error::Format { problem, .. }) = open(dataset, paths, &halves, &list) else {
        panic!("another label is noticed");
    };
    assert!(problem.contains("mnist/test/8_8486.jpg"), "{problem}");
}
