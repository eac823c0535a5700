//! The image lists that come with the crate: every one whole, counted and resolved as committed.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;

use diffguard_datasets::hash::sha256_hex;
use diffguard_datasets::lists::{Lists, Naming};
use diffguard_datasets::manifest::Manifest;
use serde::Deserialize;

/// A list as `lists/resolved.toml` has it.
#[derive(Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
struct Resolved {
    dataset: String,
    lines: usize,
    text: String,
    resolved: String,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn committed() -> BTreeMap<String, Resolved> {
    let text = std::fs::read_to_string(root().join("lists/resolved.toml")).unwrap();
    toml::from_str(&text).unwrap()
}

/// The naming of the preferred archive of a data set.
fn naming(manifest: &Manifest, dataset: &str) -> Naming {
    manifest.dataset(dataset).unwrap().archives[0]
        .names
        .expect("an archive with images of the lists")
}

#[test]
fn every_list_is_whole_and_resolves_as_committed() {
    let manifest = Manifest::read(&root().join("../../datasets.toml")).unwrap();
    let lists = Lists::open().unwrap();
    let committed = committed();
    assert_eq!(
        lists.names().collect::<Vec<_>>(),
        committed.keys().map(String::as_str).collect::<Vec<_>>()
    );
    for (name, wanted) in &committed {
        let list = lists.get(name).unwrap();
        let naming = naming(&manifest, &wanted.dataset);
        let found = Resolved {
            dataset: wanted.dataset.clone(),
            lines: list.entries.len(),
            text: sha256_hex(lists.text(name).unwrap().as_bytes()),
            resolved: list.resolved_checksum(&naming).unwrap(),
        };
        assert_eq!(found, *wanted, "{name}");
        let targets: HashSet<String> = list
            .entries
            .iter()
            .map(|entry| naming.target(&entry.name).unwrap().to_string())
            .collect();
        assert_eq!(targets.len(), wanted.lines, "{name}: two names, one image");
    }
}

/// Every archive of a set, not only the preferred one, can be asked for every name of its lists.
#[test]
fn every_archive_understands_the_names_of_its_lists() {
    let manifest = Manifest::read(&root().join("../../datasets.toml")).unwrap();
    let lists = Lists::open().unwrap();
    for (name, wanted) in &committed() {
        let list = lists.get(name).unwrap();
        for archive in &manifest.dataset(&wanted.dataset).unwrap().archives {
            let naming = archive.names.expect("every archive has a naming");
            let targets: HashSet<String> = list
                .entries
                .iter()
                .map(|entry| naming.target(&entry.name).unwrap().to_string())
                .collect();
            assert_eq!(targets.len(), wanted.lines, "{name} in {}", archive.place);
        }
    }
}

#[test]
fn the_two_versions_differ_where_they_should() {
    let lists = Lists::open().unwrap();
    let names = |list: &str| -> HashSet<String> {
        let entries = lists.get(list).unwrap().entries;
        entries.into_iter().map(|entry| entry.name).collect()
    };
    let (test, val) = (
        names("v1.5/cifar10/test_tin"),
        names("v1.5/cifar10/val_tin"),
    );
    assert!(test.is_disjoint(&val));
    let v1 = names("v1/cifar10/test_tin");
    assert_eq!(test.union(&val).cloned().collect::<HashSet<_>>(), v1);
    for version in ["v1", "v1.5"] {
        let test = names(&format!("{version}/cifar10/test_cifar10"));
        assert!(test.is_disjoint(&names(&format!("{version}/cifar10/val_cifar10"))));
    }
    for (test, val) in [
        ("v1/imagenet/test_imagenet", "v1/imagenet/val_imagenet"),
        (
            "v1/imagenet/test_openimage_o",
            "v1/imagenet/val_openimage_o",
        ),
        ("v1/cifar10/test_cifar100", "v1/cifar10/val_cifar100"),
    ] {
        assert!(names(test).is_disjoint(&names(val)), "{test}");
    }
}

#[test]
fn the_archive_is_small() {
    let folder = root().join("lists");
    let bytes: u64 = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().metadata().unwrap().len())
        .sum();
    assert!(bytes < 3_000_000, "{bytes}");
}
