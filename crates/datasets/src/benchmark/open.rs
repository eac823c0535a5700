//! Benchmarks whose images are found and not decoded yet.

use super::{AnySet, Benchmark, LeftOut, OodSet, Role, Source};
use crate::hash::Fields;
use crate::{Error, ImageSet, Result};

/// The most pixels that [`OpenBenchmark::load`] decodes into memory, bytes: all of CIFAR-10's sets have 0.7 GB.
pub const MEMORY_LIMIT: u64 = 8 << 30;

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

/// Images of each set at most, by what the set is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Test sets of the benchmark.
    pub test: usize,
    /// Test sets beside it ([`Role::Extra`]).
    pub extra: usize,
    /// Validation sets.
    pub validation: usize,
}

impl OpenBenchmark {
    /// At most so many images of each set, drawn by `seed`. `fit` stays whole: detectors that are fitted to fewer images
    /// would be other detectors.
    #[must_use]
    pub fn limit(&self, most: Limits, seed: u64) -> Self {
        let cut = |ood: &OpenOodSet| OpenOodSet {
            set: match ood.role {
                Role::Extra => ood.set.limit(most.extra, seed),
                Role::Near | Role::Far => ood.set.limit(most.test, seed),
            },
            ..ood.clone()
        };
        let validation = self.ood_val.iter();
        Self {
            id_val: self.id_val.limit(most.validation, seed),
            ood_val: validation
                .map(|set| set.limit(most.validation, seed))
                .collect(),
            id_test: self.id_test.limit(most.test, seed),
            ood_test: self.ood_test.iter().map(cut).collect(),
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
