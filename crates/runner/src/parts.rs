//! The image sets of a benchmark, cut into fixed work units.

use diffguard_datasets::benchmark::{Benchmark, Role};
use diffguard_datasets::{ImageSet, OUT_OF_DISTRIBUTION};
use serde::Serialize;

use crate::store::{Array, Key};

/// What a set is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Split {
    /// Training images that detectors fit to.
    Fit,
    /// In-distribution validation.
    IdVal,
    /// Out-of-distribution validation.
    OodVal,
    /// In-distribution test.
    IdTest,
    /// Near out-of-distribution test.
    Near,
    /// Far out-of-distribution test.
    Far,
    /// Out-of-distribution test beside the benchmark: in none of its averages.
    Extra,
}

impl Split {
    /// As tables write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Fit => "fit",
            Self::IdVal => "id-val",
            Self::OodVal => "ood-val",
            Self::IdTest => "id-test",
            Self::Near => "near",
            Self::Far => "far",
            Self::Extra => "extra",
        }
    }

    /// All splits.
    const ALL: [Self; 7] = [
        Self::Fit,
        Self::IdVal,
        Self::OodVal,
        Self::IdTest,
        Self::Near,
        Self::Far,
        Self::Extra,
    ];

    /// The splits of out-of-distribution test sets, in the order of the tables.
    pub const OOD_TEST: [Self; 3] = [Self::Near, Self::Far, Self::Extra];

    /// Whether its samples are tested on.
    pub fn is_test(self) -> bool {
        self == Self::IdTest || Self::OOD_TEST.contains(&self)
    }

    /// The split that tables write so.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|split| split.name() == name)
    }
}

/// An image set and what it is for.
#[derive(Clone, Debug)]
pub struct Part {
    /// What it is for.
    pub split: Split,
    /// The images.
    pub set: ImageSet,
}

/// Images that are computed together: a fixed slice of a set, so that results depend on no order of work.
#[derive(Clone, Debug)]
pub struct Unit {
    /// Index of its first image in its set.
    pub first: usize,
    /// The images in [-1, 1], `[image, channel, height, width]`.
    pub images: Array,
    /// True class of each; `None` out of distribution.
    pub truth: Vec<Option<usize>>,
    /// An identity of each that depends on its name alone, for random streams.
    pub samples: Vec<u64>,
    /// Checksum of the images and their names.
    pub key: Key,
}

impl Unit {
    /// Number of images.
    pub fn len(&self) -> usize {
        self.truth.len()
    }
}

impl Part {
    /// The parts of a benchmark: fit, validation, test.
    pub fn of(benchmark: &Benchmark) -> Vec<Self> {
        let part = |split, set: &ImageSet| Self {
            split,
            set: set.clone(),
        };
        let mut parts = vec![
            part(Split::Fit, &benchmark.fit),
            part(Split::IdVal, &benchmark.id_val),
        ];
        parts.extend(benchmark.ood_val.iter().map(|set| part(Split::OodVal, set)));
        parts.push(part(Split::IdTest, &benchmark.id_test));
        parts.extend(benchmark.ood_test.iter().map(|ood| {
            let split = match ood.role {
                Role::Near => Split::Near,
                Role::Far => Split::Far,
                Role::Extra => Split::Extra,
            };
            part(split, &ood.set)
        }));
        parts
    }

    /// The work units of `batch` images.
    pub fn units(&self, batch: usize) -> Vec<Unit> {
        let set = &self.set;
        (0..set.len())
            .step_by(batch)
            .map(|first| {
                let range = first..(first + batch).min(set.len());
                let shape = vec![
                    range.len(),
                    set.shape.channels,
                    set.shape.height,
                    set.shape.width,
                ];
                let mut bytes = Vec::new();
                for index in range.clone() {
                    bytes.extend_from_slice(set.ids[index].as_bytes());
                    bytes.push(0);
                    bytes.extend_from_slice(set.image(index));
                }
                Unit {
                    first,
                    truth: set.labels[range.clone()]
                        .iter()
                        .map(|&label| (label != OUT_OF_DISTRIBUTION).then_some(label as usize))
                        .collect(),
                    samples: range
                        .clone()
                        .map(|index| identity(&set.ids[index]))
                        .collect(),
                    images: Array {
                        shape,
                        values: set.signed(range),
                    },
                    key: Key::of(&bytes),
                }
            })
            .collect()
    }
}

/// A number that depends on a sample's name alone.
pub(crate) fn identity(name: &str) -> u64 {
    let digits = Key::of(name.as_bytes());
    u64::from_str_radix(&digits.as_str()[..16], 16).unwrap_or(0)
}
