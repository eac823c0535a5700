//! What an experiment needs and is not at hand, told before anything is fetched or computed.

use std::collections::BTreeSet;

use diffguard_datasets::benchmark;
use diffguard_datasets::fetch::{Presence, command};
use diffguard_guidance::similarity::{DISTS_WEIGHTS, DistsWeights, LPIPS_WEIGHTS, VGG16_WEIGHTS};
use diffguard_models::network::{ClassifierNetwork, DiffusionNetwork};

use super::{Data, size};
use crate::experiment::Experiment;
use crate::networks::{Recorded, published_checkpoints};
use crate::{Error, Result, Root, perceptual};

/// Parameters of what DISTS and LPIPS look through: all of VGG-16, a pair of weights or a weight for each channel.
const PERCEPTUAL: [(&str, u64); 3] = [
    (VGG16_WEIGHTS, 138_357_544),
    (DISTS_WEIGHTS, 2 * DistsWeights::CHANNELS as u64),
    (LPIPS_WEIGHTS, DistsWeights::CHANNELS as u64 - 3),
];

/// Something that is not at hand.
struct Need {
    name: String,
    what: String,
    size: String,
    licence: String,
    /// What brings it.
    how: String,
    /// Nothing works without it.
    required: bool,
    /// The program can fetch it by itself.
    free: bool,
}

impl Data {
    /// Stops where something that the experiment cannot do without has to be brought by the user's hands, with the whole
    /// list of what is missing: what it is, its size, its licence, and how to get it and where to put it. Nothing has been
    /// fetched by then.
    ///
    /// # Errors
    /// That list; or when a record or datasets.toml cannot be read.
    pub fn check_at_hand(&self, name: &str, experiment: &Experiment, root: &Root) -> Result<()> {
        let needs = self.needs(experiment, root)?;
        if !needs.iter().any(|need| need.required && !need.free) {
            return Ok(());
        }
        let mut text =
            format!("`{name}` needs what is not at hand; nothing has been fetched or computed.\n");
        for (heading, required) in [
            ("It cannot run without:", true),
            ("Without these it would run, and leave them out:", false),
        ] {
            let of: Vec<&Need> = needs.iter().filter(|n| n.required == required).collect();
            if of.is_empty() {
                continue;
            }
            text += &format!("\n{heading}\n");
            for need in of {
                text += &format!(
                    "- {}: {}; {}; licence: {}\n    {}\n",
                    need.name, need.what, need.size, need.licence, need.how
                );
            }
        }
        let free: Vec<&str> = needs
            .iter()
            .filter(|need| need.free)
            .map(|need| need.name.as_str())
            .collect();
        if !free.is_empty() {
            text += &format!(
                "\nAll that is free to download at once: {}\n",
                command(&free)
            );
        }
        text += &format!(
            "\nWith nothing at hand, `cargo xtask bench {name} --synthetic` runs the same experiment on generated images \
             and weights, to prove the path."
        );
        Err(Error::Setting(text))
    }

    fn needs(&self, experiment: &Experiment, root: &Root) -> Result<Vec<Need>> {
        let mut weights: BTreeSet<&str> = published_checkpoints(experiment, root, &self.manifest)?
            .into_iter()
            .collect();
        weights.extend(perceptual::needed(experiment));
        let sets = benchmark::entry(&experiment.benchmark)?.datasets;
        let fetcher = self.fetcher();
        let mut needs = Vec::new();
        // The first data set has the in-distribution images.
        let first = sets.iter().take(1).copied();
        let others = sets.iter().skip(1).copied();
        let named = weights
            .into_iter()
            .chain(first)
            .map(|name| (name, true))
            .chain(others.map(|name| (name, false)));
        for (name, required) in named {
            let presence = fetcher.presence(name)?;
            if let Presence::Present(_) = presence {
                continue;
            }
            let item = self.manifest.item(name)?;
            let free = !item.is_by_hand() && item.free().is_some();
            let bytes = item.ways.first().and_then(|way| way.bytes());
            needs.push(Need {
                name: name.to_owned(),
                what: match presence {
                    Presence::Missing => item.what.to_owned(),
                    other => format!("{} ({other})", item.what),
                },
                size: match (bytes, self.about(name, experiment, root)?) {
                    (Some(bytes), _) => size(bytes),
                    (None, Some(bytes)) => format!("about {}", size(bytes)),
                    (None, None) => "size not published".to_owned(),
                },
                licence: item.licence.to_owned(),
                how: match free {
                    true => command(&[name]),
                    false => item.by_hand(),
                },
                required,
                free,
            });
        }
        Ok(needs)
    }

    /// What the parameters of a network take in f32, where a record of the experiment describes the checkpoint.
    fn about(&self, checkpoint: &str, experiment: &Experiment, root: &Root) -> Result<Option<u64>> {
        let known = PERCEPTUAL.iter().find(|(name, _)| *name == checkpoint);
        if let Some((_, parameters)) = known {
            return Ok(Some(4 * parameters));
        }
        let others = experiment.diffusion_of.values();
        for name in experiment.diffusion.iter().chain(others) {
            let record = Recorded::<DiffusionNetwork>::read(name, root)?;
            if record.checkpoint(&self.manifest)? == Some(checkpoint) {
                return Ok(Some(record.network.summary()?.parameter_bytes() as u64));
            }
        }
        for name in &experiment.classifiers {
            let record = Recorded::<ClassifierNetwork>::read(name, root)?;
            if record.checkpoint(&self.manifest)? == Some(checkpoint) {
                return Ok(Some(record.network.summary()?.parameter_bytes() as u64));
            }
        }
        Ok(None)
    }
}
