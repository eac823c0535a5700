//! A finished run as a model: its elected setting, the networks that it was made with, and its validation scores.

use std::path::Path;

use burn::tensor::Device;
use serde::Deserialize;

use crate::bench::Chosen;
use crate::experiment::{Experiment, Guard};
use crate::networks::{Networks, Provenance};
use crate::parts::Split;
use crate::scores::Scores;
use crate::{Error, Result, Root};

/// What is needed of a run's `run.json`.
#[derive(Deserialize)]
struct Record {
    configuration: Experiment,
    headline: Option<Chosen>,
    classifiers: Vec<Provenance>,
    diffusion: Diffusion,
}

#[derive(Deserialize)]
struct Diffusion {
    record: String,
    sha256: String,
}

/// A finished run.
pub(crate) struct Published {
    /// The experiment as it was run.
    pub(crate) experiment: Experiment,
    /// The setting that validation elected.
    pub(crate) chosen: Chosen,
    /// The scores of the validation samples.
    pub(crate) validation: Scores,
    /// The networks that it was made with.
    pub(crate) networks: Networks,
}

impl Published {
    /// Reads the run in `folder` and loads its networks.
    ///
    /// # Errors
    /// When there is no finished run, it elected no setting, or its networks are not those that are there now: its
    /// scores say nothing of theirs.
    pub(crate) fn read(folder: &Path, root: &Root, device: &Device) -> Result<Self> {
        let path = folder.join("run.json");
        let text = std::fs::read_to_string(&path).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => {
                Error::file(&path, "no finished run; `cargo xtask bench NAME` makes one")
            }
            _ => Error::io(&path, &error),
        })?;
        let record: Record =
            serde_json::from_str(&text).map_err(|error| Error::file(&path, error))?;
        let chosen = record.headline.ok_or_else(|| {
            Error::file(
                &path,
                "the run has no `diffguard` row: its experiment needs a [headline]",
            )
        })?;
        let experiment = Experiment {
            // The others are for the deep ensemble.
            classifiers: record
                .configuration
                .classifiers
                .iter()
                .take(1)
                .cloned()
                .collect(),
            ..record.configuration
        };
        let networks = Networks::load(&experiment, root, device)?;
        let then = record.classifiers.first().map(|c| (&c.record, &c.sha256));
        let protected = &networks.protected().provenance;
        let unet = &networks.diffusion()?.provenance;
        for ((name, then), now) in [
            (
                then.unwrap_or((&protected.record, &record.diffusion.record)),
                protected,
            ),
            ((&record.diffusion.record, &record.diffusion.sha256), unet),
        ] {
            if *then != now.sha256 {
                return Err(Error::file(
                    &path,
                    format!(
                        "the run was made with {name} of sha256 {then}, which is {} now: its validation scores are \
                         stale; run the benchmark again",
                        now.sha256
                    ),
                ));
            }
        }
        let scores = Scores::read(&folder.join("scores.parquet"))?;
        let validation = scores.only(|split| matches!(split, Split::IdVal | Split::OodVal))?;
        Ok(Self {
            experiment,
            chosen,
            validation,
            networks,
        })
    }

    /// The elected guard.
    ///
    /// # Errors
    /// When the record names a guard that its own configuration has not.
    pub(crate) fn guard(&self) -> Result<&Guard> {
        let name = &self.chosen.guard;
        let guard = self
            .experiment
            .guards
            .iter()
            .find(|guard| guard.name == *name);
        guard.ok_or_else(|| {
            Error::Setting(format!(
                "the run elected `{name}`, which it has not; run it again"
            ))
        })
    }
}
