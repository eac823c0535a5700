//! Which settings there are, and what of them is stored.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use diffguard_guidance::{GuidanceConfig, Known, LabelSource, Trajectory};
use diffguard_ood::detectors::{self, Need, Odin};
use rayon::prelude::*;

use super::Bench;
use super::setting::{Of, Setting, Where};
use crate::Result;
use crate::bench::units::Done;
use crate::experiment::{Guard, Reference, Tune};
use crate::parts::Split;
use crate::pipeline::Pipeline;
use crate::stages::{
    COMPARE, DENOISE, ENCODE, INVERT, OBSERVE, PERTURB, STAGES, SYNTHESISE, TRACE, compare_key,
    denoise_key, encode_key, invert_key, noise_key, observe_key, perturb_key, predictions, spans,
    synthesise_key, trace_key,
};
use crate::store::{Array, Key};

/// Stored outputs of a setting that are read for its rate.
const SAMPLES: usize = 4;

/// What is known of a setting in a work unit.
#[derive(Default)]
struct Seen {
    images: u64,
    stored: u64,
    sample: Option<(Key, usize)>,
}

impl Seen {
    fn add(&mut self, images: usize, key: Option<&Key>) {
        self.images += images as u64;
        if let Some(key) = key {
            self.stored += images as u64;
            self.sample = Some((key.clone(), images));
        }
    }

    fn add_made(&mut self, images: usize) {
        self.images += images as u64;
        self.stored += images as u64;
    }
}

/// Stages of the run by name, and the keys of what they have stored.
type Stored = BTreeMap<&'static str, HashSet<String>>;

impl Bench<'_> {
    /// Every stage under every setting, each after what it depends on.
    pub(super) fn settings(&self) -> Result<Vec<Setting>> {
        let (experiment, classifiers) = (self.experiment, &self.networks.classifiers);
        let mut settings: Vec<Setting> = classifiers
            .iter()
            .enumerate()
            .map(|(i, classifier)| {
                Setting::new(Of::Observe(i), OBSERVE, classifier.provenance.name())
            })
            .collect();
        for (i, classifier) in classifiers.iter().enumerate() {
            if i > 0 && !experiment.each_classifier {
                break;
            }
            for choice in &experiment.detectors {
                let entry = detectors::entry(&choice.name)?;
                if !entry.needs.contains(&Need::Perturbed) {
                    continue;
                }
                let name = format!("{} at {}", choice.row(), classifier.provenance.name());
                let grid = match &choice.tune {
                    None | Some(Tune::Switch(false)) => {
                        let steps = vec![Odin::read(choice.parameters.clone())?];
                        let of = Of::Perturb(i, steps, Where::Both);
                        settings.push(Setting::new(of, PERTURB, name));
                        continue;
                    }
                    Some(Tune::Switch(true)) => None,
                    Some(Tune::Grid(grid)) => Some(grid),
                };
                let (_, tables) = entry.candidates(&choice.parameters, grid)?;
                let steps = tables
                    .into_iter()
                    .map(Odin::read)
                    .collect::<Result<Vec<_>, _>>()?;
                let tried = format!("{name}, {} steps on validation", steps.len());
                let of = Of::Perturb(i, steps.clone(), Where::Validation);
                settings.push(Setting::new(of, PERTURB, tried));
                let of = Of::Perturb(i, steps, Where::Test);
                settings.push(Setting::new(
                    of,
                    PERTURB,
                    format!("{name}, the chosen step"),
                ));
            }
        }
        let mut encoding = BTreeSet::new();
        for name in experiment.inversion.keys() {
            let diffusion = self.networks.diffusion(name)?;
            if diffusion.first_stage.is_some() && encoding.insert(diffusion.provenance.key()) {
                let shown = diffusion.provenance.name();
                settings.push(Setting::new(Of::Encode(name.clone()), ENCODE, shown));
            }
        }
        for (wanted, of) in [
            (!experiment.denoisings.is_empty(), Of::EncodeDenoised),
            (!experiment.traces.is_empty(), Of::EncodeTraced),
        ] {
            if !wanted {
                continue;
            }
            let diffusion = self.networks.main_diffusion()?;
            if diffusion.first_stage.is_some() && encoding.insert(diffusion.provenance.key()) {
                settings.push(Setting::new(of, ENCODE, diffusion.provenance.name()));
            }
        }
        for (name, config) in &experiment.inversion {
            if config.draws.is_none() {
                settings.push(Setting::new(Of::Invert(name.clone()), INVERT, name));
            }
        }
        let mut known = BTreeSet::new();
        for (i, guard) in experiment.guards.iter().enumerate() {
            let (name, _) = guard.reconstruction();
            if guard.needs_reconstruction() && known.insert(name.clone()) {
                let shown = format!("reconstruction of {}", guard.inversion);
                settings.push(Setting::new(Of::Reconstruct(name, i), SYNTHESISE, shown));
            }
        }
        for (i, guard) in experiment.guards.iter().enumerate() {
            settings.push(Setting::new(Of::Synthesise(i), SYNTHESISE, &guard.name));
        }
        for (i, guard) in experiment.guards.iter().enumerate() {
            settings.push(Setting::new(Of::Compare(i), COMPARE, &guard.name));
        }
        if let Some(headline) = &experiment.headline
            && headline.oracle
        {
            for (i, guard) in experiment.guards.iter().enumerate() {
                let names = headline.guards.as_ref();
                let stands = names.is_none_or(|names| names.contains(&guard.name));
                if stands && guard.label == LabelSource::Predicted {
                    let shown = "the elected guard under oracle labels";
                    settings.push(Setting::new(Of::Oracle(i), SYNTHESISE, shown));
                }
            }
        }
        let classes = self.networks.protected().network.num_classes();
        for (i, denoising) in experiment.denoisings.iter().enumerate() {
            let noise = &denoising.noise;
            let spans = spans(noise);
            let several = spans.len() > 1;
            for rounds in spans {
                let mut shown = denoising.name.clone();
                if several {
                    shown += &format!(", rounds {} to {}", rounds.start + 1, rounds.end);
                }
                let moves = noise.evaluations(classes) * rounds.len() / noise.rounds;
                let of = Of::Denoise(i, rounds);
                let mut setting = Setting::new(of, DENOISE, shown);
                setting.moves = moves;
                settings.push(setting);
            }
        }
        for (i, trace) in experiment.traces.iter().enumerate() {
            settings.push(Setting::new(Of::Trace(i), TRACE, &trace.name));
        }
        for setting in &mut settings {
            let name = match &setting.of {
                Of::Invert(name) => name,
                Of::Reconstruct(_, guard) | Of::Synthesise(guard) | Of::Oracle(guard) => {
                    &experiment.guards[*guard].inversion
                }
                _ => continue,
            };
            let config = &experiment.inversion[name];
            let schedule = &self.networks.diffusion(name)?.schedule;
            setting.moves = config.moves(&Trajectory::new(schedule, &config.spacing)?)?;
        }
        Ok(settings)
    }

    /// Counts what the settings have to do on `units`, and what of it is stored.
    pub(super) fn look(
        &self,
        units: &[Done],
        pipeline: &Pipeline,
        settings: &mut [Setting],
    ) -> Result<()> {
        let mut stored = Stored::new();
        for stage in STAGES {
            let keys = match pipeline.force {
                true => HashSet::new(),
                false => pipeline.store.keys(stage)?,
            };
            stored.insert(stage, keys);
        }
        let seen = units
            .par_iter()
            .map(|done| self.look_at(done, pipeline, &stored, settings))
            .collect::<Result<Vec<_>>>()?;
        for seen in seen {
            for (setting, seen) in settings.iter_mut().zip(seen) {
                setting.images += seen.images;
                setting.stored += seen.stored;
                if setting.samples.len() < SAMPLES {
                    setting.samples.extend(seen.sample);
                }
            }
        }
        Ok(())
    }

    fn look_at(
        &self,
        done: &Done,
        pipeline: &Pipeline,
        stored: &Stored,
        settings: &[Setting],
    ) -> Result<Vec<Seen>> {
        let (experiment, networks, unit) = (self.experiment, self.networks, &done.unit);
        let split = self.parts[done.part].split;
        let (images, guards) = (unit.len(), &experiment.guards);
        let starts = |guard: &Guard| experiment.inversion[&guard.inversion].starts();
        let is_stored = |stage: &str, key: &Key| {
            let keys = stored.get(stage);
            keys.is_some_and(|keys| keys.contains(key.as_str()))
        };
        let mut logits: Option<Array> = None;
        // One key a draw, where images are noised.
        let mut inverted: BTreeMap<&str, Vec<Key>> = BTreeMap::new();
        let mut reconstructed: BTreeMap<&str, Vec<Key>> = BTreeMap::new();
        let mut synthesised: BTreeMap<usize, Vec<Key>> = BTreeMap::new();
        let mut contrasted = BTreeSet::new();
        // By the settings so far: another one with the same key finds it stored.
        let mut made: HashSet<Key> = HashSet::new();
        for (name, config) in &experiment.inversion {
            let Some(draws) = config.draws.filter(|_| split != Split::Fit) else {
                continue;
            };
            let encoded = encode_key(pipeline, unit, networks.diffusion(name)?)?;
            let config = (name.as_str(), config);
            let key = |draw| {
                let of = (draw, experiment.seed);
                noise_key(pipeline, unit, networks, encoded.as_ref(), config, of)
            };
            inverted.insert(name, (0..draws).map(key).collect::<Result<_>>()?);
        }
        let mut all = Vec::new();
        for setting in settings {
            let mut seen = Seen::default();
            // What may be stored under any of these keys: none where a key is not known yet.
            let mut count = |stage: &str, keys: &[Key]| -> Option<Key> {
                let key = keys.iter().find(|key| is_stored(stage, key)).cloned();
                match keys {
                    [one] if key.is_none() && !made.insert(one.clone()) => seen.add_made(images),
                    _ => seen.add(images, key.as_ref()),
                }
                key
            };
            let synthesis = |guard: &Guard, label: LabelSource| -> Result<Vec<Key>> {
                let starts = inverted.get(guard.inversion.as_str()).into_iter().flatten();
                let how = (&guard.guidance, &guard.synthesis);
                let Some(logits) = &logits else {
                    // Nothing is stored under such a key; who asks for the same again meets it.
                    let unknown = |start| {
                        let without = synthesise_key(networks, start, how, &[]);
                        Key::of(format!("{label:?} {}", without.as_str()).as_bytes())
                    };
                    return Ok(starts.map(unknown).collect());
                };
                let known = Known {
                    logits: &logits.values,
                    classes: networks.protected().network.num_classes(),
                    truth: &unit.truth,
                    samples: &unit.samples,
                };
                let labels = label.choose(&known, experiment.seed)?;
                Ok(starts
                    .map(|start| synthesise_key(networks, start, how, &labels))
                    .collect())
            };
            match &setting.of {
                Of::Observe(i) => {
                    let fitted_only = split == Split::Fit && !experiment.each_classifier;
                    if !fitted_only || *i == 0 {
                        let key = observe_key(pipeline, unit, &networks.classifiers[*i])?;
                        let found = count(OBSERVE, &[key]);
                        if let (0, Some(key)) = (*i, found)
                            && split != Split::Fit
                        {
                            let output = pipeline.store.get(OBSERVE, &key)?;
                            logits = output.and_then(|mut output| output.arrays.remove("logits"));
                        }
                    }
                }
                _ if split == Split::Fit => {}
                Of::Perturb(i, steps, place) => {
                    let validation = matches!(split, Split::IdVal | Split::OodVal);
                    let here = match place {
                        Where::Validation => validation,
                        Where::Test => !validation,
                        Where::Both => true,
                    };
                    let key = |step| perturb_key(pipeline, unit, &networks.classifiers[*i], step);
                    let keys = steps.iter().map(key).collect::<Result<Vec<_>>>()?;
                    match (here, place) {
                        (false, _) => {}
                        (true, Where::Validation) => keys.iter().for_each(|key| {
                            count(PERTURB, std::slice::from_ref(key));
                        }),
                        (true, _) => {
                            count(PERTURB, &keys);
                        }
                    }
                }
                Of::Encode(name) => {
                    let key = encode_key(pipeline, unit, networks.diffusion(name)?)?;
                    count(ENCODE, key.as_slice());
                }
                Of::Invert(name) => {
                    let encoded = encode_key(pipeline, unit, networks.diffusion(name)?)?;
                    let config = (name.as_str(), &experiment.inversion[name]);
                    let key = invert_key(pipeline, unit, networks, encoded.as_ref(), config)?;
                    count(INVERT, std::slice::from_ref(&key));
                    inverted.insert(name, vec![key]);
                }
                Of::Reconstruct(name, guard) => {
                    let nothing = vec![-1; images];
                    let how = (&GuidanceConfig::None {}, &guards[*guard].reconstruction().1);
                    let starts = inverted.get(guards[*guard].inversion.as_str());
                    let key = |start| synthesise_key(networks, start, how, &nothing);
                    let keys: Vec<Key> = starts.into_iter().flatten().map(key).collect();
                    for key in &keys {
                        count(SYNTHESISE, std::slice::from_ref(key));
                    }
                    reconstructed.insert(name, keys);
                }
                Of::Synthesise(guard) => {
                    let keys = synthesis(&guards[*guard], guards[*guard].label)?;
                    for key in &keys {
                        count(SYNTHESISE, std::slice::from_ref(key));
                    }
                    synthesised.insert(*guard, keys);
                }
                Of::Compare(place) => {
                    let guard = &guards[*place];
                    for reference in &guard.reference {
                        // What a contrast shares with the guard's other reference, or with another guard, is compared
                        // once.
                        let (own, first) = match reference {
                            Reference::Contrast => {
                                let of = (guard.reconstruction().0, guard.similarity.clone());
                                let own = !guard.reference.contains(&Reference::Input);
                                (own, contrasted.insert(of))
                            }
                            _ => (true, false),
                        };
                        let input = Some(unit.key()?);
                        for draw in 0..starts(guard) {
                            let made = synthesised.get(place).and_then(|made| made.get(draw));
                            let without = reconstructed.get(guard.reconstruction().0.as_str());
                            let without = without.and_then(|made| made.get(draw));
                            let with = match reference {
                                Reference::Input | Reference::Contrast => input,
                                Reference::Reconstruction => without,
                            };
                            for (wanted, made, with) in [(own, made, with), (first, without, input)]
                            {
                                let key = made.zip(with).map(|(made, with)| {
                                    compare_key(pipeline, networks, made, with, &guard.similarity)
                                });
                                if wanted {
                                    count(COMPARE, key.as_slice());
                                }
                            }
                        }
                    }
                }
                Of::EncodeDenoised => {
                    let key = encode_key(pipeline, unit, networks.main_diffusion()?)?;
                    count(ENCODE, key.as_slice());
                }
                Of::Denoise(place, rounds) => {
                    let diffusion = networks.main_diffusion()?;
                    let encoded = encode_key(pipeline, unit, diffusion)?;
                    let noise = &experiment.denoisings[*place].noise;
                    let how = (noise, rounds, experiment.seed);
                    let key = logits.as_ref().map(|logits| {
                        let predicted = predictions(logits);
                        denoise_key(pipeline, unit, diffusion, encoded.as_ref(), how, &predicted)
                    });
                    count(DENOISE, key.transpose()?.as_slice());
                }
                // Test images alone are traced.
                Of::EncodeTraced | Of::Trace(_) if !split.is_test() => {}
                Of::EncodeTraced => {
                    let key = encode_key(pipeline, unit, networks.main_diffusion()?)?;
                    count(ENCODE, key.as_slice());
                }
                Of::Trace(place) => {
                    let encoded = encode_key(pipeline, unit, networks.main_diffusion()?)?;
                    let what = &experiment.traces[*place].what;
                    let key = trace_key(pipeline, unit, networks, encoded.as_ref(), what)?;
                    count(TRACE, &[key]);
                }
                Of::Oracle(guard) => {
                    let keys = synthesis(&guards[*guard], LabelSource::Oracle)?;
                    for key in &keys {
                        count(SYNTHESISE, std::slice::from_ref(key));
                    }
                }
            }
            all.push(seen);
        }
        Ok(all)
    }
}
