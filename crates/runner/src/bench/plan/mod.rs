//! The plan: before a run computes anything, what is stored already, what it will compute, and what that takes.
//!
//! Outputs are looked up under the very keys that the run will look them up under. Where a label depends on an
//! observation that is not stored, so does the synthesis, which then counts as not stored.

mod look;
mod probe;
mod setting;

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use diffguard_report::table::{Column, Line, Mark, Part as Text, Sheet};

use self::setting::{Rate, Setting, elected};
use super::units::{Done, work_units};
use crate::Result;
use crate::experiment::Experiment;
use crate::networks::Networks;
use crate::parts::{Part, Split};
use crate::pipeline::Pipeline;
use crate::progress::{Work, duration};
use crate::shard::Shard;

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

/// What plans are made of.
#[derive(Clone, Copy)]
struct Bench<'a> {
    experiment: &'a Experiment,
    networks: &'a Networks,
    parts: &'a [Part],
}

/// The units of a run, or of one of its shards.
pub(super) fn units_of(experiment: &Experiment, parts: &[Part], shard: Option<Shard>) -> Vec<Done> {
    work_units(experiment, parts)
        .into_iter()
        .enumerate()
        .filter_map(|(place, unit)| shard.is_none_or(|it| it.has(place)).then_some(unit))
        .collect()
}
