//! Rows that a finished run has: an experiment with more of them takes these from the run's scores and computes the new ones
//! alone, wherever the run's stages are.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use diffguard_datasets::benchmark::OpenBenchmark;
use diffguard_models::checkpoint::file_sha256;
use diffguard_report::write_atomic;
use serde::Serialize;
use serde_json::Value;

use super::{Chosen, Finished, Shown, elect};
use crate::experiment::{Denoising, Experiment, Guard};
use crate::networks::Networks;
use crate::outputs::Run;
use crate::pipeline::Account;
use crate::record::{BenchmarkRecord, Record, RowsOfRecord, StageRecord};
use crate::scores::{Sample, Scores, compact};
use crate::spent::GuardCost;
use crate::traces::Traces;
use crate::{Error, Result, Root, evaluate, stored_run};

/// What of an experiment makes its rows and its tables. All else has to be the same for scores to stand beside each other.
const ROWS: [&str; 14] = [
    "title",
    "bootstrap",
    "against",
    "inversion",
    "guard",
    "denoise",
    "headline",
    "detector",
    "alias",
    "combine",
    "cells",
    "figure",
    "paper",
    "gallery",
];

/// A finished run whose rows are taken.
pub(super) struct RowsOf {
    folder: PathBuf,
    run: Run,
    scores_sha256: String,
}

impl RowsOf {
    /// The run in `results/NAME`, or in the folder of this path.
    pub(super) fn read(name: &str, root: &Root) -> Result<Self> {
        let folder = stored_run::folder(name, root)?;
        let scores = folder.join(Run::SCORES);
        Ok(Self {
            run: Run::read(&folder)?,
            scores_sha256: file_sha256(&scores).map_err(|error| Error::file(&scores, error))?,
            folder,
        })
    }

    fn refuse(&self, what: impl std::fmt::Display) -> Error {
        let folder = self.folder.display();
        Error::Setting(format!(
            "--rows-of: the run in {folder} {what}; without --rows-of everything is computed"
        ))
    }

    /// Refuses a run of other settings, or of another program or device.
    pub(super) fn check_settings(&self, experiment: &Experiment, device: &str) -> Result<()> {
        let record = &self.run.record;
        let (own, asked) = (
            surroundings(&record.configuration),
            surroundings(experiment),
        );
        let keys: BTreeSet<&String> = own.keys().chain(asked.keys()).collect();
        for key in keys {
            let (own, asked) = (own.get(key), asked.get(key));
            if own != asked {
                let shown = |value: Option<&Value>| value.unwrap_or(&Value::Null).to_string();
                let (own, asked) = (shown(own), shown(asked));
                return Err(self.refuse(format!("has `{key}` = {own} where {asked} is asked for")));
            }
        }
        if experiment.each_classifier || !experiment.traces.is_empty() {
            return Err(self.refuse("has rows of every classifier, or traces, which are not taken"));
        }
        if record.synthetic.is_some() {
            return Err(self.refuse("is of generated images"));
        }
        let burn = Record::burn_version();
        let made = [
            (
                "version",
                record.version.as_str(),
                env!("CARGO_PKG_VERSION"),
            ),
            ("version of burn", record.burn.as_str(), burn.as_str()),
            ("device", record.device.as_str(), device),
        ];
        if let Some((what, own, asked)) = made.into_iter().find(|(_, own, asked)| own != asked) {
            return Err(self.refuse(format!("is of the {what} {own}, and this is {asked}")));
        }
        Ok(())
    }

    /// Refuses a run with other networks or over other images.
    pub(super) fn check_inputs(
        &self,
        benchmark: &OpenBenchmark,
        networks: &Networks,
    ) -> Result<()> {
        let record = &self.run.record;
        let mut weights = record.provenances().zip(networks.provenances());
        if let Some((own, here)) = weights.find(|(own, here)| own != here) {
            return Err(self.refuse(format!(
                "had other weights of {} (SHA-256 {}) than there are now ({})",
                here.record, own.sha256, here.sha256
            )));
        }
        let perceptual = networks.perceptual.as_ref().map(|it| it.sha256.to_vec());
        if record.perceptual_sha256 != perceptual {
            return Err(self.refuse("had other files of DISTS or LPIPS than there are now"));
        }
        let here = BenchmarkRecord::of(benchmark)?;
        if record.benchmark.checksum != here.checksum {
            let sets = |record: &BenchmarkRecord| -> Vec<String> {
                let sets = record.left_out.iter();
                sets.map(|set| set.name.clone()).collect()
            };
            let (own, here) = (sets(&record.benchmark), sets(&here));
            let what = match own == here {
                true => "is of other images".to_owned(),
                false => format!(
                    "left out the sets [{}], and here are left out [{}]",
                    own.join(", "),
                    here.join(", ")
                ),
            };
            return Err(self.refuse(what));
        }
        Ok(())
    }

    /// The same experiment with the rows alone that the run has not, and nothing that is made of rows.
    pub(super) fn lacking(&self, experiment: &Experiment) -> Result<Experiment> {
        self.check_headline(experiment)?;
        let own = &self.run.record.configuration;
        let mut lacking = experiment.clone();
        lacking
            .guards
            .retain(|guard| !self.has_guard(experiment, guard));
        lacking
            .inversion
            .retain(|name, _| lacking.guards.iter().any(|guard| guard.inversion == *name));
        lacking.denoisings.retain(|it| {
            !(own.denoisings.iter().any(|known| same(known, it)) && self.has(&columns(it)))
        });
        lacking.detectors.retain(|it| {
            let known = own.detectors.iter().any(|known| same(known, it));
            !(known && self.has(&[it.row().to_owned()]))
        });
        lacking.headline = None;
        lacking.aliases.clear();
        lacking.combinations.clear();
        lacking.cells.clear();
        lacking.figures.clear();
        lacking.paper = None;
        lacking.gallery = None;
        Ok(lacking)
    }

    fn has(&self, columns: &[String]) -> bool {
        let mut columns = columns.iter();
        columns.all(|column| self.run.scores.column(column).is_some())
    }

    fn has_guard(&self, experiment: &Experiment, guard: &Guard) -> bool {
        let own = &self.run.record.configuration;
        let inversion = |of: &Experiment| of.inversion.get(&guard.inversion).cloned();
        own.guards.iter().any(|known| same(known, guard))
            && same(&inversion(own), &inversion(experiment))
            && self.has(&guard_columns(guard))
    }

    /// Whether the election of the run is that of the experiment: the same guards stood, under the same terms.
    fn keeps_headline(&self, experiment: &Experiment) -> bool {
        let own = &self.run.record.configuration;
        let (known, asked) = match (&own.headline, &experiment.headline) {
            (Some(known), Some(asked)) => (known, asked),
            (known, asked) => return known.is_none() && asked.is_none(),
        };
        let standing = stood(experiment);
        same(&known.tandems, &asked.tandems)
            && (known.oracle, known.fast) == (asked.oracle, asked.fast)
            && same(&stood(own), &standing)
            && standing
                .iter()
                .all(|guard| self.has_guard(experiment, guard))
            && self.run.record.headline.is_some()
    }

    /// Refuses to hold an election again whose winner would be synthesised once more, with oracle labels.
    fn check_headline(&self, experiment: &Experiment) -> Result<()> {
        let oracle = experiment.headline.as_ref().is_some_and(|it| it.oracle);
        if !oracle || self.keeps_headline(experiment) {
            return Ok(());
        }
        let own = stood(&self.run.record.configuration).into_iter();
        let names: Vec<String> = own.map(|guard| format!("\"{}\"", guard.name)).collect();
        Err(self.refuse(format!(
            "elected its row `diffguard` otherwise, and the elected setting is run with oracle labels; keep the [headline] as it \
             was, with `guards = [{}]` and these guards unchanged",
            names.join(", ")
        )))
    }

    /// Rows that are taken and rows that are computed, of this experiment and what it lacks.
    pub(super) fn announce(&self, experiment: &Experiment, lacking: &Experiment) {
        let rows = |of: &Experiment| computed(of).len();
        println!(
            "{} rows are taken from {}, {} are computed",
            rows(experiment) - rows(lacking),
            self.folder.display(),
            rows(lacking)
        );
    }

    /// The run's rows and the new ones, in the order of a run of the whole experiment, and what is made of them.
    pub(super) fn join(
        &self,
        experiment: &Experiment,
        lacking: &Experiment,
        fresh: Finished,
    ) -> Result<Finished> {
        let (record, own) = (&self.run.record, &self.run.scores);
        self.check_samples(&fresh.scores.samples)?;
        // The run's own are compact already; once more would move them.
        let new = match experiment.compact_scores {
            true => fresh.scores.compacted(),
            false => fresh.scores,
        };
        let mut scores = Scores::new(new.samples.clone());
        for row in computed(experiment) {
            let values = new.column(&row).or_else(|| own.column(&row));
            let values = values.ok_or_else(|| self.refuse(format!("has no row `{row}`")))?;
            scores.push(row, values.to_vec())?;
        }
        let baselines = experiment.detectors.iter().filter_map(|choice| {
            let mut known = fresh.baselines.iter().chain(&record.baselines);
            known.find(|it| it.row == choice.row()).cloned()
        });
        let known = cost_keys(experiment);
        let mut costs = record.costs.clone();
        costs.extend(fresh.costs);
        costs.retain(|key, _| known.contains(key));
        let headline = self.elected(experiment, &costs, &mut scores)?;
        evaluate::add_fusions_to_stored(experiment, &mut scores)?;
        // Of the new guards the first has pictures.
        let shown = lacking.guards.first().map(|guard| &guard.name);
        let pictures = match &headline {
            Some(chosen) if shown == Some(&chosen.guard) => fresh.pictures,
            _ => Shown::default(),
        };
        Ok(Finished {
            scores,
            traces: Traces::default(),
            headline,
            baselines: baselines.collect(),
            pictures,
            costs,
        })
    }

    fn check_samples(&self, here: &[Sample]) -> Result<()> {
        let mut pairs = here.iter().zip(&self.run.scores.samples);
        let Some((here, own)) = pairs.find(|(here, own)| here != own) else {
            return Ok(());
        };
        let shown = |it: &Sample| format!("{} of {}, predicted {}", it.id, it.set, it.predicted);
        let (own, here) = (shown(own), shown(here));
        Err(self.refuse(format!("has the sample {own} where {here} is now")))
    }

    /// The run's election and its rows, or another one over all rows.
    fn elected(
        &self,
        experiment: &Experiment,
        costs: &BTreeMap<String, GuardCost>,
        scores: &mut Scores,
    ) -> Result<Option<Chosen>> {
        if experiment.headline.is_none() {
            return Ok(None);
        }
        if self.keeps_headline(experiment) {
            for row in experiment.headline_rows() {
                let values = self.run.scores.column(row).unwrap_or_default();
                scores.push(row, values.to_vec())?;
            }
            return Ok(self.run.record.headline.clone());
        }
        let mut all = scores.clone();
        let chosen = elect(experiment, costs, &mut all)?;
        for row in experiment.headline_rows() {
            let values = all.column(row).unwrap_or_default();
            let values = match experiment.compact_scores {
                true => compact(values),
                false => values.to_vec(),
            };
            scores.push(row, values)?;
        }
        Ok(Some(chosen))
    }

    /// What the stages did for all rows: what the run has was there already.
    pub(super) fn stages(
        &self,
        mut stages: BTreeMap<String, StageRecord>,
    ) -> BTreeMap<String, StageRecord> {
        for (stage, known) in &self.run.record.stages {
            let here = stages.entry(stage.clone()).or_insert_with(|| StageRecord {
                account: Account::default(),
                images_per_second: 0.0,
            });
            let account = &mut here.account;
            account.reused += known.account.computed + known.account.reused;
            account.seconds += known.account.seconds;
            account.cost += known.account.cost;
            here.images_per_second = account.images_per_second();
        }
        stages
    }

    /// Where the rows come from.
    pub(super) fn record(&self, lacking: &Experiment) -> RowsOfRecord {
        RowsOfRecord {
            experiment: self.run.record.experiment.clone(),
            scores_sha256: self.scores_sha256.clone(),
            but: computed(lacking),
        }
    }

    /// Copies the run's pictures into another folder: a finished run has no syntheses to make them of again. Where others are
    /// asked for, there are none.
    pub(super) fn pictures(&self, experiment: &Experiment, out: &Path) -> Result<Option<PathBuf>> {
        let (from, to) = (self.folder.join("pictures.png"), out.join("pictures.png"));
        let own = &self.run.record.configuration;
        let alike = self.keeps_headline(experiment)
            && same(&own.gallery, &experiment.gallery)
            && same(&own.guards.first(), &experiment.guards.first());
        if !alike {
            println!("no pictures: a finished run has no syntheses to show others");
            return match std::fs::remove_file(&to) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    Err(Error::io(&to, &error))
                }
                _ => Ok(None),
            };
        }
        if !from.is_file() || from.canonicalize().ok() == to.canonicalize().ok() {
            return Ok(None);
        }
        let bytes = std::fs::read(&from).map_err(|error| Error::io(&from, &error))?;
        write_atomic(&to, bytes)?;
        Ok(Some(to))
    }
}

/// The guards that stand for election.
fn stood(experiment: &Experiment) -> Vec<Guard> {
    let names = |guard: &&Guard| {
        let headline = experiment.headline.as_ref();
        headline.is_some_and(|it| it.names(&guard.name))
    };
    experiment.guards.iter().filter(names).cloned().collect()
}

/// An experiment without what makes its rows.
fn surroundings(experiment: &Experiment) -> serde_json::Map<String, Value> {
    let Ok(Value::Object(mut all)) = serde_json::to_value(experiment) else {
        return serde_json::Map::new();
    };
    all.retain(|key, _| !ROWS.contains(&key.as_str()));
    all
}

/// Whether two settings are written alike.
fn same<T: Serialize>(a: &T, b: &T) -> bool {
    let written = |it: &T| serde_json::to_value(it).ok();
    written(a).is_some_and(|a| written(b) == Some(a))
}

/// The columns of a guard, in the order of a run.
fn guard_columns(guard: &Guard) -> Vec<String> {
    let references: BTreeSet<_> = guard.reference.iter().collect();
    let similarities: BTreeSet<_> = guard.similarity.iter().collect();
    let columns = references.into_iter().flat_map(|reference| {
        let similarities = similarities.iter();
        similarities.map(|similarity| guard.column(*reference, **similarity))
    });
    columns.collect()
}

fn columns(denoising: &Denoising) -> Vec<String> {
    let scores = denoising.columns().map(|(column, _)| column);
    scores.chain(denoising.level_columns()).collect()
}

/// The columns that stages and detectors make, in the order of a run.
fn computed(experiment: &Experiment) -> Vec<String> {
    let detectors = experiment.detectors.iter();
    let guards = experiment.guards.iter().flat_map(guard_columns);
    let denoisings: BTreeSet<String> = experiment.denoisings.iter().flat_map(columns).collect();
    detectors
        .map(|choice| choice.row().to_owned())
        .chain(guards)
        .chain(denoisings)
        .collect()
}

/// What costs are called, of all guards and denoisings.
fn cost_keys(experiment: &Experiment) -> BTreeSet<String> {
    let guards = experiment.guards.iter();
    let guards = guards.flat_map(|guard| {
        let reconstructs = [false, true].into_iter();
        reconstructs.map(|reconstructs| GuardCost::key(&guard.name, reconstructs))
    });
    let denoisings = experiment.denoisings.iter().flat_map(Denoising::columns);
    guards.chain(denoisings.map(|(column, _)| column)).collect()
}
