//! `datasets.toml` at the root of the repository.

use std::path::Path;

use diffguard_datasets::manifest::{Checksum, Manifest, Place};

fn manifest() -> Manifest {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    Manifest::read(&root.join("datasets.toml")).expect("comes with the repository")
}

#[test]
fn lists_every_data_set_of_the_benchmarks() {
    let manifest = manifest();
    for name in [
        "cifar10",
        "cifar100",
        "tiny-imagenet",
        "mnist",
        "mnist-10k",
        "fashion-mnist",
        "svhn",
        "textures",
        "places365",
        "imagenet-1k-val",
        "species",
        "inaturalist",
        "openimage-o",
        "imagenet-o",
        "ssb-hard",
        "ninco",
    ] {
        let dataset = manifest.dataset(name).expect("listed");
        assert!(
            !dataset.what.is_empty() && !dataset.citation.is_empty() && !dataset.licence.is_empty(),
            "{name}"
        );
    }
    let known = manifest
        .dataset("cifar")
        .expect_err("no such set")
        .to_string();
    assert!(known.contains("cifar10, cifar100"), "{known}");
}

#[test]
fn lists_the_checkpoints_and_their_caveats() {
    let manifest = manifest();
    let latent = manifest
        .checkpoint("latent-diffusion-cin256-v2")
        .expect("listed");
    assert!(
        latent
            .caveat
            .as_ref()
            .is_some_and(|caveat| caveat.contains("contaminated"))
    );
    assert_eq!(latent.checksum, Checksum::Unverified);
    let resnet = manifest
        .checkpoint("torchvision-resnet50-v1")
        .expect("listed");
    assert_eq!(resnet.checksum, Checksum::Sha256Prefix("0676ba61".into()));
}

#[test]
fn addresses_are_addresses() {
    let manifest = manifest();
    let archives = manifest
        .datasets
        .iter()
        .flat_map(|dataset| &dataset.archives)
        .map(|archive| &archive.place);
    for place in archives.chain(
        manifest
            .checkpoints
            .iter()
            .map(|checkpoint| &checkpoint.place),
    ) {
        let plausible = match place {
            Place::Url(url) => url.starts_with("http"),
            Place::GoogleDrive(id) => id.len() == 33,
            Place::Npm(package) => package.contains('@'),
            Place::GoogleDriveFolder(id) => id.len() == 33,
            Place::Debian(package) => package.starts_with("dataset-"),
            Place::ByHand(path) => {
                let ending = Path::new(path).extension().and_then(|e| e.to_str());
                ending.is_some_and(|ending| ["tar", "ckpt", "pth"].contains(&ending))
            }
        };
        assert!(plausible, "{place}");
    }
}
