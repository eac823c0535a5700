//! A few images through every setting that has no rate yet.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::Bench;
use super::setting::{Of, Rate, Setting, mean};
use crate::Result;
use crate::bench::traces::trace_units;
use crate::bench::units::{Done, denoise_units, invert_units, observe_units, run_guards};
use crate::experiment::{Denoising, Experiment, Guard};
use crate::parts::Split;
use crate::pipeline::Pipeline;
use crate::stages::perturb;

/// Images of a worker in the probe at most.
const PROBE_IMAGES: u64 = 8;

/// One image is probed for so many that have to be computed.
const PROBE_SHARE: u64 = 100;

/// No setting is begun by a probe that took this long; its rate is taken from the others.
const PROBE_TIME: Duration = Duration::from_secs(20);

impl Bench<'_> {
    /// Runs a few images through every setting that has something to compute and no rate yet; how many images, and how
    /// long it took. Settings that are not reached in time get the mean rate of their stage.
    pub(super) fn probe(
        &self,
        pipeline: &Pipeline,
        settings: &mut [Setting],
    ) -> Result<Option<(usize, Duration)>> {
        let unknown = |setting: &Setting| {
            setting.missing() > 0 && setting.rate.is_none() && !matches!(setting.of, Of::Oracle(_))
        };
        let Some(most) = settings
            .iter()
            .filter(|it| unknown(it))
            .map(Setting::missing)
            .max()
        else {
            return Ok(None);
        };
        let Some(part) = self.parts.iter().position(|it| it.split == Split::IdTest) else {
            return Ok(None);
        };
        let each = (most / PROBE_SHARE).clamp(1, PROBE_IMAGES) as usize;
        let each = each.min(self.experiment.batch);
        // As many units side by side as in the run: they get into each other's way there too.
        let some = || -> Vec<Done> {
            let units = self.parts[part].units(each).into_iter();
            units
                .take(rayon::current_num_threads())
                .map(|unit| Done::new(part, unit))
                .collect()
        };
        let wanted: Vec<Of> = settings
            .iter()
            .filter(|it| unknown(it))
            .map(|it| it.of.clone())
            .collect();
        // A classifier's first pass takes several times as long as the others, and all of the training images may go through it.
        if wanted.iter().any(|of| matches!(of, Of::Observe(_))) {
            let (mut first, scratch) = (some(), pipeline.scratch());
            observe_units(
                self.experiment,
                self.networks,
                self.parts,
                &mut first,
                &scratch,
            )?;
        }
        let begun = Instant::now();
        let mut units = some();
        let images = units.iter().map(|done| done.unit.len()).sum();
        let scratch = pipeline.scratch();
        self.try_out(&wanted, &mut units, &scratch, begun)?;

        let mut tried = self.settings()?;
        self.look(&units, &scratch, &mut tried)?;
        for (setting, tried) in settings.iter_mut().zip(&tried) {
            if setting.rate.is_none() {
                setting.rate = tried.measured(&scratch.store, "probe")?;
            }
        }
        let means: Vec<Option<Rate>> = settings.iter().map(|it| mean(it, settings)).collect();
        for (setting, mean) in settings.iter_mut().zip(means) {
            if !matches!(setting.of, Of::Oracle(_)) {
                setting.rate = setting.rate.or(mean);
            }
        }
        Ok(Some((images, begun.elapsed())))
    }

    /// Runs what is `wanted`, and what it depends on, into the store of `scratch`.
    fn try_out(
        &self,
        wanted: &[Of],
        units: &mut [Done],
        scratch: &Pipeline,
        begun: Instant,
    ) -> Result<()> {
        let (experiment, networks, parts) = (self.experiment, self.networks, self.parts);
        observe_units(experiment, networks, parts, units, scratch)?;
        for of in wanted {
            if let Of::Perturb(i, steps, _) = of
                && let Some(step) = steps.first()
            {
                scratch.each(units, |done| {
                    let classifier = &networks.classifiers[*i];
                    perturb(scratch, "probe", &done.unit, classifier, step).map(|_| ())
                })?;
            }
        }
        for (place, traced) in experiment.traces.iter().enumerate() {
            if begun.elapsed() <= PROBE_TIME && wanted.contains(&Of::Trace(place)) {
                let alone = Experiment {
                    traces: vec![traced.clone()],
                    ..experiment.clone()
                };
                trace_units(&alone, networks, parts, units, scratch)?;
            }
        }
        for (name, inversion) in &experiment.inversion {
            let needs = |of: &Of| match of {
                Of::Encode(wanted) | Of::Invert(wanted) => wanted == name,
                Of::Reconstruct(_, guard) | Of::Synthesise(guard) | Of::Compare(guard) => {
                    experiment.guards[*guard].inversion == *name
                }
                Of::Observe(_)
                | Of::Perturb(..)
                | Of::Oracle(_)
                | Of::EncodeDenoised
                | Of::Denoise(..)
                | Of::EncodeTraced
                | Of::Trace(_) => false,
            };
            if begun.elapsed() > PROBE_TIME || !wanted.iter().any(needs) {
                continue;
            }
            // Guards come in only for the reconstructions that they are compared with.
            let alone = Experiment {
                inversion: BTreeMap::from([(name.clone(), inversion.clone())]),
                ..experiment.clone()
            };
            invert_units(&alone, networks, parts, units, scratch)?;
            // Together, as in the run: they share their first step.
            let asked = |place: usize| {
                wanted.contains(&Of::Synthesise(place)) || wanted.contains(&Of::Compare(place))
            };
            let guards: Vec<Guard> = experiment
                .guards
                .iter()
                .enumerate()
                .filter(|(place, guard)| guard.inversion == *name && asked(*place))
                .map(|(_, guard)| guard.clone())
                .collect();
            let until = Some(begun + PROBE_TIME);
            run_guards(&alone, &guards, networks, parts, units, scratch, until)?;
        }
        let denoisings: Vec<Denoising> = experiment
            .denoisings
            .iter()
            .enumerate()
            .filter(|(place, _)| {
                let own = |of: &Of| matches!(of, Of::Denoise(of, _) if of == place);
                wanted.iter().any(own)
            })
            .map(|(_, denoising)| denoising.clone())
            .collect();
        let until = Some(begun + PROBE_TIME);
        denoise_units(
            experiment,
            &denoisings,
            networks,
            parts,
            units,
            scratch,
            until,
        )?;
        Ok(())
    }
}
