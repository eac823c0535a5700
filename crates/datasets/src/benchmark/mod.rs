//! What a table is computed over: in-distribution images, validation images and out-of-distribution test sets, and
//! the registry of the benchmarks there are.

mod any_set;
mod open;

use std::path::Path;

pub use self::any_set::AnySet;
pub use self::open::{Limits, MEMORY_LIMIT, OpenBenchmark, OpenOodSet};
use crate::fetch::{DataDirs, Found};
use crate::manifest::Manifest;
use crate::{Error, ImageSet, ImageShape, Result, openood, quick};

/// How far an out-of-distribution set is from the in-distribution classes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Alike in kind: other classes of the same domain.
    Near,
    /// Another domain.
    Far,
    /// No part of the published benchmark: shown beside it, and in none of its means.
    Extra,
}

impl Role {
    /// The word that tables use.
    pub fn name(self) -> &'static str {
        match self {
            Self::Near => "near",
            Self::Far => "far",
            Self::Extra => "extra",
        }
    }
}

/// An out-of-distribution test set.
#[derive(Clone, Debug)]
pub struct OodSet {
    /// Near, far or beside the benchmark.
    pub role: Role,
    /// The images, without labels.
    pub set: ImageSet,
}

/// A set of the published benchmark that is not at hand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftOut {
    /// What tables would call it.
    pub name: String,
    /// Its data set in the manifest.
    pub dataset: String,
    /// What it is for: `near`, `far`, `extra`, `validation`.
    pub role: &'static str,
    /// Why it is not there.
    pub reason: String,
    /// The command that gets it.
    pub command: String,
}

impl LeftOut {
    /// The [`role`](Self::role) of out-of-distribution validation images.
    pub const VALIDATION: &str = "validation";
}

/// A file that a benchmark was read from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// The file, relative to the benchmark's folder.
    pub name: String,
    /// Its licence.
    pub licence: String,
    /// Its SHA-256 in hexadecimal; of an archive the published checksum with its algorithm, or `unverified`.
    pub sha256: String,
}

/// All images of a benchmark.
#[derive(Clone, Debug)]
pub struct Benchmark {
    /// Its name in the registry.
    pub name: String,
    /// The in-distribution classes in the order of their labels.
    pub class_names: Vec<String>,
    /// Training images that detectors fit to.
    pub fit: ImageSet,
    /// In-distribution validation images, seen neither in training nor in the test.
    pub id_val: ImageSet,
    /// Out-of-distribution validation sets, disjoint in kind from every test set.
    pub ood_val: Vec<ImageSet>,
    /// In-distribution test images.
    pub id_test: ImageSet,
    /// Out-of-distribution test sets.
    pub ood_test: Vec<OodSet>,
    /// The files that all this was read from.
    pub sources: Vec<Source>,
    /// The sets that belong to it and are not at hand: every table over it has to say so.
    pub left_out: Vec<LeftOut>,
}

/// Where benchmarks are read from.
#[derive(Clone, Copy, Debug)]
pub struct Shelf<'a> {
    /// The repository's `assets` folder.
    pub assets: &'a Path,
    /// What data sets there are.
    pub manifest: &'a Manifest,
    /// Where they are.
    pub dirs: &'a DataDirs,
}

impl Shelf<'_> {
    /// Where all of a data set or checkpoint is.
    ///
    /// # Errors
    ///
    /// Those of [`DataDirs::find`].
    pub fn find(&self, name: &str) -> Result<Found> {
        self.dirs.find(self.manifest, name)
    }
}

/// A benchmark that can be asked for by name.
#[derive(Clone, Copy, Debug)]
pub struct BenchmarkEntry {
    /// The name in experiment files.
    pub name: &'static str,
    /// One line for listings.
    pub summary: &'static str,
    /// The data sets of the manifest that it is made of.
    pub datasets: &'static [&'static str],
    /// Finds its images.
    pub open: fn(&Shelf<'_>) -> Result<OpenBenchmark>,
    /// What it looks like from outside; nothing of it need be at hand.
    pub outline: fn() -> Outline,
}

/// What a benchmark looks like from outside.
#[derive(Clone, Debug)]
pub struct Outline {
    /// As [`OpenBenchmark::name`].
    pub name: &'static str,
    /// As [`OpenBenchmark::class_names`].
    pub class_names: Vec<String>,
    /// That of every image.
    pub shape: ImageShape,
    pub(crate) fit: &'static str,
    pub(crate) id_val: &'static str,
    pub(crate) ood_val: Vec<&'static str>,
    pub(crate) id_test: &'static str,
    pub(crate) ood_test: Vec<(Role, &'static str)>,
}

/// CIFAR-10 and the sets that both versions test against.
const CIFAR10: &[&str] = &[
    "cifar10",
    "cifar100",
    "tiny-imagenet",
    "mnist",
    "svhn",
    "textures",
    "places365",
];

/// ImageNet-1k and the sets that OpenOOD v1 tests against.
const IMAGENET_V1: &[&str] = &[
    "imagenet-1k-val",
    "species",
    "inaturalist",
    "openimage-o",
    "imagenet-o",
    "textures",
];

/// Those of v1.5.
const IMAGENET_V1_5: &[&str] = &[
    "imagenet-1k-val",
    "ssb-hard",
    "ninco",
    "inaturalist",
    "textures",
    "openimage-o",
];

/// Every benchmark, in the order of listings.
pub const BENCHMARKS: &[BenchmarkEntry] = &[
    BenchmarkEntry {
        name: "quick",
        summary: "Fashion-MNIST, 8 classes; near: shirt, ankle-boot; far: mnist-10k. Comes with the repository",
        datasets: &[],
        open: |shelf| quick::load(shelf.assets).map(OpenBenchmark::from),
        outline: quick::outline,
    },
    BenchmarkEntry {
        name: "cifar10-v1",
        summary: "CIFAR-10, OpenOOD v1 (the paper's); near: cifar100, tin; far: mnist, svhn, texture, places365",
        datasets: CIFAR10,
        open: |shelf| openood::CIFAR10_V1.open(shelf),
        outline: || openood::CIFAR10_V1.outline(),
    },
    BenchmarkEntry {
        name: "cifar10-v1.5",
        summary: "CIFAR-10, OpenOOD v1.5; the same sets, validated on images of tin that it does not test",
        datasets: CIFAR10,
        open: |shelf| openood::CIFAR10_V1_5.open(shelf),
        outline: || openood::CIFAR10_V1_5.outline(),
    },
    BenchmarkEntry {
        name: "imagenet-v1",
        summary: "ImageNet-1k, OpenOOD v1 (the paper's); near: species, inaturalist, openimage-o, imagenet-o; far: texture",
        datasets: IMAGENET_V1,
        open: |shelf| openood::IMAGENET_V1.open(shelf),
        outline: || openood::IMAGENET_V1.outline(),
    },
    BenchmarkEntry {
        name: "imagenet-v1.5",
        summary: "ImageNet-1k, OpenOOD v1.5; near: ssb-hard, ninco; far: inaturalist, texture, openimage-o",
        datasets: IMAGENET_V1_5,
        open: |shelf| openood::IMAGENET_V1_5.open(shelf),
        outline: || openood::IMAGENET_V1_5.outline(),
    },
    BenchmarkEntry {
        name: "imagenet-v1-256px",
        summary: "imagenet-v1 at 256 pixels, for diffusion models of that size; fits to half of the validation images",
        datasets: IMAGENET_V1,
        open: |shelf| openood::IMAGENET_V1_256.open(shelf),
        outline: || openood::IMAGENET_V1_256.outline(),
    },
    BenchmarkEntry {
        name: "imagenet-v1.5-256px",
        summary: "imagenet-v1.5 at 256 pixels, likewise",
        datasets: IMAGENET_V1_5,
        open: |shelf| openood::IMAGENET_V1_5_256.open(shelf),
        outline: || openood::IMAGENET_V1_5_256.outline(),
    },
];

/// The benchmark called `name`.
///
/// # Errors
///
/// [`Error::Unknown`] lists the names there are.
pub fn entry(name: &str) -> Result<&'static BenchmarkEntry> {
    BENCHMARKS
        .iter()
        .find(|entry| entry.name == name)
        .ok_or_else(|| Error::Unknown {
            kind: "benchmark",
            name: name.into(),
            known: BENCHMARKS
                .iter()
                .map(|entry| entry.name)
                .collect::<Vec<_>>()
                .join(", "),
        })
}

/// Finds the images of the benchmark called `name`; sets that are not at hand are told in
/// [`OpenBenchmark::left_out`].
///
/// # Errors
///
/// [`Error::Unknown`]; [`Error::Missing`] where its in-distribution images are not at hand; otherwise what reading its
/// files meets.
pub fn open(name: &str, shelf: &Shelf<'_>) -> Result<OpenBenchmark> {
    (entry(name)?.open)(shelf)
}

/// Reads the benchmark called `name` from the repository's `assets` folder alone.
///
/// # Errors
///
/// As [`open`].
pub fn load(name: &str, assets: &Path) -> Result<Benchmark> {
    let manifest = Manifest {
        datasets: Vec::new(),
        checkpoints: Vec::new(),
    };
    let dirs = DataDirs {
        data: Vec::new(),
        cache: assets.join("no-cache"),
    };
    let shelf = Shelf {
        assets,
        manifest: &manifest,
        dirs: &dirs,
    };
    open(name, &shelf)?.load()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_name_lists_the_known_ones() {
        let text = load("quik", Path::new("assets")).unwrap_err().to_string();
        assert!(text.contains("`quik`") && text.contains("quick"), "{text}");
    }
}
