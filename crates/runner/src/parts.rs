//! The image sets of a benchmark, cut into fixed work units.

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use diffguard_datasets::OUT_OF_DISTRIBUTION;
use diffguard_datasets::benchmark::{AnySet, OpenBenchmark, Role};
use serde::Serialize;

use crate::Result;
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
    /// The images, decoded when they are needed.
    pub set: Arc<AnySet>,
}

/// Images that are computed together: a fixed slice of a set, so that results depend on no order of work. It holds no
/// pixels: they are [decoded](Self::images) when a stage wants them.
#[derive(Clone, Debug)]
pub struct Unit {
    /// Index of its first image in its set.
    pub first: usize,
    /// True class of each; `None` out of distribution.
    pub truth: Vec<Option<usize>>,
    /// An identity of each that depends on its name alone, for random streams.
    pub samples: Vec<u64>,
    set: Arc<AnySet>,
    key: OnceLock<Key>,
}

impl Unit {
    /// Number of images.
    pub fn len(&self) -> usize {
        self.truth.len()
    }

    /// The images in [-1, 1], `[image, channel, height, width]`.
    ///
    /// # Errors
    /// When one cannot be decoded.
    pub fn images(&self) -> Result<Array> {
        let images = self.set.decode(self.range())?;
        let shape = images.shape;
        Ok(Array {
            shape: vec![images.len(), shape.channels, shape.height, shape.width],
            values: images.signed(0..images.len()),
        })
    }

    /// Checksum of the images and their names. Images in files are not decoded for it (see [`AnySet::evidence`]).
    ///
    /// # Errors
    /// When an image cannot be read.
    pub fn key(&self) -> Result<&Key> {
        if let Some(key) = self.key.get() {
            return Ok(key);
        }
        let mut bytes = Vec::new();
        for index in self.range() {
            bytes.extend_from_slice(self.set.ids()[index].as_bytes());
            bytes.push(0);
            bytes.extend_from_slice(&self.set.evidence(index)?);
        }
        Ok(self.key.get_or_init(|| Key::of(&bytes)))
    }

    fn range(&self) -> Range<usize> {
        self.first..self.first + self.len()
    }
}

impl Part {
    /// The parts of a benchmark: fit, validation, test.
    pub fn of(benchmark: &OpenBenchmark) -> Vec<Self> {
        let part = |split, set: &AnySet| Self {
            split,
            set: Arc::new(set.clone()),
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

    /// The work units of `batch` images; none is decoded.
    pub fn units(&self, batch: usize) -> Vec<Unit> {
        let (labels, ids) = (self.set.labels(), self.set.ids());
        (0..self.set.len())
            .step_by(batch)
            .map(|first| {
                let range = first..(first + batch).min(labels.len());
                Unit {
                    first,
                    truth: labels[range.clone()]
                        .iter()
                        .map(|&label| (label != OUT_OF_DISTRIBUTION).then_some(label as usize))
                        .collect(),
                    samples: ids[range]
                        .iter()
                        .map(|id| identity(id.as_bytes()))
                        .collect(),
                    set: self.set.clone(),
                    key: OnceLock::new(),
                }
            })
            .collect()
    }
}

/// A number that depends on a sample's name (or whatever stands for it) alone.
pub(crate) fn identity(name: &[u8]) -> u64 {
    let digits = Key::of(name);
    u64::from_str_radix(&digits.as_str()[..16], 16).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicBool, Ordering};

    use burn::tensor::Device;
    use diffguard_datasets::ImageShape;
    use diffguard_datasets::listed::{ListedSet, Pictures};
    use diffguard_datasets::lists::{ImageList, ListEntry};
    use diffguard_datasets::transforms::{Picture, Preprocess};
    use diffguard_models::cifar_resnet::CifarResnetConfig;

    use super::*;
    use crate::networks::{LoadedClassifier, Provenance};
    use crate::parallel;
    use crate::pipeline::Pipeline;
    use crate::progress::Progress;
    use crate::stages::observe;
    use crate::store::Store;

    const IMAGES: usize = 10;

    /// "Files" of one byte, which pictures of that value are decoded from; keeps which.
    #[derive(Default)]
    struct Counted(Mutex<Vec<usize>>);

    impl Counted {
        fn decoded(&self) -> Vec<usize> {
            let mut decoded = std::mem::take(&mut *self.0.lock().unwrap());
            decoded.sort_unstable();
            decoded
        }
    }

    impl Pictures for Counted {
        fn find(&self, name: &str) -> diffguard_datasets::Result<Option<usize>> {
            Ok(name.parse().ok())
        }

        fn encoded(&self, number: usize) -> diffguard_datasets::Result<Option<Vec<u8>>> {
            Ok(Some(vec![number as u8]))
        }

        fn picture(&self, number: usize) -> diffguard_datasets::Result<Picture> {
            self.0.lock().unwrap().push(number);
            let shape = ImageShape {
                channels: 3,
                height: 32,
                width: 32,
            };
            Picture::new(shape, vec![10 * number as u8; shape.len()])
        }

        fn path(&self) -> String {
            "here".into()
        }
    }

    fn part() -> (Arc<Counted>, Part) {
        let pictures = Arc::new(Counted::default());
        let entries = (0..IMAGES).map(|index| ListEntry {
            name: index.to_string(),
            label: index as i64 - 1,
        });
        let list = ImageList {
            name: "list".into(),
            entries: entries.collect(),
        };
        let set = ListedSet::new("set", &list, pictures.clone(), Preprocess::CIFAR).unwrap();
        let part = Part {
            split: Split::IdTest,
            set: Arc::new(AnySet::Listed(set)),
        };
        (pictures, part)
    }

    #[test]
    fn a_unit_decodes_its_own_images_and_none_for_its_key() {
        let (pictures, part) = part();
        let units = part.units(4);
        let lengths: Vec<usize> = units.iter().map(Unit::len).collect();
        assert_eq!(lengths, [4, 4, 2]);
        assert_eq!(units[0].truth[..3], [None, Some(0), Some(1)]);
        let keys: Vec<&Key> = units.iter().map(|unit| unit.key().unwrap()).collect();
        assert!(keys[0] != keys[1] && keys[1] != keys[2]);
        assert!(pictures.decoded().is_empty());

        let images = units[1].images().unwrap();
        assert_eq!(pictures.decoded(), [4, 5, 6, 7]);
        assert_eq!(images.shape, [4, 3, 32, 32]);
        assert_eq!(images.values[3 * 32 * 32], 50.0 / 127.5 - 1.0);

        // The same pixels held in memory are the same images, whatever their key.
        let memory = Part {
            set: Arc::new(AnySet::Memory(part.set.load().unwrap())),
            ..part.clone()
        };
        for (held, read) in memory.units(4).iter().zip(&units) {
            assert_eq!(held.images().unwrap(), read.images().unwrap());
            assert_eq!((&held.truth, &held.samples), (&read.truth, &read.samples));
        }
    }

    #[test]
    fn nothing_is_decoded_where_the_outputs_are_stored() {
        let (pictures, part) = part();
        let folder = tempfile::tempdir().unwrap();
        let stop = AtomicBool::new(false);
        let device = Device::flex();
        let pipeline = Pipeline {
            store: Store::new(folder.path().to_owned()),
            force: false,
            device: device.clone(),
            device_name: "cpu".into(),
            progress: Progress::silent(),
            stop: &stop,
            accounts: Mutex::default(),
        };
        let network = CifarResnetConfig::new(10).with_blocks(1).init(&device);
        let classifier = LoadedClassifier {
            network: Box::new(network),
            provenance: Provenance {
                record: "toy".into(),
                sha256: "0".into(),
                description_sha256: None,
                parameters: 0,
                date: String::new(),
            },
        };
        let run = || {
            let logits = parallel::each(&mut part.units(3), |unit| {
                Ok(observe(&pipeline, "set", unit, &classifier)?.logits)
            });
            logits.unwrap()
        };
        let first = run();
        assert_eq!(pictures.decoded(), (0..IMAGES).collect::<Vec<_>>());
        assert_eq!(run(), first);
        assert!(pictures.decoded().is_empty());
        // A run that stopped halfway decodes the other half.
        std::fs::remove_dir_all(folder.path().join("observe")).unwrap();
        observe(&pipeline, "set", &part.units(3)[1], &classifier).unwrap();
        assert_eq!(pictures.decoded(), [3, 4, 5]);
        assert_eq!(run(), first);
        assert_eq!(pictures.decoded(), [0, 1, 2, 6, 7, 8, 9]);
        assert!(!stop.load(Ordering::Relaxed));
    }
}
