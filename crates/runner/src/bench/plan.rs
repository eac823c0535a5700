//! The plan: before a run computes anything, what is stored already, what it will compute, and what that takes.
//!
//! Outputs are looked up under the very keys that the run will look them up under. Where a label depends on an
//! observation that is not stored, so does the synthesis, which then counts as not stored.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fmt;
use std::time::{Duration, Instant};

use diffguard_guidance::{Cost, GuidanceConfig, Known, LabelSource};
use diffguard_ood::detectors::{self, Need, Odin};
use diffguard_report::table::{Column, Line, Mark, Part as Text, Sheet};
use rayon::prelude::*;

use super::{Done, invert_units, observe_units, run_guards, work_units};
use crate::Result;
use crate::experiment::{Experiment, Guard, Reference, Tune};
use crate::networks::Networks;
use crate::parts::{Part, Split};
use crate::pipeline::Pipeline;
use crate::progress::{Work, duration};
use crate::shard::Shard;
use crate::stages::{
    COMPARE, ENCODE, INVERT, OBSERVE, PERTURB, STAGES, SYNTHESISE, compare_key, encode_key,
    invert_key, observe_key, perturb, perturb_key, synthesise_key,
};
use crate::store::{Array, Key, Store};

/// Stored outputs of a setting that are read for its rate.
const SAMPLES: usize = 4;

/// Images of a worker in the probe at most.
const PROBE_IMAGES: u64 = 8;

/// One image is probed for so many that have to be computed.
const PROBE_SHARE: u64 = 100;

/// No setting is begun by a probe that took this long; its rate is taken from the others.
const PROBE_TIME: Duration = Duration::from_secs(20);

/// What a run will do.
pub struct Plan {
    experiment: String,
    device: String,
    workers: usize,
    batch: usize,
    settings: Vec<Setting>,
    sets: Vec<(Split, String, usize)>,
    cells: Vec<String>,
    probe: Option<(usize, Duration)>,
    free: Option<u64>,
    place: String,
}

/// A stage under one setting.
struct Setting {
    of: Of,
    stage: &'static str,
    name: String,
    images: u64,
    stored: u64,
    /// Some of the stored outputs, and their images.
    samples: Vec<(Key, usize)>,
    rate: Option<Rate>,
}

/// What a setting is.
#[derive(Clone, PartialEq)]
enum Of {
    /// A classifier by its place.
    Observe(usize),
    /// A classifier by its place, the steps that ODIN may take, and where.
    Perturb(usize, Vec<Odin>, Where),
    /// An inversion by name, whose diffusion network works on latents.
    Encode(String),
    /// An inversion by name.
    Invert(String),
    /// A reconstruction by name, and a guard that is compared with it.
    Reconstruct(String, usize),
    /// A guard by its place.
    Synthesise(usize),
    /// A guard by its place, with all of its references.
    Compare(usize),
    /// A guard by its place, should it be elected.
    Oracle(usize),
}

#[derive(Clone, Copy, PartialEq)]
enum Where {
    Validation,
    Test,
    Both,
}

/// What a setting takes, an image.
#[derive(Clone, Copy)]
struct Rate {
    /// Of one worker.
    seconds: f64,
    unet_rows: f64,
    bytes: f64,
    from: &'static str,
}

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
}

/// Stages of the run by name, and the keys of what they have stored.
type Stored = BTreeMap<&'static str, HashSet<String>>;

impl Plan {
    /// What a run of `experiment` over `units` will do. Settings of which nothing is stored are tried on a few images,
    /// whose outputs are thrown away.
    ///
    /// # Errors
    /// When an image or the store cannot be read; what the stages meet in the probe.
    pub(super) fn of(
        name: &str,
        experiment: &Experiment,
        networks: &Networks,
        parts: &[Part],
        units: &[Done],
        pipeline: &Pipeline,
    ) -> Result<Self> {
        let bench = Bench {
            experiment,
            networks,
            parts,
        };
        let mut settings = bench.settings()?;
        bench.look(units, pipeline, &mut settings)?;
        for setting in &mut settings {
            setting.rate = setting.measured(&pipeline.store, "stored")?;
        }
        let probe = bench.probe(pipeline, &mut settings)?;
        elected(&mut settings);
        let sets = parts
            .iter()
            .map(|part| (part.split, part.set.name().to_owned(), part.set.len()));
        let place = pipeline.store.place();
        Ok(Self {
            experiment: name.to_owned(),
            device: pipeline.device_name.clone(),
            workers: rayon::current_num_threads(),
            batch: experiment.batch,
            settings,
            sets: sets.collect(),
            cells: experiment
                .cells
                .iter()
                .map(|cell| cell.guard.clone())
                .collect(),
            probe,
            free: pipeline.store.free_bytes(),
            place,
        })
    }

    /// What each stage has to compute.
    pub(super) fn work(&self) -> BTreeMap<&'static str, Work> {
        let mut work: BTreeMap<&'static str, Work> = BTreeMap::new();
        for setting in &self.settings {
            let of_stage = work.entry(setting.stage).or_default();
            of_stage.images += setting.missing();
            of_stage.seconds += setting.seconds();
        }
        work
    }

    /// Images that some stage has to compute, counted once a stage and setting.
    pub fn missing(&self) -> u64 {
        self.settings.iter().map(Setting::missing).sum()
    }

    /// The same of one stage.
    pub fn missing_of(&self, stage: &str) -> u64 {
        let of_stage = self.settings.iter().filter(|it| it.stage == stage);
        of_stage.map(Setting::missing).sum()
    }

    /// U-Net evaluations that will be computed.
    pub fn unet_evaluations(&self) -> f64 {
        self.total(|rate| rate.unet_rows)
    }

    /// Wall-clock seconds that the stages will take, about.
    pub fn seconds(&self) -> f64 {
        self.total(|rate| rate.seconds) / self.workers as f64
    }

    /// Bytes that will be stored, about.
    pub fn bytes(&self) -> f64 {
        self.total(|rate| rate.bytes)
    }

    fn total(&self, of: impl Fn(&Rate) -> f64) -> f64 {
        let each = self.settings.iter().map(|setting| setting.total(&of));
        each.sum()
    }

    fn sheet(&self) -> Sheet {
        let mut columns = vec![Column::words("stage"), Column::words("setting")];
        let numbers = [
            "images",
            "stored",
            "to compute",
            "U-Net evaluations",
            "time",
            "disk",
        ];
        columns.extend(numbers.map(|title| Column::numbers("", title)));
        columns.push(Column::words("measured on"));
        let lines = self
            .settings
            .iter()
            .map(|setting| {
                let known = |value: fn(&Rate) -> f64| {
                    let any = setting.rate.is_some() || setting.missing() == 0;
                    any.then(|| setting.total(value))
                };
                let or_unknown = |text: Option<String>| text.unwrap_or_else(|| "?".to_owned());
                let time = known(|rate| rate.seconds);
                let cells = [
                    setting.stage.to_owned(),
                    setting.name.clone(),
                    setting.images.to_string(),
                    setting.stored.to_string(),
                    setting.missing().to_string(),
                    or_unknown(known(|rate| rate.unet_rows).map(|rows| format!("{rows:.0}"))),
                    or_unknown(time.map(|seconds| duration(seconds / self.workers as f64))),
                    or_unknown(known(|rate| rate.bytes).map(size)),
                    match (setting.missing(), setting.rate) {
                        (0, _) | (_, None) => String::new(),
                        (_, Some(rate)) => rate.from.to_owned(),
                    },
                ];
                let cells = cells.into_iter().map(|text| vec![Text::plain(text)]);
                Line::Row(cells.collect())
            })
            .collect();
        Sheet {
            title: String::new(),
            columns,
            lines,
            notes: Vec::new(),
        }
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sets: Vec<String> = self
            .sets
            .iter()
            .map(|(split, name, images)| format!("{name} ({}) {images}", split.name()))
            .collect();
        writeln!(f, "plan of {}: {}", self.experiment, sets.join(", "))?;
        writeln!(
            f,
            "device {}, {} workers, work units of {} images, store {}",
            self.device, self.workers, self.batch, self.place
        )?;
        if !self.cells.is_empty() {
            writeln!(f, "{} cells: {}", self.cells.len(), self.cells.join("; "))?;
        }
        writeln!(f, "\n{}", self.sheet().to_terminal(Mark::Star))?;
        if self.missing() == 0 {
            return writeln!(f, "everything is stored: nothing to compute");
        }
        writeln!(
            f,
            "to compute: {} images through stages, {:.0} U-Net evaluations, about {}; fits, metrics and plots apart",
            self.missing(),
            self.unet_evaluations(),
            duration(self.seconds())
        )?;
        if let Some((images, took)) = self.probe {
            writeln!(
                f,
                "the probe ran {images} images in {}",
                duration(took.as_secs_f64())
            )?;
        }
        write!(f, "disk: about {}", size(self.bytes()))?;
        match self.free {
            Some(free) if self.bytes() > free as f64 => writeln!(
                f,
                ", but only {} are free: free some space, or give another folder with --store",
                size(free as f64)
            ),
            Some(free) => writeln!(f, " of {} free", size(free as f64)),
            None => writeln!(f),
        }
    }
}

fn size(bytes: f64) -> String {
    crate::data::size(bytes.round() as u64)
}

/// Of all guards that may be elected, one alone will run again under oracle labels: the one of which the most is
/// stored, else the one that takes longest.
fn elected(settings: &mut Vec<Setting>) {
    let oracle = |setting: &Setting| matches!(setting.of, Of::Oracle(_));
    let rate_of = |guard: usize, settings: &[Setting]| {
        let own = settings
            .iter()
            .find(|setting| setting.of == Of::Synthesise(guard));
        own.and_then(|setting| setting.rate)
    };
    for i in 0..settings.len() {
        if let (Of::Oracle(guard), None) = (&settings[i].of, settings[i].rate) {
            settings[i].rate = rate_of(*guard, settings);
        }
    }
    let kept = settings
        .iter()
        .enumerate()
        .filter(|(_, setting)| oracle(setting))
        .max_by(|(_, a), (_, b)| {
            let order = a.stored.cmp(&b.stored);
            order.then(a.seconds().total_cmp(&b.seconds()))
        })
        .map(|(i, _)| i);
    let mut place = 0;
    settings.retain(|setting| {
        place += 1;
        !oracle(setting) || Some(place - 1) == kept
    });
}

impl Setting {
    fn new(of: Of, stage: &'static str, name: impl Into<String>) -> Self {
        Self {
            of,
            stage,
            name: name.into(),
            images: 0,
            stored: 0,
            samples: Vec::new(),
            rate: None,
        }
    }

    fn missing(&self) -> u64 {
        self.images - self.stored
    }

    fn total(&self, of: impl Fn(&Rate) -> f64) -> f64 {
        self.rate
            .map_or(0.0, |rate| self.missing() as f64 * of(&rate))
    }

    /// Of one worker.
    fn seconds(&self) -> f64 {
        self.total(|rate| rate.seconds)
    }

    /// What the samples in a store took.
    fn measured(&self, store: &Store, from: &'static str) -> Result<Option<Rate>> {
        let (mut images, mut seconds, mut bytes, mut cost) = (0, 0.0, 0.0, Cost::default());
        for (key, of) in &self.samples {
            // One that is not whole is computed again.
            let Some(output) = store.get(self.stage, key)? else {
                continue;
            };
            images += of;
            seconds += output.seconds;
            cost += output.cost;
            bytes += output.bytes() as f64;
        }
        if images == 0 {
            return Ok(None);
        }
        let images = images as f64;
        Ok(Some(Rate {
            seconds: seconds / images,
            unet_rows: cost.unet_rows as f64 / images,
            bytes: bytes / images,
            from,
        }))
    }
}

/// What plans are made of.
#[derive(Clone, Copy)]
struct Bench<'a> {
    experiment: &'a Experiment,
    networks: &'a Networks,
    parts: &'a [Part],
}

impl Bench<'_> {
    /// Every stage under every setting, each after what it depends on.
    fn settings(&self) -> Result<Vec<Setting>> {
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
            if diffusion.first_stage.is_some() && encoding.insert(&diffusion.provenance.sha256) {
                let shown = diffusion.provenance.name();
                settings.push(Setting::new(Of::Encode(name.clone()), ENCODE, shown));
            }
        }
        for name in experiment.inversion.keys() {
            settings.push(Setting::new(Of::Invert(name.clone()), INVERT, name));
        }
        let mut known = BTreeSet::new();
        for (i, guard) in experiment.guards.iter().enumerate() {
            let (name, _) = guard.reconstruction();
            if guard.reference.contains(&Reference::Reconstruction) && known.insert(name.clone()) {
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
        Ok(settings)
    }

    /// Counts what the settings have to do on `units`, and what of it is stored.
    fn look(&self, units: &[Done], pipeline: &Pipeline, settings: &mut [Setting]) -> Result<()> {
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
        let is_stored = |stage: &str, key: &Key| {
            let keys = stored.get(stage);
            keys.is_some_and(|keys| keys.contains(key.as_str()))
        };
        let mut logits: Option<Array> = None;
        let mut inverted: BTreeMap<&str, Key> = BTreeMap::new();
        // Where they are stored.
        let mut reconstructed: BTreeMap<&str, Key> = BTreeMap::new();
        let mut synthesised: BTreeMap<usize, Key> = BTreeMap::new();
        let mut all = Vec::new();
        for setting in settings {
            let mut seen = Seen::default();
            // What may be stored under any of these keys: none where a key is not known yet.
            let mut count = |stage: &str, keys: &[Key]| -> Option<Key> {
                let key = keys.iter().find(|key| is_stored(stage, key)).cloned();
                seen.add(images, key.as_ref());
                key
            };
            let synthesis = |guard: &Guard, label: LabelSource| -> Result<Vec<Key>> {
                let (Some(logits), Some(inversion)) =
                    (&logits, inverted.get(guard.inversion.as_str()))
                else {
                    return Ok(Vec::new());
                };
                let known = Known {
                    logits: &logits.values,
                    classes: networks.protected().network.num_classes(),
                    truth: &unit.truth,
                    samples: &unit.samples,
                };
                let labels = label.choose(&known, experiment.seed)?;
                let how = (&guard.guidance, &guard.synthesis);
                Ok(vec![synthesise_key(networks, inversion, how, &labels)])
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
                    inverted.insert(name, key);
                }
                Of::Reconstruct(name, guard) => {
                    let nothing = vec![-1; images];
                    let how = (&GuidanceConfig::None {}, &guards[*guard].reconstruction().1);
                    let inversion = inverted.get(guards[*guard].inversion.as_str());
                    let key = inversion.map(|key| synthesise_key(networks, key, how, &nothing));
                    count(SYNTHESISE, key.as_slice());
                    reconstructed.extend(key.map(|key| (name.as_str(), key)));
                }
                Of::Synthesise(guard) => {
                    let keys = synthesis(&guards[*guard], guards[*guard].label)?;
                    count(SYNTHESISE, &keys);
                    synthesised.extend(keys.into_iter().map(|key| (*guard, key)));
                }
                Of::Compare(place) => {
                    let guard = &guards[*place];
                    for reference in &guard.reference {
                        let with = match reference {
                            Reference::Input => Some(unit.key()?),
                            Reference::Reconstruction => {
                                reconstructed.get(guard.reconstruction().0.as_str())
                            }
                        };
                        let keys = synthesised.get(place).zip(with).map(|(made, with)| {
                            compare_key(pipeline, networks, made, with, &guard.similarity)
                        });
                        count(COMPARE, keys.as_slice());
                    }
                }
                Of::Oracle(guard) => {
                    let keys = synthesis(&guards[*guard], LabelSource::Oracle)?;
                    count(SYNTHESISE, &keys);
                }
            }
            all.push(seen);
        }
        Ok(all)
    }

    /// Runs a few images through every setting that has something to compute and no rate yet; how many images, and how
    /// long it took. Settings that are not reached in time get the mean rate of their stage.
    fn probe(
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
        let begun = Instant::now();
        let each = (most / PROBE_SHARE).clamp(1, PROBE_IMAGES) as usize;
        let each = each.min(self.experiment.batch);
        // As many units side by side as in the run: they get into each other's way there too.
        let mut units: Vec<Done> = self.parts[part]
            .units(each)
            .into_iter()
            .take(rayon::current_num_threads())
            .map(|unit| Done::new(part, unit))
            .collect();
        let images = units.iter().map(|done| done.unit.len()).sum();
        let wanted: Vec<Of> = settings
            .iter()
            .filter(|it| unknown(it))
            .map(|it| it.of.clone())
            .collect();
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
        for (name, inversion) in &experiment.inversion {
            let needs = |of: &Of| match of {
                Of::Encode(wanted) | Of::Invert(wanted) => wanted == name,
                Of::Reconstruct(_, guard) | Of::Synthesise(guard) | Of::Compare(guard) => {
                    experiment.guards[*guard].inversion == *name
                }
                Of::Observe(_) | Of::Perturb(..) | Of::Oracle(_) => false,
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
            for (place, guard) in experiment.guards.iter().enumerate() {
                let asked = [Of::Synthesise(place), Of::Compare(place)];
                let asked = asked.iter().any(|of| wanted.contains(of));
                if guard.inversion == *name && asked && begun.elapsed() <= PROBE_TIME {
                    let guard = std::slice::from_ref(guard);
                    run_guards(&alone, guard, networks, parts, units, scratch)?;
                }
            }
        }
        Ok(())
    }
}

/// The mean rate of the other settings of a stage.
fn mean(of: &Setting, settings: &[Setting]) -> Option<Rate> {
    let rates: Vec<Rate> = settings
        .iter()
        .filter(|other| other.stage == of.stage)
        .filter_map(|other| other.rate)
        .collect();
    let mean = |value: fn(&Rate) -> f64| rates.iter().map(value).sum::<f64>() / rates.len() as f64;
    (!rates.is_empty()).then(|| Rate {
        seconds: mean(|rate| rate.seconds),
        unet_rows: mean(|rate| rate.unet_rows),
        bytes: mean(|rate| rate.bytes),
        from: "the others",
    })
}

/// The units of a run, or of one of its shards.
pub(super) fn units_of(experiment: &Experiment, parts: &[Part], shard: Option<Shard>) -> Vec<Done> {
    work_units(experiment, parts)
        .into_iter()
        .enumerate()
        .filter_map(|(place, unit)| shard.is_none_or(|it| it.has(place)).then_some(unit))
        .collect()
}
