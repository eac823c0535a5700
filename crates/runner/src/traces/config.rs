//! `[[trace]]`: what an experiment records at every noise level.

use diffguard_guidance::{GuidanceConfig, SynthesisConfig};
use diffguard_guidance::{InversionConfig, Schedule, SpacingConfig, Trajectory, latent};
use diffguard_ood::suggest;
use serde::{Deserialize, Serialize};

use super::Series;
use crate::networks::Networks;
use crate::{Error, Result};

/// Values of every test image at every noise level of a spacing, drawn against the training step `t`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Trace {
    /// Its name; its plots' files begin with it.
    pub name: String,
    /// Its title.
    pub title: String,
    /// What is recorded.
    pub what: TraceKind,
}

/// What a trace records.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum TraceKind {
    /// How much of the input is left along its inversion (P fig. 4): the peak signal-to-noise ratio in dB (true peak: 2 in
    /// [-1, 1], nothing clamped, as the early stop computes it) of `x_t` against the input, and that of the `x0hat` which
    /// the network implies there. Images of a latent diffusion network are decoded first.
    Inversion {
        /// The inversion; it goes all the way, so it has no early stop.
        inversion: InversionConfig,
    },
    /// What classifiers predict at each level (P fig. 2): the classifier under protection and, where there is one, a noisy
    /// classifier.
    ///
    /// `x_t` is the input diffused forward (P eq. 1), which is what noisy classifiers are trained on; the noise is keyed by
    /// seed, sample and `t`. `x0hat` is what one unconditional evaluation of the diffusion network implies at `x_t`; it is
    /// not clamped, since Clean Grad does not clamp what it shows the classifier either.
    Classification {
        /// The levels.
        #[serde(default)]
        spacing: SpacingConfig,
        /// Record of the noisy classifier, one of the experiment's `classifiers` but the first.
        #[serde(skip_serializing_if = "Option::is_none")]
        noisy: Option<String>,
        /// Seed of the noise.
        #[serde(default)]
        seed: u64,
    },
}

impl TraceKind {
    /// What it records, in the order in which it is stored.
    pub fn series(&self) -> Vec<Series> {
        match self {
            Self::Inversion { .. } => vec![Series::PsnrXt, Series::PsnrX0hat],
            Self::Classification { noisy, .. } => {
                let mut series = vec![Series::NormalXt, Series::NormalX0hat];
                series.extend(noisy.as_ref().map(|_| Series::NoisyXt));
                series
            }
        }
    }

    /// Its spacing.
    pub fn spacing(&self) -> &SpacingConfig {
        match self {
            Self::Inversion { inversion } => &inversion.spacing,
            Self::Classification { spacing, .. } => spacing,
        }
    }

    /// Its spacing, to be changed.
    pub fn spacing_mut(&mut self) -> &mut SpacingConfig {
        match self {
            Self::Inversion { inversion } => &mut inversion.spacing,
            Self::Classification { spacing, .. } => spacing,
        }
    }

    /// The training steps `t` at which each series is recorded: those whose `abar_t` the images have, `T` for pure noise.
    /// Along an inversion `x0hat` belongs to the level where a move starts, `x_t` to the one where it ends.
    ///
    /// # Errors
    /// When the spacing does not exist for that schedule, or nothing of it is left to be done.
    pub fn steps(&self, schedule: &Schedule) -> Result<Vec<(Series, Vec<usize>)>> {
        let trajectory = Trajectory::new(schedule, self.spacing())?;
        let at = |levels: Vec<f64>| -> Vec<usize> {
            let steps = levels.into_iter().map(|abar| step_of(schedule, abar));
            steps.collect()
        };
        Ok(match self {
            Self::Inversion { inversion } => {
                let mut moves = trajectory.inversion_of(inversion.solver);
                moves.truncate(inversion.moves(&trajectory)?);
                let ends = at(moves.iter().map(|step| step.to).collect());
                let starts = at(moves.iter().map(|step| step.from).collect());
                vec![(Series::PsnrXt, ends), (Series::PsnrX0hat, starts)]
            }
            Self::Classification { .. } => {
                let levels = at(trajectory
                    .synthesis()
                    .iter()
                    .map(|step| step.from)
                    .collect());
                let series = self.series().into_iter();
                series.map(|series| (series, levels.clone())).collect()
            }
        })
    }
}

impl Trace {
    /// Refuses what does not fit the experiment's other parts; in words.
    pub(crate) fn check(&self, classifiers: &[String]) -> std::result::Result<(), String> {
        let fault = |what: String| Err(format!("trace `{}`: {what}", self.name));
        if self.name.is_empty() || self.name.contains(['/', '\\']) {
            return fault(
                "its name begins the names of files; write letters, digits and dashes".into(),
            );
        }
        match &self.what {
            TraceKind::Inversion { inversion } if inversion.early_stop.is_some() => fault(
                "`early_stop` would leave images without values; a trace goes all the way".into(),
            ),
            TraceKind::Inversion { inversion } if inversion.draws.is_some() => {
                fault("images that are noised `draws` times are not inverted; leave it out".into())
            }
            TraceKind::Classification {
                noisy: Some(noisy), ..
            } => match classifiers.iter().position(|known| known == noisy) {
                Some(0) => fault(format!(
                    "`noisy` is `{noisy}`, the classifier under protection; name another of `classifiers`"
                )),
                Some(_) => Ok(()),
                None => {
                    let others = || classifiers.iter().skip(1).map(String::as_str);
                    fault(match suggest(noisy, others()) {
                        Some(near) => format!("`noisy` is `{noisy}`; did you mean `{near}`?"),
                        None => format!(
                            "`noisy` is `{noisy}`, which is none of `classifiers`; there are: {}",
                            others().collect::<Vec<_>>().join(", ")
                        ),
                    })
                }
            },
            _ => Ok(()),
        }
    }

    /// Refuses what the networks cannot do.
    ///
    /// # Errors
    /// Names the trace.
    pub(crate) fn check_fit(&self, networks: &Networks) -> Result<()> {
        let fault = |error: &dyn std::fmt::Display| {
            Error::Setting(format!("trace `{}`: {error}", self.name))
        };
        let diffusion = networks.main_diffusion()?;
        self.what
            .steps(&diffusion.schedule)
            .map_err(|error| fault(&error))?;
        let known = networks.protected().network.num_classes();
        match (&self.what, &diffusion.first_stage) {
            (TraceKind::Classification { .. }, Some(_)) => Err(fault(
                &"a classifier cannot see latents; name a diffusion network that works on images",
            )),
            (
                TraceKind::Classification {
                    noisy: Some(name), ..
                },
                None,
            ) => {
                let classes = networks.classifier(name)?.network.num_classes();
                match classes == known {
                    true => Ok(()),
                    false => Err(fault(&format!(
                        "`noisy` knows {classes} classes, the classifier under protection {known}"
                    ))),
                }
            }
            (TraceKind::Inversion { inversion }, Some(_)) => {
                let (unguided, synthesis) = (GuidanceConfig::None {}, SynthesisConfig::default());
                latent::check(&unguided, inversion, &synthesis).map_err(|error| fault(&error))
            }
            _ => Ok(()),
        }
    }
}

/// The training step whose `abar` is nearest; `T` where nothing is left of the image.
fn step_of(schedule: &Schedule, abar: f64) -> usize {
    let levels = schedule.alphas_cumprod();
    if abar <= 0.0 {
        return schedule.steps();
    }
    let above = levels.partition_point(|level| *level >= abar);
    let near = [above.saturating_sub(1), above.min(levels.len() - 1)];
    let off = |step: usize| (levels[step] - abar).abs();
    match off(near[0]) <= off(near[1]) {
        true => near[0],
        false => near[1],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trace(what: &str) -> std::result::Result<Trace, toml::de::Error> {
        toml::from_str(&format!("name = 'a'\ntitle = 'A'\nwhat = {what}"))
    }

    #[test]
    fn an_inversion_is_recorded_at_both_ends_of_its_moves() {
        let schedule = diffguard_guidance::ScheduleConfig::default()
            .init()
            .unwrap();
        let of = |what: &str| trace(what).unwrap().what.steps(&schedule).unwrap();
        let steps = of("{ kind = 'inversion', inversion = { spacing = 'ddim5' } }");
        assert_eq!(steps[0], (Series::PsnrXt, vec![200, 400, 600, 800, 1000]));
        assert_eq!(steps[1], (Series::PsnrX0hat, vec![0, 200, 400, 600, 800]));
        let part = of("{ kind = 'inversion', inversion = { spacing = 'ddim5', reserve = 2 } }");
        assert_eq!(part[0].1, [200, 400, 600]);
        let latent = of("{ kind = 'inversion', inversion = { spacing = 'uniform5' } }");
        assert_eq!(latent[0].1, [1, 201, 401, 601, 801]);
        assert_eq!(latent[1].1, [0, 1, 201, 401, 601]);
        let classified = of("{ kind = 'classification', spacing = 'ddim5', noisy = 'n' }");
        let series: Vec<Series> = classified.iter().map(|(series, _)| *series).collect();
        assert_eq!(
            series,
            [Series::NormalXt, Series::NormalX0hat, Series::NoisyXt]
        );
        assert_eq!(classified[2].1, [0, 200, 400, 600, 800]);
    }

    #[test]
    fn what_means_nothing_is_refused() {
        let classifiers = ["q/normal.toml".to_owned(), "q/noisy.toml".to_owned()];
        for (what, says) in [
            (
                "{ kind = 'classification', noisy = 'q/noisi.toml' }",
                "did you mean `q/noisy.toml`?",
            ),
            (
                "{ kind = 'classification', noisy = 'q/normal.toml' }",
                "under protection",
            ),
            (
                "{ kind = 'inversion', inversion = { early_stop = { psnr = 6.0 } } }",
                "early_stop",
            ),
        ] {
            let error = trace(what).unwrap().check(&classifiers).unwrap_err();
            assert!(
                error.contains(says) && error.contains("trace `a`"),
                "{error}"
            );
        }
        let good = "{ kind = 'classification', noisy = 'q/noisy.toml' }";
        assert_eq!(trace(good).unwrap().check(&classifiers), Ok(()));
        let error = trace("{ kind = 'classification', spacng = 'ddim5' }").unwrap_err();
        assert!(error.to_string().contains("`spacng`"), "{error}");
    }
}
