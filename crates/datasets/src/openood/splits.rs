//! The benchmarks' tables: which list of which data set is what.

use super::Role::{self, Far, Near};
use crate::cifar::CIFAR10_CLASSES;
use crate::transforms::Preprocess;

/// An image list and what it is for.
pub(crate) struct Listed {
    /// What tables call the set.
    pub name: &'static str,
    /// The data set of the manifest that has its images.
    pub dataset: &'static str,
    /// The list, in the folder of its benchmark.
    pub list: &'static str,
}

/// A benchmark as its lists tell it.
pub(crate) struct Spec {
    pub name: &'static str,
    pub classes: fn() -> Vec<String>,
    pub preprocess: Preprocess,
    /// The folder of its lists.
    pub lists: &'static str,
    /// The folder of its validation lists.
    pub validation_lists: &'static str,
    /// None where no training list is part of the benchmark.
    pub fit: Option<Listed>,
    pub id_val: Listed,
    pub ood_val: &'static [Listed],
    pub id_test: Listed,
    pub ood_test: &'static [(Role, Listed)],
    /// Whether half of the in-distribution validation images are fitted to, where no training list is part of it.
    pub fit_to_validation: bool,
    /// Whether small grey sets at hand are shown beside it.
    pub extras: bool,
}

/// Shorthand for the tables below.
const fn listed(name: &'static str, dataset: &'static str, list: &'static str) -> Listed {
    Listed {
        name,
        dataset,
        list,
    }
}

/// The versions differ in their lists, and in what validates.
const CIFAR10: Spec = Spec {
    name: "",
    classes: cifar10_classes,
    preprocess: Preprocess::CIFAR,
    lists: "",
    validation_lists: "",
    fit: Some(listed("cifar10-train", "cifar10", "train_cifar10")),
    id_val: listed("cifar10-val", "cifar10", "val_cifar10"),
    ood_val: &[],
    id_test: listed("cifar10", "cifar10", "test_cifar10"),
    ood_test: &[
        (Near, listed("cifar100", "cifar100", "test_cifar100")),
        (Near, listed("tin", "tiny-imagenet", "test_tin")),
        (Far, listed("mnist", "mnist", "test_mnist")),
        (Far, listed("svhn", "svhn", "test_svhn")),
        (Far, listed("texture", "textures", "test_texture")),
        (Far, listed("places365", "places365", "test_places365")),
    ],
    fit_to_validation: false,
    extras: true,
};

pub(crate) const CIFAR10_V1: Spec = Spec {
    name: "cifar10-v1",
    lists: "v1/cifar10",
    validation_lists: "v1/cifar10",
    ood_val: &[listed("cifar100-val", "cifar100", "val_cifar100")],
    ..CIFAR10
};

pub(crate) const CIFAR10_V1_5: Spec = Spec {
    name: "cifar10-v1.5",
    lists: "v1.5/cifar10",
    validation_lists: "v1.5/cifar10",
    ood_val: &[listed("tin-val", "tiny-imagenet", "val_tin")],
    ..CIFAR10
};

pub(crate) const IMAGENET_V1: Spec = Spec {
    name: "imagenet-v1",
    classes: imagenet_classes,
    preprocess: Preprocess::IMAGENET,
    lists: "v1/imagenet",
    validation_lists: "v1/imagenet",
    fit: None,
    id_val: listed("imagenet-val", "imagenet-1k-val", "val_imagenet"),
    ood_val: &[listed("openimage-o-val", "openimage-o", "val_openimage_o")],
    id_test: listed("imagenet", "imagenet-1k-val", "test_imagenet"),
    ood_test: &[
        (Near, listed("species", "species", "test_species")),
        (
            Near,
            listed("inaturalist", "inaturalist", "test_inaturalist"),
        ),
        (
            Near,
            listed("openimage-o", "openimage-o", "test_openimage_o"),
        ),
        (Near, listed("imagenet-o", "imagenet-o", "test_imagenet_o")),
        (Far, listed("texture", "textures", "test_texture")),
    ],
    fit_to_validation: false,
    extras: false,
};

/// Its validation lists are those of v1: OpenOOD v1.5 keeps them.
pub(crate) const IMAGENET_V1_5: Spec = Spec {
    name: "imagenet-v1.5",
    lists: "v1.5/imagenet",
    ood_test: &[
        (Near, listed("ssb-hard", "ssb-hard", "test_ssb_hard")),
        (Near, listed("ninco", "ninco", "test_ninco")),
        (
            Far,
            listed("inaturalist", "inaturalist", "test_iNaturalist"),
        ),
        (Far, listed("texture", "textures", "test_textures")),
        (
            Far,
            listed("openimage-o", "openimage-o", "test_openimage_o"),
        ),
    ],
    ..IMAGENET_V1
};

/// As diffusion models of 256 pixels see it; detectors fit to half of the validation images.
pub(crate) const IMAGENET_V1_256: Spec = Spec {
    name: "imagenet-v1-256px",
    preprocess: Preprocess::IMAGENET_256,
    fit_to_validation: true,
    ..IMAGENET_V1
};

/// Likewise.
pub(crate) const IMAGENET_V1_5_256: Spec = Spec {
    name: "imagenet-v1.5-256px",
    preprocess: Preprocess::IMAGENET_256,
    fit_to_validation: true,
    ..IMAGENET_V1_5
};

impl Spec {
    /// Every list.
    pub(super) fn every(&self) -> impl Iterator<Item = &Listed> {
        let own = self.fit.iter().chain([&self.id_val, &self.id_test]);
        let test = self.ood_test.iter().map(|(_, listed)| listed);
        own.chain(self.ood_val).chain(test)
    }
}

fn cifar10_classes() -> Vec<String> {
    CIFAR10_CLASSES.map(str::to_owned).to_vec()
}

/// The lists have ImageNet's classes by number alone.
fn imagenet_classes() -> Vec<String> {
    (0..1000).map(|class| format!("class {class}")).collect()
}
