//! What a table is computed over: in-distribution images, validation images and out-of-distribution test sets, and
//! the registry of the benchmarks there are.

use std::path::Path;

use crate::hash::Fields;
use crate::{Error, ImageSet, Result, quick};

/// How far an out-of-distribution set is from the in-distribution classes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Alike in kind: other classes of the same domain.
    Near,
    /// Another domain.
    Far,
}

impl Role {
    /// The word that tables use.
    pub fn name(self) -> &'static str {
        match self {
            Self::Near => "near",
            Self::Far => "far",
        }
    }
}

/// An out-of-distribution test set.
#[derive(Clone, Debug)]
pub struct OodSet {
    /// Near or far.
    pub role: Role,
    /// The images, without labels.
    pub set: ImageSet,
}

/// A file that a benchmark was read from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// The file, relative to the benchmark's folder.
    pub name: String,
    /// Its licence.
    pub licence: String,
    /// Its SHA-256 in hexadecimal.
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
                    role: ood.role,
                    set: ood.set.limit(n, seed),
                })
                .collect(),
            ..self.clone()
        }
    }

    /// SHA-256 over names, roles and the checksums of all sets, in hexadecimal.
    pub fn checksum(&self) -> String {
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
            fields = fields.text(role).text(&set.name).text(&set.checksum());
        }
        fields.hex()
    }
}

/// A benchmark that can be asked for by name.
#[derive(Clone, Copy, Debug)]
pub struct BenchmarkEntry {
    /// The name in experiment files.
    pub name: &'static str,
    /// One line for listings.
    pub summary: &'static str,
    /// Reads it; the argument is the repository's `assets` folder.
    pub load: fn(&Path) -> Result<Benchmark>,
}

/// Every benchmark, in the order of listings.
pub const BENCHMARKS: &[BenchmarkEntry] = &[BenchmarkEntry {
    name: "quick",
    summary: "Fashion-MNIST, 8 classes; near: shirt, ankle-boot; far: mnist-10k. Comes with the repository",
    load: quick::load,
}];

/// Reads the benchmark called `name`; `assets` is the repository's `assets` folder.
///
/// # Errors
///
/// [`Error::Unknown`] lists the names there are; otherwise what reading its files meets.
pub fn load(name: &str, assets: &Path) -> Result<Benchmark> {
    let entry = BENCHMARKS
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
        })?;
    (entry.load)(assets)
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
