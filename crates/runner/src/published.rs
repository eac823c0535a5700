//! A finished run as a model: its elected setting, the networks that it was made with, and its validation scores.

use std::path::Path;

use burn::tensor::Device;

use crate::baselines::Baseline;
use crate::bench::Chosen;
use crate::data::Data;
use crate::experiment::{Experiment, Guard, base};
use crate::networks::Networks;
use crate::parts::Split;
use crate::perceptual::LoadedPerceptual;
use crate::record::Record;
use crate::scores::Scores;
use crate::{Error, Result, Root};

/// A finished run.
pub(crate) struct Published {
    /// The experiment as it was run.
    pub(crate) experiment: Experiment,
    /// The setting that validation elected.
    pub(crate) chosen: Chosen,
    /// The detectors that watched the classifier, as they were run.
    pub(crate) baselines: Vec<Baseline>,
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
        let path = folder.join(Record::FILE);
        let record = Record::read(folder)?;
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
        let inversion = experiment
            .guards
            .iter()
            .find(|guard| guard.name == chosen.guard)
            .map_or("", |guard| guard.inversion.as_str());
        let own = record.diffusion_of.get(base(inversion)).cloned();
        let diffusion = own.or(record.diffusion).ok_or_else(|| {
            Error::file(
                &path,
                "the run has no diffusion network, so no image can be scored by it",
            )
        })?;
        let data = Data::new(root, root.data())?;
        let networks = Networks {
            perceptual: LoadedPerceptual::of(&experiment, &data, device)?,
            ..Networks::load(&experiment, root, device)?
        };
        let then = record.classifiers.first().map(|it| (&it.record, it.key()));
        let protected = &networks.protected().provenance;
        let unet = &networks.diffusion(inversion)?.provenance;
        for ((name, then), now) in [
            (
                then.unwrap_or((&protected.record, diffusion.record.clone())),
                protected,
            ),
            ((&diffusion.record, diffusion.key()), unet),
        ] {
            if then != now.key() {
                return Err(Error::file(
                    &path,
                    format!(
                        "the run was made with {name} of sha256 {then}, which is {} now: its validation scores are \
                         stale; run the benchmark again",
                        now.key()
                    ),
                ));
            }
        }
        let watched = |baseline: &Baseline| baseline.classifier == protected.name();
        let baselines = record.baselines.into_iter().filter(watched).collect();
        let scores = Scores::read(&folder.join("scores.parquet"))?;
        let validation = scores.only(|it| matches!(it.split, Split::IdVal | Split::OodVal))?;
        Ok(Self {
            experiment,
            chosen,
            baselines,
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
