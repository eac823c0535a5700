//! The baselines of a run: detectors fitted on stored observations, their parameters fixed or chosen on validation.

use std::path::Path;
use std::time::Instant;

use diffguard_ood::detectors::{
    self, FitData, Head, Labelled, Need, Observations, Odin, Perturbed,
};
use diffguard_ood::tune::{Candidate, Place, Validation, tune};
use diffguard_report::write_atomic;
use ndarray::{Array1, Array2, Array3, Axis};
use safetensors::tensor::{Dtype, TensorView};
use serde::{Deserialize, Serialize};

use crate::bench::Done;
use crate::experiment::{DetectorChoice, Experiment, Tune};
use crate::networks::{LoadedClassifier, Networks};
use crate::parts::{Part, Split};
use crate::pipeline::{Pipeline, array};
use crate::scores::Scores;
use crate::stages::perturb;
use crate::store::Array;
use crate::{Error, Result};

/// A baseline as it was run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Baseline {
    /// Its row in the tables.
    pub row: String,
    /// The detector.
    pub detector: String,
    /// The classifier that it watches.
    pub classifier: String,
    /// What it was built with, beside its defaults.
    pub parameters: toml::Table,
    /// How its parameters were chosen; absent where they were fixed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chosen: Option<ChosenParameters>,
    /// Seconds of the final fit.
    pub fit_seconds: f64,
    /// Seconds of scoring every validation and test sample.
    pub score_seconds: f64,
}

/// A choice on validation data.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ChosenParameters {
    /// The criterion.
    pub on: String,
    /// Mean AUROC of the chosen parameters.
    pub validation_auroc: f64,
    /// The whole grid.
    pub candidates: Vec<Candidate>,
}

/// What is observed of every classifier also goes to the folder `export`, where one is given, for other programs.
///
/// Fits the baselines of `experiment` on the `fit` units and the validation split, and scores the `rest`.
///
/// # Errors
/// When a detector cannot work with the observations, naming its row, or a stage fails.
pub fn run(
    experiment: &Experiment,
    networks: &Networks,
    parts: &[Part],
    (fit, rest): (&[Done], &[Done]),
    pipeline: &Pipeline,
    scores: &mut Scores,
    export: Option<&Path>,
) -> Result<Vec<Baseline>> {
    let mut baselines = Vec::new();
    for (index, classifier) in networks.classifiers.iter().enumerate() {
        if index > 0 && !experiment.each_classifier {
            break;
        }
        let bench = Watched {
            parts,
            rest,
            pipeline,
            classifier,
            index,
            train: Seen::of(fit, index)?,
            all: Seen::of(rest, index)?,
        };
        if let Some(folder) = export {
            bench.export(folder)?;
        }
        for choice in &experiment.detectors {
            let entry = detectors::entry(&choice.name)?;
            let of_members = entry.needs == [Need::Members];
            if of_members && index > 0 {
                continue;
            }
            let row = match experiment.each_classifier && !of_members {
                true => format!("{}@{}", choice.row(), classifier.provenance.name()),
                false => choice.row().to_owned(),
            };
            let (baseline, values) = bench.run(choice, row)?;
            scores.push(baseline.row.clone(), values)?;
            baselines.push(baseline);
        }
    }
    Ok(baselines)
}

/// A classifier with all that was observed of it.
struct Watched<'a> {
    parts: &'a [Part],
    rest: &'a [Done],
    pipeline: &'a Pipeline<'a>,
    classifier: &'a LoadedClassifier,
    index: usize,
    train: Seen,
    all: Seen,
}

impl Watched<'_> {
    fn run(&self, choice: &DetectorChoice, row: String) -> Result<(Baseline, Vec<f64>)> {
        let of_row = |error: diffguard_ood::Error| Error::Setting(format!("row `{row}`: {error}"));
        let entry = detectors::entry(&choice.name)?;
        let is = |split: Split| move |done: &&Done| self.parts[done.part].split == split;
        let id_val: Vec<&Done> = self.rest.iter().filter(is(Split::IdVal)).collect();
        let val = Seen::of(id_val.iter().copied(), self.index)?;
        let head = self.head()?;
        let data = FitData {
            train: self.train.labelled(),
            val: val.labelled(),
            head: Head {
                weight: head.0.view(),
                bias: head.1.view(),
            },
        };
        let mut parameters = choice.parameters.clone();
        let grid = match &choice.tune {
            None | Some(Tune::Switch(false)) => None,
            Some(Tune::Switch(true)) => Some(None),
            Some(Tune::Grid(grid)) => Some(Some(grid)),
        };
        let mut chosen = None;
        if let Some(grid) = grid {
            let units: Vec<&Done> = self
                .rest
                .iter()
                .filter(|done| matches!(self.parts[done.part].split, Split::IdVal | Split::OodVal))
                .collect();
            let mut seen = Seen::of(units.iter().copied(), self.index)?;
            if entry.needs.contains(&Need::Perturbed) {
                let (_, tables) = entry.candidates(&parameters, grid).map_err(of_row)?;
                for table in tables {
                    let setting = Odin::read(table).map_err(of_row)?;
                    seen.perturbed.push(self.perturb(&units, setting)?);
                }
            }
            let places: Vec<Place> = units
                .iter()
                .flat_map(|done| std::iter::repeat_n(self.place(done), done.unit.len()))
                .collect();
            let validation = seen.with(|seen| Validation::of(seen, &places).map_err(of_row))?;
            let tuned = tune(entry, &parameters, grid, &data, &validation).map_err(of_row)?;
            parameters = tuned.parameters;
            chosen = Some(ChosenParameters {
                on: "mean AUROC of in-distribution validation against each out-of-distribution validation set".to_owned(),
                validation_auroc: tuned.validation_auroc,
                candidates: tuned.candidates,
            });
        }
        let mut detector = entry.build(parameters.clone()).map_err(of_row)?;
        let begun = Instant::now();
        detector.fit(&data).map_err(of_row)?;
        let fit_seconds = begun.elapsed().as_secs_f64();
        let perturbed = match entry.needs.contains(&Need::Perturbed) {
            true => {
                let units: Vec<&Done> = self.rest.iter().collect();
                let setting = Odin::read(parameters.clone()).map_err(of_row)?;
                vec![self.perturb(&units, setting)?]
            }
            false => Vec::new(),
        };
        let begun = Instant::now();
        let perturbed = views(&perturbed);
        let observations = Observations {
            perturbed: &perturbed,
            ..self.all.observations()
        };
        let values = detector.score(&observations).map_err(of_row)?;
        let baseline = Baseline {
            row,
            detector: choice.name.clone(),
            classifier: self.classifier.provenance.name().to_owned(),
            parameters,
            chosen,
            fit_seconds,
            score_seconds: begun.elapsed().as_secs_f64(),
        };
        Ok((baseline, values))
    }

    /// Writes what was observed to `CLASSIFIER.safetensors`: features and logits of the fit split (`train`, with
    /// labels) and of every validation and test sample (`all`, in the order of scores.parquet), and the head.
    fn export(&self, folder: &Path) -> Result<()> {
        let (weight, bias) = self.head()?;
        let name = self.classifier.provenance.name();
        let path = folder.join(format!("{name}.safetensors"));
        let matrix =
            |array: &Array2<f32>| (array.shape().to_vec(), array.iter().copied().collect());
        let labels: Vec<f32> = self
            .train
            .labels
            .iter()
            .map(|&label| label as f32)
            .collect();
        let tensors = [
            ("train.features", matrix(&self.train.features)),
            ("train.logits", matrix(&self.train.logits)),
            ("train.labels", (vec![labels.len()], labels)),
            ("all.features", matrix(&self.all.features)),
            ("all.logits", matrix(&self.all.logits)),
            ("head.weight", matrix(&weight)),
            ("head.bias", (vec![bias.len()], bias.to_vec())),
        ];
        let fault = |error: &dyn std::fmt::Display| Error::file(&path, error);
        let bytes: Vec<Vec<u8>> = tensors
            .iter()
            .map(|(_, (_, values))| values.iter().flat_map(|v| v.to_le_bytes()).collect())
            .collect();
        let views = tensors
            .iter()
            .zip(&bytes)
            .map(|((name, (shape, _)), bytes)| {
                let view = TensorView::new(Dtype::F32, shape.clone(), bytes);
                Ok((*name, view.map_err(|error| fault(&error))?))
            })
            .collect::<Result<Vec<_>>>()?;
        let file = safetensors::serialize(views, None).map_err(|error| fault(&error))?;
        Ok(write_atomic(&path, &file)?)
    }

    fn head(&self) -> Result<(Array2<f32>, Array1<f32>)> {
        let (weight, bias) = self.classifier.network.head_parameters();
        let (weight, bias) = (array(weight)?, array(bias)?);
        Ok((
            stacked(std::iter::once(&weight))?,
            Array1::from_vec(bias.values),
        ))
    }

    /// Where a unit stands, for [`Validation`]: the only way from a benchmark's splits to samples that parameters are
    /// chosen on.
    fn place(&self, done: &Done) -> Place {
        match self.parts[done.part].split {
            Split::IdVal => Place::IdValidation,
            Split::OodVal => Place::OodValidation(done.part),
            Split::Fit | Split::IdTest | Split::Near | Split::Far | Split::Extra => {
                Place::Elsewhere
            }
        }
    }

    fn perturb(&self, units: &[&Done], setting: Odin) -> Result<(Odin, Array2<f32>)> {
        let mut units = units.to_vec();
        let logits = self.pipeline.each(&mut units, |done| {
            let set = self.parts[done.part].set.name();
            perturb(self.pipeline, set, &done.unit, self.classifier, &setting)
        })?;
        Ok((setting, stacked(logits.iter())?))
    }
}

/// Arrays of several units behind each other, `[image, column]`.
pub(crate) fn stacked<'a>(arrays: impl Iterator<Item = &'a Array>) -> Result<Array2<f32>> {
    let mut columns = 0;
    let mut values = Vec::new();
    for array in arrays {
        columns = array.shape[1];
        values.extend_from_slice(&array.values);
    }
    let rows = values.len() / columns.max(1);
    Array2::from_shape_vec((rows, columns), values).map_err(|error| {
        Error::Setting(format!(
            "stored observations do not fit each other: {error}; use --force"
        ))
    })
}

fn views(perturbed: &[(Odin, Array2<f32>)]) -> Vec<Perturbed<'_>> {
    perturbed
        .iter()
        .map(|(setting, logits)| Perturbed {
            temperature: setting.temperature,
            noise: setting.noise,
            logits: logits.view(),
        })
        .collect()
}

/// What a classifier said of some units, and all classifiers where all of them looked.
struct Seen {
    logits: Array2<f32>,
    features: Array2<f32>,
    members: Option<Array3<f32>>,
    perturbed: Vec<(Odin, Array2<f32>)>,
    labels: Vec<usize>,
}

impl Seen {
    fn of<'a>(units: impl IntoIterator<Item = &'a Done>, classifier: usize) -> Result<Self> {
        let units: Vec<&Done> = units.into_iter().collect();
        let classifiers = units.first().map_or(0, |done| done.observed.len());
        let logits = |k: usize| stacked(units.iter().map(|done| &done.observed[k].logits));
        let members = match classifiers > 1 {
            true => {
                let members = (0..classifiers).map(logits).collect::<Result<Vec<_>>>()?;
                let views: Vec<_> = members.iter().map(|array| array.view()).collect();
                let fault = |error: ndarray::ShapeError| {
                    Error::Setting(format!("the classifiers differ in classes: {error}"))
                };
                Some(ndarray::stack(Axis(0), &views).map_err(fault)?)
            }
            false => None,
        };
        Ok(Self {
            logits: logits(classifier)?,
            features: stacked(units.iter().map(|done| &done.observed[classifier].features))?,
            members,
            perturbed: Vec::new(),
            labels: units
                .iter()
                .flat_map(|done| done.unit.truth.iter().map(|truth| truth.unwrap_or(0)))
                .collect(),
        })
    }

    /// Without perturbed inputs.
    fn observations(&self) -> Observations<'_> {
        Observations {
            logits: self.logits.view(),
            features: self.features.view(),
            members: self.members.as_ref().map(|members| members.view()),
            perturbed: &[],
        }
    }

    fn with<T>(&self, f: impl FnOnce(&Observations) -> T) -> T {
        let perturbed = views(&self.perturbed);
        f(&Observations {
            perturbed: &perturbed,
            ..self.observations()
        })
    }

    fn labelled(&self) -> Labelled<'_> {
        Labelled {
            observations: self.observations(),
            labels: &self.labels,
        }
    }
}
