//! The trained weights that DISTS and LPIPS look through, where an experiment asks for them.

use std::collections::BTreeSet;
use std::path::PathBuf;

use burn::tensor::Device;
use diffguard_guidance::similarity::{
    DISTS_WEIGHTS, LPIPS_WEIGHTS, Perceptual, PerceptualFiles, VGG16_WEIGHTS,
};
use diffguard_guidance::{SimilarityName, StopMetric};
use diffguard_models::checkpoint::file_sha256;

use crate::data::Data;
use crate::experiment::Experiment;
use crate::{Error, Result};

/// VGG-16 with the weights of the distances, and which files they are.
pub struct LoadedPerceptual {
    /// The network, for inference.
    pub network: Perceptual,
    /// SHA-256 of each file.
    pub sha256: Vec<String>,
}

impl LoadedPerceptual {
    /// The weights that `experiment` needs, from the folders of `data` ([`Data::weights`] has fetched them there); `None`
    /// when it needs none.
    ///
    /// # Errors
    /// When some are not at hand, with the command that fetches them; when they cannot be read or do not fit.
    pub fn of(experiment: &Experiment, data: &Data, device: &Device) -> Result<Option<Self>> {
        let needed = needed(experiment);
        if needed.is_empty() {
            return Ok(None);
        }
        let file = |name: &'static str| -> Result<Option<PathBuf>> {
            if !needed.contains(name) {
                return Ok(None);
            }
            let found = data.find(name).map_err(|error| {
                Error::Setting(format!(
                    "{error}\n  or: take `dists-own` and `lpips-own`, the same distances on the activations of the \
                     classifier under protection, in place of `dists` and `lpips`"
                ))
            })?;
            Ok(found.paths.into_iter().next())
        };
        let Some(vgg16) = file(VGG16_WEIGHTS)? else {
            return Ok(None);
        };
        let (dists, lpips) = (file(DISTS_WEIGHTS)?, file(LPIPS_WEIGHTS)?);
        let files = PerceptualFiles {
            vgg16,
            dists,
            lpips,
        };
        let paths = [
            Some(&files.vgg16),
            files.dists.as_ref(),
            files.lpips.as_ref(),
        ];
        let sha256 = paths
            .into_iter()
            .flatten()
            .map(|path| file_sha256(path))
            .collect::<std::result::Result<_, _>>()?;
        Ok(Some(Self {
            network: Perceptual::load(&files, device)?,
            sha256,
        }))
    }
}

/// The weights that the similarities of an experiment and its early stops look through.
pub(crate) fn needed(experiment: &Experiment) -> BTreeSet<&'static str> {
    let stops = experiment
        .inversion
        .values()
        .filter_map(|config| config.early_stop.as_ref())
        .flat_map(|stop| stop.thresholds())
        .filter_map(|(metric, _)| match metric {
            StopMetric::Psnr => None,
            StopMetric::Similarity(name) => Some(name),
        });
    let guards = experiment.guards.iter();
    guards
        .flat_map(|guard| guard.similarity.iter().copied())
        .chain(stops)
        .flat_map(|name: SimilarityName| name.similarity().needs_weights.iter().copied())
        .collect()
}
