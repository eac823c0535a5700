//! What a table is computed over: in-distribution images, validation images and out-of-distribution test sets, and
//! the registry of the benchmarks there are.

use std::borrow::Cow;
use std::ops::Range;
use std::path::Path;

use crate::fetch::{DataDirs, Found};
use crate::hash::Fields;
use crate::image_set::draw;
use crate::listed::ListedSet;
use crate::manifest::Manifest;
use crate::{Error, ImageSet, ImageShape, Result, openood, quick};

/// The most pixels that [`OpenBenchmark::load`] decodes into memory, bytes: all of CIFAR-10's sets have 0.7 GB.
pub const MEMORY_LIMIT: u64 = 8 << 30;

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

impl Benchmark {
    /// At most `n` images of each validation and test set (see [`ImageSet::limit`]). `fit` stays whole: detectors
    /// that are fitted to fewer images would be other detectors.
    #[must_use]
    pub fn limit(&self, n: usize, seed: u64) -> Self {
        Self {
            id_val: self.id_val.limit(n, seed),
            ood_val: self.ood_val.iter().map(|set| set.limit(n, seed)).collect(),
            id_test: self.id_test.limit(n, seed),
            ood_test: self
                .ood_test
                .iter()
                .map(|ood| OodSet {
                    set: ood.set.limit(n, seed),
                    ..ood.clone()
                })
                .collect(),
            ..self.clone()
        }
    }
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

/// A set in memory or on disk.
#[derive(Clone, Debug)]
pub enum AnySet {
    /// Decoded.
    Memory(ImageSet),
    /// Decoded when it is needed.
    Listed(ListedSet),
}

impl AnySet {
    /// What tables call it.
    pub fn name(&self) -> &str {
        match self {
            Self::Memory(set) => &set.name,
            Self::Listed(set) => &set.name,
        }
    }

    /// Number of images.
    pub fn len(&self) -> usize {
        match self {
            Self::Memory(set) => set.len(),
            Self::Listed(set) => set.len(),
        }
    }

    /// Whether there is no image.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The size of every image.
    pub fn shape(&self) -> ImageShape {
        match self {
            Self::Memory(set) => set.shape,
            Self::Listed(set) => set.shape(),
        }
    }

    /// The class of each image; [`OUT_OF_DISTRIBUTION`](crate::OUT_OF_DISTRIBUTION) where it has none.
    pub fn labels(&self) -> &[i64] {
        match self {
            Self::Memory(set) => &set.labels,
            Self::Listed(set) => &set.labels,
        }
    }

    /// The list name of each image.
    pub fn ids(&self) -> &[String] {
        match self {
            Self::Memory(set) => &set.ids,
            Self::Listed(set) => &set.ids,
        }
    }

    /// Bytes of its pixels.
    pub fn bytes(&self) -> u64 {
        (self.shape().len() * self.len()) as u64
    }

    /// The images of `range`.
    ///
    /// # Errors
    ///
    /// The first that cannot be decoded.
    ///
    /// # Panics
    ///
    /// If the range reaches beyond [`len`](Self::len).
    pub fn decode(&self, range: Range<usize>) -> Result<ImageSet> {
        match self {
            Self::Memory(set) => Ok(set.subset(&Vec::from_iter(range))),
            Self::Listed(set) => set.decode(range),
        }
    }

    /// What an image's pixels follow from (see [`ListedSet::evidence`]).
    ///
    /// # Errors
    ///
    /// What reading the image meets.
    ///
    /// # Panics
    ///
    /// If `index` is not below [`len`](Self::len).
    pub fn evidence(&self, index: usize) -> Result<Cow<'_, [u8]>> {
        match self {
            Self::Memory(set) => Ok(Cow::Borrowed(set.image(index))),
            Self::Listed(set) => set.evidence(index).map(Cow::Owned),
        }
    }

    /// SHA-256 over images, labels and ids, in hexadecimal (see [`ListedSet::checksum`]).
    ///
    /// # Errors
    ///
    /// What reading the images meets.
    pub fn checksum(&self) -> Result<String> {
        match self {
            Self::Memory(set) => Ok(set.checksum()),
            Self::Listed(set) => set.checksum(),
        }
    }

    /// At most `n` images (see [`ImageSet::limit`]); nothing is decoded for it.
    #[must_use]
    pub fn limit(&self, n: usize, seed: u64) -> Self {
        match self {
            Self::Memory(set) => Self::Memory(set.limit(n, seed)),
            Self::Listed(set) => Self::Listed(set.limit(n, seed)),
        }
    }

    /// The images of [`limit`](Self::limit), and the others.
    #[must_use]
    pub fn split(&self, n: usize, seed: u64) -> (Self, Self) {
        match self {
            Self::Memory(set) => {
                let kept = draw(&set.name, &set.labels, &set.ids, n, seed);
                let others: Vec<usize> = (0..set.len())
                    .filter(|index| kept.binary_search(index).is_err())
                    .collect();
                (
                    Self::Memory(set.subset(&kept)),
                    Self::Memory(set.subset(&others)),
                )
            }
            Self::Listed(set) => {
                let (kept, others) = set.split(n, seed);
                (Self::Listed(kept), Self::Listed(others))
            }
        }
    }

    /// The same images with every label taken away.
    #[must_use]
    pub fn unlabelled(self) -> Self {
        match self {
            Self::Memory(set) => Self::Memory(set.unlabelled()),
            Self::Listed(set) => Self::Listed(set.unlabelled()),
        }
    }

    /// All images in memory.
    ///
    /// # Errors
    ///
    /// The first that cannot be decoded.
    pub fn load(&self) -> Result<ImageSet> {
        match self {
            Self::Memory(set) => Ok(set.clone()),
            Self::Listed(set) => set.decode(0..set.len()),
        }
    }
}

/// An out-of-distribution test set that is not decoded yet.
#[derive(Clone, Debug)]
pub struct OpenOodSet {
    /// Near or far.
    pub role: Role,
    /// The images, without labels.
    pub set: AnySet,
}

/// A benchmark whose images are found and not decoded yet; for the fields see [`Benchmark`].
#[derive(Clone, Debug)]
#[allow(missing_docs, reason = "they are those of Benchmark")]
pub struct OpenBenchmark {
    pub name: String,
    pub class_names: Vec<String>,
    pub fit: AnySet,
    pub id_val: AnySet,
    pub ood_val: Vec<AnySet>,
    pub id_test: AnySet,
    pub ood_test: Vec<OpenOodSet>,
    pub sources: Vec<Source>,
    pub left_out: Vec<LeftOut>,
}

impl OpenBenchmark {
    /// At most `test` images of each test set and `validation` of each validation set. `fit` stays whole: detectors
    /// that are fitted to fewer images would be other detectors.
    #[must_use]
    pub fn limit(&self, test: usize, validation: usize, seed: u64) -> Self {
        Self {
            id_val: self.id_val.limit(validation, seed),
            ood_val: self
                .ood_val
                .iter()
                .map(|set| set.limit(validation, seed))
                .collect(),
            id_test: self.id_test.limit(test, seed),
            ood_test: self
                .ood_test
                .iter()
                .map(|ood| OpenOodSet {
                    set: ood.set.limit(test, seed),
                    ..ood.clone()
                })
                .collect(),
            ..self.clone()
        }
    }

    /// SHA-256 over names, roles and the checksums of all sets, in hexadecimal.
    ///
    /// # Errors
    ///
    /// What reading the images meets.
    pub fn checksum(&self) -> Result<String> {
        let mut fields = Fields::new("benchmark/1")
            .text(&self.name)
            .number(self.class_names.len() as u64);
        for class in &self.class_names {
            fields = fields.text(class);
        }
        let validation = self.ood_val.iter().map(|set| ("ood-val", set));
        let test = self.ood_test.iter().map(|ood| (ood.role.name(), &ood.set));
        let own = [
            ("fit", &self.fit),
            ("id-val", &self.id_val),
            ("id-test", &self.id_test),
        ];
        for (role, set) in own.into_iter().chain(validation).chain(test) {
            fields = fields.text(role).text(set.name()).text(&set.checksum()?);
        }
        Ok(fields.hex())
    }

    /// Decodes every image into memory.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] where that would be more than [`MEMORY_LIMIT`]; the first image that cannot be decoded.
    pub fn load(&self) -> Result<Benchmark> {
        let own = [&self.fit, &self.id_val, &self.id_test].into_iter();
        let test = self.ood_test.iter().map(|ood| &ood.set);
        let bytes: u64 = own
            .chain(&self.ood_val)
            .chain(test)
            .map(AnySet::bytes)
            .sum();
        if bytes > MEMORY_LIMIT {
            return Err(Error::Invalid {
                what: format!("benchmark `{}`", self.name),
                problem: format!(
                    "its images have {:.1} GB of pixels, at most {:.1} GB are held in memory\n  mend: use fewer images \
                     (--limit N)",
                    bytes as f64 / 1e9,
                    MEMORY_LIMIT as f64 / 1e9
                ),
            });
        }
        let test = self.ood_test.iter().map(|ood| {
            Ok(OodSet {
                role: ood.role,
                set: ood.set.load()?,
            })
        });
        Ok(Benchmark {
            name: self.name.clone(),
            class_names: self.class_names.clone(),
            fit: self.fit.load()?,
            id_val: self.id_val.load()?,
            ood_val: self
                .ood_val
                .iter()
                .map(AnySet::load)
                .collect::<Result<_>>()?,
            id_test: self.id_test.load()?,
            ood_test: test.collect::<Result<_>>()?,
            sources: self.sources.clone(),
            left_out: self.left_out.clone(),
        })
    }
}

impl From<Benchmark> for OpenBenchmark {
    fn from(benchmark: Benchmark) -> Self {
        let memory = |sets: Vec<ImageSet>| sets.into_iter().map(AnySet::Memory).collect();
        Self {
            name: benchmark.name,
            class_names: benchmark.class_names,
            fit: AnySet::Memory(benchmark.fit),
            id_val: AnySet::Memory(benchmark.id_val),
            ood_val: memory(benchmark.ood_val),
            id_test: AnySet::Memory(benchmark.id_test),
            ood_test: benchmark
                .ood_test
                .into_iter()
                .map(|ood| OpenOodSet {
                    role: ood.role,
                    set: AnySet::Memory(ood.set),
                })
                .collect(),
            sources: benchmark.sources,
            left_out: benchmark.left_out,
        }
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
}

/// Every benchmark, in the order of listings.
pub const BENCHMARKS: &[BenchmarkEntry] = &[
    BenchmarkEntry {
        name: "quick",
        summary: "Fashion-MNIST, 8 classes; near: shirt, ankle-boot; far: mnist-10k. Comes with the repository",
        datasets: &[],
        open: |shelf| quick::load(shelf.assets).map(OpenBenchmark::from),
    },
    BenchmarkEntry {
        name: "cifar10-v1",
        summary: "CIFAR-10, OpenOOD v1 (the paper's); near: cifar100, tin; far: mnist, svhn, texture, places365",
        datasets: &[
            "cifar10",
            "cifar100",
            "tiny-imagenet",
            "mnist",
            "svhn",
            "textures",
            "places365",
        ],
        open: openood::cifar10_v1,
    },
    BenchmarkEntry {
        name: "cifar10-v1.5",
        summary: "CIFAR-10, OpenOOD v1.5; the same sets, validated on images of tin that it does not test",
        datasets: &[
            "cifar10",
            "cifar100",
            "tiny-imagenet",
            "mnist",
            "svhn",
            "textures",
            "places365",
        ],
        open: openood::cifar10_v1_5,
    },
    BenchmarkEntry {
        name: "imagenet-v1",
        summary: "ImageNet-1k, OpenOOD v1 (the paper's); near: species, inaturalist, openimage-o, imagenet-o; far: texture",
        datasets: &[
            "imagenet-1k-val",
            "species",
            "inaturalist",
            "openimage-o",
            "imagenet-o",
            "textures",
        ],
        open: openood::imagenet_v1,
    },
    BenchmarkEntry {
        name: "imagenet-v1.5",
        summary: "ImageNet-1k, OpenOOD v1.5; near: ssb-hard, ninco; far: inaturalist, texture, openimage-o",
        datasets: &[
            "imagenet-1k-val",
            "ssb-hard",
            "ninco",
            "inaturalist",
            "textures",
            "openimage-o",
        ],
        open: openood::imagenet_v1_5,
    },
    BenchmarkEntry {
        name: "imagenet-v1-256px",
        summary: "imagenet-v1 at 256 pixels, for diffusion models of that size; fits to half of the validation images",
        datasets: &[
            "imagenet-1k-val",
            "species",
            "inaturalist",
            "openimage-o",
            "imagenet-o",
            "textures",
        ],
        open: openood::imagenet_v1_256,
    },
    BenchmarkEntry {
        name: "imagenet-v1.5-256px",
        summary: "imagenet-v1.5 at 256 pixels, likewise",
        datasets: &[
            "imagenet-1k-val",
            "ssb-hard",
            "ninco",
            "inaturalist",
            "textures",
            "openimage-o",
        ],
        open: openood::imagenet_v1_5_256,
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
