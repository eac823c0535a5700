//! The work units of a run, and the stages over all of them.

use std::collections::BTreeMap;
use std::time::Instant;

use diffguard_guidance::{GuidanceConfig, Known, SimilarityName};

use super::comparisons::Comparisons;
use crate::Result;
use crate::experiment::{Denoising, Experiment, Guard, Reference};
use crate::networks::{LoadedDiffusion, Networks};
use crate::parts::{Part, Split, Unit};
use crate::pipeline::Pipeline;
use crate::scores::Sample;
use crate::spent::{GuardCost, Spent};
use crate::stages::{
    Encoded, Inversion, Observed, Synthesis, denoise, denoising_columns, encode, invert, noise,
    observe, synthesise,
};

/// A work unit of a part with all that its stages made.
pub(crate) struct Done {
    pub part: usize,
    pub unit: Unit,
    /// By classifier.
    pub observed: Vec<Observed>,
    /// By the network's [key](crate::networks::Provenance::key); none of a network that works on images.
    encoded: BTreeMap<String, Option<Encoded>>,
    /// By inversion name; one a draw, where images are noised.
    pub(super) inverted: BTreeMap<String, Vec<Inversion>>,
    /// By the name of [`Guard::reconstruction`], likewise.
    pub(super) reconstructed: BTreeMap<String, Vec<Synthesis>>,
    /// By guard name, likewise.
    pub(super) synthesised: BTreeMap<String, Vec<Synthesis>>,
    /// What denoising took, by its name.
    pub(super) denoised: BTreeMap<String, Spent>,
}

impl Done {
    pub(super) fn new(part: usize, unit: Unit) -> Self {
        Self {
            part,
            unit,
            observed: Vec::new(),
            encoded: BTreeMap::new(),
            inverted: BTreeMap::new(),
            reconstructed: BTreeMap::new(),
            synthesised: BTreeMap::new(),
            denoised: BTreeMap::new(),
        }
    }

    /// What a diffusion network works on, where that is not the images.
    pub(super) fn encoded(
        &mut self,
        pipeline: &Pipeline,
        set: &str,
        diffusion: &LoadedDiffusion,
    ) -> Result<Option<Encoded>> {
        let network = diffusion.provenance.key();
        if let Some(encoded) = self.encoded.get(&network) {
            return Ok(encoded.clone());
        }
        let encoded = encode(pipeline, set, &self.unit, diffusion)?;
        // Whoever comes later reads it again.
        let mut kept = encoded.clone();
        if let Some(kept) = &mut kept {
            kept.latent.let_go();
        }
        self.encoded.insert(network, kept);
        Ok(encoded)
    }
}

/// Every work unit of every part; of the training images only where a detector fits to them.
pub(super) fn work_units(experiment: &Experiment, parts: &[Part]) -> Vec<Done> {
    let fits = experiment.fits();
    parts
        .iter()
        .enumerate()
        .filter(|(_, part)| fits || part.split != Split::Fit)
        .flat_map(|(part, images)| {
            images
                .units(experiment.batch)
                .into_iter()
                .map(move |unit| (part, unit))
        })
        .map(|(part, unit)| Done::new(part, unit))
        .collect()
}

/// What the classifiers say of the units.
pub(super) fn observe_units(
    experiment: &Experiment,
    networks: &Networks,
    parts: &[Part],
    units: &mut [Done],
    pipeline: &Pipeline,
) -> Result<()> {
    pipeline.each(units, |done| {
        // Baselines fit to what the classifiers that they watch say; the other ensemble members have no say there.
        let fitted_only = parts[done.part].split == Split::Fit && !experiment.each_classifier;
        let count = if fitted_only { 1 } else { usize::MAX };
        for classifier in networks.classifiers.iter().take(count) {
            let set = parts[done.part].set.name();
            let what = format!("{} on {set}", classifier.provenance.name());
            done.observed
                .push(observe(pipeline, &what, &done.unit, classifier)?);
        }
        Ok(())
    })?;
    Ok(())
}

/// Where the syntheses of the units start, and the unconditional reconstructions that guards compare with.
pub(super) fn invert_units(
    experiment: &Experiment,
    networks: &Networks,
    parts: &[Part],
    units: &mut [Done],
    pipeline: &Pipeline,
) -> Result<()> {
    pipeline.each(units, |unit| {
        let set = parts[unit.part].set.name();
        // In memory while this unit is inverted.
        let mut encoded: BTreeMap<String, Option<Encoded>> = BTreeMap::new();
        for (inversion_name, config) in &experiment.inversion {
            let diffusion = networks.diffusion(inversion_name)?;
            let network = diffusion.provenance.key();
            if !encoded.contains_key(&network) {
                encoded.insert(network.clone(), unit.encoded(pipeline, set, diffusion)?);
            }
            let what = format!("{inversion_name} on {set}");
            let (encoded, config) = (
                encoded[&network].as_ref(),
                (inversion_name.as_str(), config),
            );
            let start = |draw| match config.1.draws {
                None => invert(pipeline, &what, &unit.unit, networks, encoded, config),
                Some(_) => {
                    let of = (draw, experiment.seed);
                    noise(pipeline, &unit.unit, networks, encoded, config, of)
                }
            };
            let inverted = (0..config.1.starts()).map(start);
            let mut inverted = inverted.collect::<Result<Vec<_>>>()?;
            for guard in &experiment.guards {
                let (name, synthesis) = guard.reconstruction();
                if !guard.needs_reconstruction()
                    || guard.inversion != *inversion_name
                    || unit.reconstructed.contains_key(&name)
                {
                    continue;
                }
                let nothing = vec![-1; unit.unit.len()];
                let what = format!("reconstruction on {set}");
                let made = inverted.iter().map(|start| {
                    let mut made = synthesise(
                        pipeline,
                        &what,
                        &unit.unit,
                        networks,
                        (diffusion, &config.1.spacing),
                        start,
                        (&GuidanceConfig::None {}, &synthesis),
                        &nothing,
                    )?;
                    made.image.let_go();
                    Ok(made)
                });
                let made = made.collect::<Result<_>>()?;
                unit.reconstructed.insert(name, made);
            }
            inverted.iter_mut().for_each(Inversion::let_go);
            unit.inverted.insert(inversion_name.clone(), inverted);
        }
        Ok(())
    })?;
    Ok(())
}

/// Synthesises and compares all units under some guards; the columns by name. All guards of a unit are run before the
/// next one, so that they share what the networks say of its references and at their first step. No guard is begun after
/// `until`.
pub(super) fn run_guards(
    experiment: &Experiment,
    guards: &[Guard],
    networks: &Networks,
    parts: &[Part],
    units: &mut [Done],
    pipeline: &Pipeline,
    until: Option<Instant>,
) -> Result<Vec<(String, Vec<f64>)>> {
    let compared = pipeline.each(units, |done| {
        let set = parts[done.part].set.name();
        let known = Known {
            logits: &done.observed[0].logits.values,
            classes: networks.protected().network.num_classes(),
            truth: &done.unit.truth,
            samples: &done.unit.samples,
        };
        let mut comparisons = Comparisons::of(done, networks, pipeline)?;
        let (mut compared, mut synthesised) = (Vec::new(), Vec::new());
        for (place, guard) in guards.iter().enumerate() {
            if until.is_some_and(|until| Instant::now() > until) {
                break;
            }
            let labels = guard.label.choose(&known, experiment.seed)?;
            let what = format!("{} on {set}", guard.name);
            let diffusion = networks.diffusion(&guard.inversion)?;
            let spacing = &experiment.inversion[&guard.inversion].spacing;
            let made = done.inverted[&guard.inversion].iter().map(|start| {
                synthesise(
                    pipeline,
                    &what,
                    &done.unit,
                    networks,
                    (diffusion, spacing),
                    start,
                    (&guard.guidance, &guard.synthesis),
                    &labels,
                )
            });
            let mut made = made.collect::<Result<Vec<_>>>()?;
            for reference in &guard.reference {
                let columns = comparisons.columns(&what, guard, &made, *reference)?;
                compared.push((place, *reference, columns));
            }
            made.iter_mut().for_each(|made| made.image.let_go());
            synthesised.push((guard.name.clone(), made));
        }
        drop(comparisons);
        let starts = done.inverted.values_mut().flatten();
        starts.for_each(Inversion::let_go);
        done.synthesised.extend(synthesised);
        Ok(compared)
    })?;
    let mut columns: BTreeMap<(usize, Reference, SimilarityName), Vec<f64>> = BTreeMap::new();
    for (place, reference, unit) in compared.into_iter().flatten() {
        for (similarity, values) in unit {
            columns
                .entry((place, reference, similarity))
                .or_default()
                .extend(values);
        }
    }
    Ok(columns
        .into_iter()
        .map(|((place, reference, similarity), values)| {
            (guards[place].column(reference, similarity), values)
        })
        .collect())
}

/// Denoises all units; the columns by name. Nothing is begun after `until`.
pub(super) fn denoise_units(
    experiment: &Experiment,
    denoisings: &[Denoising],
    networks: &Networks,
    parts: &[Part],
    units: &mut [Done],
    pipeline: &Pipeline,
    until: Option<Instant>,
) -> Result<Vec<(String, Vec<f64>)>> {
    if denoisings.is_empty() {
        return Ok(Vec::new());
    }
    let diffusion = networks.main_diffusion()?;
    let scored = pipeline.each(units, |done| {
        let set = parts[done.part].set.name();
        let encoded = done.encoded(pipeline, set, diffusion)?;
        let predicted = done.observed[0].predictions();
        let mut columns = Vec::new();
        for denoising in denoisings {
            if until.is_some_and(|until| Instant::now() > until) {
                break;
            }
            let made = denoise(
                pipeline,
                &format!("{} on {set}", denoising.name),
                &done.unit,
                diffusion,
                encoded.as_ref(),
                (&denoising.noise, experiment.seed),
                &predicted,
            )?;
            let errors = &made.errors;
            columns.extend(denoising_columns(
                denoising,
                &errors.values,
                errors.shape[2],
            ));
            done.denoised.insert(denoising.name.clone(), made.spent);
        }
        Ok(columns)
    })?;
    let mut columns: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    for (column, values) in scored.into_iter().flatten() {
        columns.entry(column).or_default().extend(values);
    }
    Ok(columns.into_iter().collect())
}

/// What each guard costs an image: its inversion, if it has one, and all its syntheses; and, where a reference takes it, with the
/// unconditional reconstruction. What denoising costs, by its columns.
pub(super) fn costs(experiment: &Experiment, units: &[Done]) -> BTreeMap<String, GuardCost> {
    let cost = |guard: &Guard, reconstructs: bool| {
        let of_unit = |done: &Done| {
            let of = |made: &Synthesis| made.spent;
            let inverted = done.inverted.get(&guard.inversion).into_iter().flatten();
            let synthesised = done.synthesised.get(&guard.name).into_iter().flatten();
            let reconstructed = done.reconstructed.get(&guard.reconstruction().0);
            let reconstructed = reconstructed.filter(|_| reconstructs).into_iter().flatten();
            let mut spent = Spent::default();
            inverted
                .map(|made| made.spent)
                .chain(synthesised.map(of))
                .chain(reconstructed.map(of))
                .for_each(|stage| spent += stage);
            (spent, done.unit.len())
        };
        let units: Vec<_> = units.iter().map(of_unit).collect();
        let key = GuardCost::key(&guard.name, reconstructs);
        (key, GuardCost::of(&units))
    };
    let mut costs = BTreeMap::new();
    for guard in &experiment.guards {
        costs.extend([cost(guard, false)]);
        costs.extend(guard.needs_reconstruction().then(|| cost(guard, true)));
    }
    for denoising in &experiment.denoisings {
        for (column, after) in denoising.columns() {
            let share = after as f64 / denoising.noise.rounds as f64;
            let spent = |done: &Done| Some((*done.denoised.get(&denoising.name)?, done.unit.len()));
            let units: Vec<_> = units.iter().filter_map(spent).collect();
            costs.insert(column, GuardCost::of(&units).scaled(share));
        }
    }
    costs
}

pub(super) fn samples(parts: &[Part], done: &[Done]) -> Vec<Sample> {
    done.iter()
        .flat_map(|unit| {
            let part = &parts[unit.part];
            let predictions = unit.observed[0].predictions();
            predictions
                .into_iter()
                .enumerate()
                .map(|(i, predicted)| Sample {
                    split: part.split,
                    set: part.set.name().to_owned(),
                    id: part.set.ids()[unit.unit.first + i].clone(),
                    label: part.set.labels()[unit.unit.first + i],
                    predicted: predicted as i64,
                })
        })
        .collect()
}
