//! Rows that a finished run has: an experiment with more of them takes these from the run's scores and computes the new ones
//! alone, wherever the run's stages are.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use diffguard_datasets::benchmark::OpenBenchmark;
use diffguard_models::checkpoint::file_sha256;
use serde::Serialize;
use serde_json::Value;

use super::pictures::guards;
use super::{Chosen, Finished, Shown, elect};
use crate::experiment::{Denoising, Experiment, Guard};
use crate::networks::Networks;
use crate::outputs::Run;
use crate::pipeline::Account;
use crate::record::{BenchmarkRecord, Record, RowsOfRecord, StageRecord};
use crate::scores::{Sample, Scores, compact};
use crate::spent::GuardCost;
use crate::stages::{ENCODE, OBSERVE, versions};
use crate::traces::Traces;
use crate::{Error, Result, Root, evaluate, stored_run};

/// The keys that may differ: they say only which rows and which tables there are.
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
        let of = Self {
            run: Run::read(&folder)?,
            scores_sha256: file_sha256(&scores).map_err(|error| Error::file(&scores, error))?,
            folder,
        };
        let recorded = of.run.record.scores_sha256.as_ref();
        match recorded.is_some_and(|recorded| *recorded != of.scores_sha256) {
            true => Err(of.refuse(
                "has scores that its run.json is not of: one of the files is of another run",
            )),
            false => Ok(of),
        }
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
            surroundings(&record.configuration)?,
            surroundings(experiment)?,
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
        if experiment.each_classifier {
            return Err(self.refuse("has rows of every classifier, which are not taken"));
        }
        if !experiment.traces.is_empty() {
            return Err(self.refuse("has traces, which are not taken"));
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
        let here = versions();
        if record.stage_versions.is_empty() {
            println!(
                "{}: its record does not say which versions of the stages made it; see that scores have not changed since",
                self.folder.display()
            );
            return Ok(());
        }
        match record
            .stage_versions
            .iter()
            .find(|(stage, version)| here.get(*stage) != Some(*version))
        {
            Some((stage, _)) => {
                Err(self.refuse(format!("is of another version of the stage `{stage}`")))
            }
            None => Ok(()),
        }
    }

    /// Refuses a run with other networks or over other images.
    pub(super) fn check_inputs(
        &self,
        benchmark: &OpenBenchmark,
        networks: &Networks,
    ) -> Result<()> {
        let record = &self.run.record;
        let mut weights = record.provenances().zip(networks.provenances());
        if let Some((own, here)) = weights.find(|(own, here)| own.key() != here.key()) {
            return Err(self.refuse(format!(
                "had other weights of {} (SHA-256 {}) than there are now ({})",
                here.record,
                own.key(),
                here.key()
            )));
        }
        // Where one of them had none, no row that is taken looks through any.
        let perceptual = networks.perceptual.as_ref().map(|it| it.sha256.as_slice());
        if let (Some(own), Some(here)) = (record.perceptual_sha256.as_deref(), perceptual)
            && own != here
        {
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
            && self.has(
                &experiment
                    .headline_rows()
                    .map(str::to_owned)
                    .collect::<Vec<_>>(),
            )
    }

    /// Refuses to hold an election again whose winner would be synthesised once more, with oracle labels.
    fn check_headline(&self, experiment: &Experiment) -> Result<()> {
        let oracle = experiment.headline.as_ref().is_some_and(|it| it.oracle);
        if !oracle || self.keeps_headline(experiment) {
            return Ok(());
        }
        let own = stood(&self.run.record.configuration).into_iter();
        let names: Vec<String> = own.map(|guard| format!("\"{}\"", guard.name)).collect();
        let mend = match names.is_empty() {
            true => "leave [headline] out".to_owned(),
            false => format!(
                "keep its [headline], with `guards = [{}]` and these guards unchanged",
                names.join(", ")
            ),
        };
        Err(self.refuse(format!(
            "elected its row `diffguard` otherwise or not at all, and the elected setting is run with oracle labels; {mend}"
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
        let shown = guards(experiment, headline.as_ref());
        let drawn = match (&experiment.gallery, shown.first(), lacking.guards.first()) {
            (None, Some((shown, _)), Some(new)) => shown.name == new.name,
            _ => false,
        };
        let pictures = match drawn {
            true => fresh.pictures,
            false => Shown::default(),
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

    /// Refuses a run of other samples, or one whose classifier predicted otherwise.
    pub(super) fn check_samples(&self, here: &[Sample]) -> Result<()> {
        let own = self.run.scores.samples.len();
        if own != here.len() {
            return Err(self.refuse(format!("has {own} samples where {} are now", here.len())));
        }
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
            // One that is a row of its own is rounded already.
            let known = scores
                .methods()
                .any(|known| scores.column(known) == Some(values));
            let values = match experiment.compact_scores && !known {
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
            // Once for all rows, in this run again.
            if [OBSERVE, ENCODE].contains(&stage.as_str()) && stages.contains_key(stage) {
                continue;
            }
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
            computed: computed(lacking),
            rows_of: self.run.record.rows_of.clone().map(Box::new),
        }
    }

    /// Says where pictures of taken rows are: a finished run has no syntheses to draw them of again. In place they stay while they
    /// show what is asked for; others would be out of date.
    pub(super) fn pictures(
        &self,
        experiment: &Experiment,
        chosen: Option<&Chosen>,
        out: &Path,
    ) -> Result<()> {
        let path = out.join("pictures.png");
        let record = &self.run.record;
        let names = |of: &Experiment, chosen: Option<&Chosen>| -> Vec<String> {
            let shown = guards(of, chosen).into_iter();
            shown.map(|(guard, _)| guard.name.clone()).collect()
        };
        let shown = names(experiment, chosen);
        if shown.is_empty() {
            return Ok(());
        }
        let taken =
            |guard: &Guard| !shown.contains(&guard.name) || self.has_guard(experiment, guard);
        let in_place = self.folder.canonicalize().ok() == out.canonicalize().ok();
        if in_place
            && same(&record.configuration.gallery, &experiment.gallery)
            && shown == names(&record.configuration, record.headline.as_ref())
            && experiment.guards.iter().all(taken)
        {
            return Ok(());
        }
        println!("no pictures: a finished run has no syntheses to draw them of");
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(Error::io(&path, &error))
            }
            _ => Ok(()),
        }
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
fn surroundings(experiment: &Experiment) -> Result<serde_json::Map<String, Value>> {
    match serde_json::to_value(experiment) {
        Ok(Value::Object(mut all)) => {
            all.retain(|key, _| !ROWS.contains(&key.as_str()));
            Ok(all)
        }
        _ => Err(Error::Setting(
            "the experiment cannot be written as JSON".into(),
        )),
    }
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
    let guards = experiment.guards.iter().flat_map(|guard| {
        let reconstructed = guard.needs_reconstruction();
        let reconstructed = reconstructed.then(|| GuardCost::key(&guard.name, true));
        [GuardCost::key(&guard.name, false)]
            .into_iter()
            .chain(reconstructed)
    });
    let denoisings = experiment.denoisings.iter().flat_map(Denoising::columns);
    guards.chain(denoisings.map(|(column, _)| column)).collect()
}
