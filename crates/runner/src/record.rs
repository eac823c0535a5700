//! `run.json`: what a run was, so that its tables and plots can be made again from its scores alone.

use std::collections::BTreeMap;
use std::path::Path;

use diffguard_datasets::benchmark::{OpenBenchmark, Role};
use diffguard_models::Compute;
use diffguard_models::memory::peak_resident;
use diffguard_report::write_atomic;
use serde::{Deserialize, Serialize};

use crate::baselines::Baseline;
use crate::bench::Chosen;
use crate::experiment::Experiment;
use crate::networks::Provenance;
use crate::pipeline::Account;
use crate::spent::GuardCost;
use crate::{Error, Result};

/// The version of burn that the workspace pins.
const BURN: &str = "0.22.1";

/// The record of a run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Record {
    /// The experiment's name.
    pub experiment: String,
    /// The experiment as it was run.
    pub configuration: Experiment,
    /// Version of this program.
    pub version: String,
    /// Version of burn.
    pub burn: String,
    /// Version of each stage.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub stage_versions: BTreeMap<String, u32>,
    /// The device.
    pub device: String,
    /// Threads that worked.
    pub threads: usize,
    /// The images.
    pub benchmark: BenchmarkRecord,
    /// The classifiers; the first is the one under protection.
    pub classifiers: Vec<Provenance>,
    /// The diffusion network.
    pub diffusion: Option<Provenance>,
    /// Those of single inversions, by the inversion's name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub diffusion_of: BTreeMap<String, Provenance>,
    /// SHA-256 of the files that DISTS and LPIPS looked through.
    pub perceptual_sha256: Option<Vec<String>>,
    /// The baselines as they were run.
    pub baselines: Vec<Baseline>,
    /// Accuracy of the classifier under protection on the in-distribution test images.
    pub classifier_accuracy: f64,
    /// The chosen headline setting.
    pub headline: Option<Chosen>,
    /// How the numbers are to be read.
    #[serde(default)]
    pub conventions: BTreeMap<String, String>,
    /// What each guard costs an image.
    #[serde(default)]
    pub costs: BTreeMap<String, GuardCost>,
    /// What each stage did.
    #[serde(default)]
    pub stages: BTreeMap<String, StageRecord>,
    /// Of a run on generated images with generated weights, what was reduced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub synthetic: Option<Vec<String>>,
    /// The run that it took rows from, where it did not compute them all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows_of: Option<RowsOfRecord>,
    /// SHA-256 of `scores.parquet`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scores_sha256: Option<String>,
    /// Wall-clock seconds of the run.
    pub seconds: f64,
    /// Peak resident memory in MiB, where the system tells.
    pub peak_memory_mib: Option<u64>,
}

/// A run that rows were taken from.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RowsOfRecord {
    /// Its experiment's name.
    pub experiment: String,
    /// SHA-256 of its `scores.parquet`.
    pub scores_sha256: String,
    /// The rows that were computed beside them.
    pub computed: Vec<String>,
    /// Where it took rows from itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows_of: Option<Box<Self>>,
}

/// The images of a run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct BenchmarkRecord {
    /// The benchmark's name.
    pub name: String,
    /// Checksum over all images and labels that were used (see [`OpenBenchmark::checksum`]).
    pub checksum: String,
    /// The files that they come from.
    pub files: Vec<FileRecord>,
    /// Test sets that the published benchmark has not.
    #[serde(default)]
    pub extras: Vec<String>,
    /// Test sets that were not at hand.
    #[serde(default)]
    pub left_out: Vec<LeftOutRecord>,
}

/// A file of images.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct FileRecord {
    /// Its name.
    pub name: String,
    /// Its licence.
    pub licence: String,
    /// Its SHA-256.
    pub sha256: String,
}

/// A set that was not at hand.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LeftOutRecord {
    /// What tables would call it.
    pub name: String,
    /// What it is for.
    pub role: String,
    /// Why it was not there.
    pub reason: String,
    /// What would bring it.
    pub command: String,
}

/// What a stage did.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct StageRecord {
    /// Images, seconds, rows.
    #[serde(flatten)]
    pub account: Account,
    /// Images a second of one worker, when they were computed.
    pub images_per_second: f64,
}

impl BenchmarkRecord {
    /// The record of a benchmark.
    ///
    /// # Errors
    /// When an image cannot be read.
    pub fn of(benchmark: &OpenBenchmark) -> Result<Self> {
        Ok(Self {
            name: benchmark.name.clone(),
            checksum: benchmark.checksum()?,
            files: benchmark
                .sources
                .iter()
                .map(|source| FileRecord {
                    name: source.name.clone(),
                    licence: source.licence.clone(),
                    sha256: source.sha256.clone(),
                })
                .collect(),
            extras: benchmark
                .ood_test
                .iter()
                .filter(|ood| ood.role == Role::Extra)
                .map(|ood| ood.set.name().to_owned())
                .collect(),
            left_out: benchmark
                .left_out
                .iter()
                .map(|set| LeftOutRecord {
                    name: set.name.clone(),
                    role: set.role.to_string(),
                    reason: set.reason.clone(),
                    command: set.command.clone(),
                })
                .collect(),
        })
    }
}

impl Record {
    /// The file's name in a run's folder.
    pub const FILE: &str = "run.json";

    /// Version of burn that this program is built with.
    pub fn burn_version() -> String {
        BURN.to_owned()
    }

    /// How the numbers of a run of `experiment` are to be read.
    pub fn conventions(experiment: &Experiment) -> BTreeMap<String, String> {
        let intervals = format!(
            "percentile bootstrap, {} replicates, in-distribution and OOD resampled separately; an average's ends are the \
             means of its sets' ends",
            experiment.bootstrap
        );
        let traces = (!experiment.traces.is_empty()).then(|| {
            let meaning = "t is the training step whose abar the image has, the number of steps for pure noise; intervals are \
                           Wilson's for shares at a step, else by the normal distribution";
            ("traces".to_owned(), meaning.to_owned())
        });
        let compute = (experiment.compute != Compute::F32).then(|| {
            let meaning = "the diffusion networks' convolutions multiply bfloat16 values (8 bits of mantissa) and sum in f32";
            ("compute".to_owned(), meaning.to_owned())
        });
        [
            ("score", "higher means more in-distribution"),
            (
                "fpr95",
                "in-distribution is the positive class: share of OOD accepted when 95% of in-distribution is accepted",
            ),
            (
                "fpr95_ood_positive",
                "OOD is the positive class (OpenOOD v1.5): share of in-distribution rejected when 95% of OOD is rejected",
            ),
            ("aupr", "trapezoid over the precision-recall curve"),
            (
                "headline",
                "chosen by the mean AUROC of in-distribution validation against each out-of-distribution validation set",
            ),
            ("intervals", intervals.as_str()),
        ]
        .map(|(name, meaning)| (name.to_owned(), meaning.to_owned()))
        .into_iter()
        .chain(traces)
        .chain(compute)
        .collect()
    }

    /// Where the classifiers and the diffusion networks come from.
    pub fn provenances(&self) -> impl Iterator<Item = &Provenance> {
        let diffusion = self.diffusion.iter().chain(self.diffusion_of.values());
        self.classifiers.iter().chain(diffusion)
    }

    /// Whether its costs tell what unconditional reconstructions add.
    pub fn counts_reconstructions(&self) -> bool {
        let mut guards = self.configuration.guards.iter();
        guards.any(|guard| {
            let key = GuardCost::key(&guard.name, true);
            self.costs.contains_key(&key)
        })
    }

    /// Reads the record in a run's folder.
    ///
    /// # Errors
    /// When there is none, or it is damaged or of another version.
    pub fn read(folder: &Path) -> Result<Self> {
        let path = folder.join(Self::FILE);
        let text = std::fs::read_to_string(&path).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => {
                Error::file(&path, "no finished run; `cargo xtask bench NAME` makes one")
            }
            _ => Error::io(&path, &error),
        })?;
        serde_json::from_str(&text).map_err(|error| Error::file(&path, error))
    }

    /// Writes the record into a run's folder.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&self, folder: &Path) -> Result<()> {
        let path = folder.join(Self::FILE);
        let text = serde_json::to_string_pretty(self).map_err(|error| Error::file(&path, error))?;
        Ok(write_atomic(&path, text + "\n")?)
    }
}

/// Peak resident memory of this process, where the system tells.
pub fn peak_memory_mib() -> Option<u64> {
    peak_resident().map(|bytes| bytes >> 20)
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_recorded_version_of_burn_is_the_pinned_one() {
        let manifest = include_str!("../../../Cargo.toml");
        assert!(manifest.contains(&format!("burn = {{ version = \"={}\"", super::BURN)));
    }
}
