//! A detector's parameters, chosen on the benchmark's validation split by grid.
//!
//! The criterion is OpenOOD's: the AUROC of in-distribution validation samples against out-of-distribution validation
//! samples, here averaged over the validation sets so that a large one does not outvote a small one. [`tune`] sees
//! validation samples alone: [`Validation`] is made from all samples of a run and the [`Place`] of each in its
//! benchmark, and keeps no others.

use ndarray::{Array2, Array3, ArrayView2, Axis};
use serde::{Deserialize, Serialize};

use crate::Error;
use crate::detectors::{DetectorEntry, FitData, Observations, Perturbed, grid};
use crate::metrics::Ranking;

/// Where a sample stands in its benchmark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// In-distribution validation.
    IdValidation,
    /// Out-of-distribution validation, in the set of this number.
    OodValidation(usize),
    /// Anywhere else: test samples of both kinds.
    Elsewhere,
}

/// The validation samples of a run. There is no way to put a test sample in: whoever makes it hands over all samples
/// with their places, and those that stand elsewhere are left out here.
#[derive(Debug)]
pub struct Validation {
    id: Owned,
    ood: Vec<Owned>,
}

/// Copied rows of [`Observations`].
#[derive(Debug)]
struct Owned {
    logits: Array2<f32>,
    features: Array2<f32>,
    members: Option<Array3<f32>>,
    perturbed: Vec<(f64, f64, Array2<f32>)>,
}

impl Owned {
    fn rows(all: &Observations, rows: &[usize]) -> Self {
        let of = |matrix: ArrayView2<f32>| match matrix.is_empty() {
            true => matrix.to_owned(),
            false => matrix.select(Axis(0), rows),
        };
        Self {
            logits: of(all.logits),
            features: of(all.features),
            members: all.members.map(|members| members.select(Axis(1), rows)),
            perturbed: all
                .perturbed
                .iter()
                .map(|seen| (seen.temperature, seen.noise, of(seen.logits)))
                .collect(),
        }
    }

    fn with<T>(&self, f: impl FnOnce(&Observations) -> T) -> T {
        let perturbed: Vec<Perturbed> = self
            .perturbed
            .iter()
            .map(|(temperature, noise, logits)| Perturbed {
                temperature: *temperature,
                noise: *noise,
                logits: logits.view(),
            })
            .collect();
        f(&Observations {
            logits: self.logits.view(),
            features: self.features.view(),
            members: self.members.as_ref().map(|members| members.view()),
            perturbed: &perturbed,
        })
    }
}

impl Validation {
    /// The validation samples among all `observations`, by the place of each.
    ///
    /// # Errors
    /// [`Error::LengthMismatch`] unless every sample has a place; [`Error::OneSided`] when the benchmark has no
    /// in-distribution or no out-of-distribution validation samples: nothing can be chosen on it then.
    pub fn of(observations: &Observations, places: &[Place]) -> Result<Self, Error> {
        let samples = observations
            .logits
            .nrows()
            .max(observations.features.nrows());
        if samples != places.len() {
            return Err(Error::LengthMismatch {
                what: "observations and their places".into(),
                left: samples,
                right: places.len(),
            });
        }
        let rows = |place: Place| -> Vec<usize> {
            (0..places.len())
                .filter(|&row| places[row] == place)
                .collect()
        };
        let one_sided = |split| Error::OneSided {
            name: "validation".into(),
            split,
        };
        let id = rows(Place::IdValidation);
        if id.is_empty() {
            return Err(one_sided("in-distribution validation"));
        }
        let sets = places.iter().filter_map(|place| match place {
            Place::OodValidation(set) => Some(*set + 1),
            _ => None,
        });
        let ood: Vec<Owned> = (0..sets.max().unwrap_or(0))
            .map(|set| rows(Place::OodValidation(set)))
            .filter(|rows| !rows.is_empty())
            .map(|rows| Owned::rows(observations, &rows))
            .collect();
        if ood.is_empty() {
            return Err(one_sided("out-of-distribution validation"));
        }
        Ok(Self {
            id: Owned::rows(observations, &id),
            ood,
        })
    }
}

/// One point of the grid.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Candidate {
    /// The tuned parameters; fixed ones are not repeated.
    pub parameters: toml::Table,
    /// Mean AUROC over the validation sets; absent where the detector refused the parameters.
    pub validation_auroc: Option<f64>,
    /// Why the detector refused them, e.g. more neighbours than samples.
    pub refused: Option<String>,
}

/// What was chosen, and from what.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Tuned {
    /// The fixed and the chosen parameters: what to build the detector with.
    pub parameters: toml::Table,
    /// Mean validation AUROC of the chosen ones.
    pub validation_auroc: f64,
    /// The whole grid in its order; of equals the first was chosen.
    pub candidates: Vec<Candidate>,
}

/// Chooses among `grid` (the detector's published one where `None`), fitting every candidate on `data`.
///
/// # Errors
/// [`Error::Parameter`] for a detector without a grid or a grid that is none; [`Error::Detector`] when every candidate
/// is refused, with the last reason.
pub fn tune(
    entry: &DetectorEntry,
    fixed: &toml::Table,
    grid: Option<&toml::Table>,
    data: &FitData,
    validation: &Validation,
) -> Result<Tuned, Error> {
    let (grid, tables) = entry.candidates(fixed, grid)?;
    let mut best: Option<(f64, usize)> = None;
    let mut candidates = Vec::new();
    for (index, table) in tables.iter().enumerate() {
        let outcome = validation_auroc(entry, table, data, validation);
        if let Ok(auroc) = outcome
            && best.is_none_or(|(highest, _)| auroc > highest)
        {
            best = Some((auroc, index));
        }
        let tuned = table.iter().filter(|(key, _)| grid.contains_key(*key));
        candidates.push(Candidate {
            parameters: tuned
                .map(|(key, value)| (key.clone(), value.clone()))
                .collect(),
            validation_auroc: outcome.as_ref().ok().copied(),
            refused: outcome.err().map(|error| error.to_string()),
        });
    }
    match best {
        Some((validation_auroc, index)) => Ok(Tuned {
            parameters: tables[index].clone(),
            validation_auroc,
            candidates,
        }),
        None => {
            let last = candidates.into_iter().last().and_then(|last| last.refused);
            let cause = format!(
                "none of the {} points of its grid can be used, the last one because: {}",
                tables.len(),
                last.unwrap_or_default()
            );
            let mend = "give a grid of your own, e.g. tune = { k = [5, 10] }";
            Err(Error::detector(entry.name, cause, mend))
        }
    }
}

fn validation_auroc(
    entry: &DetectorEntry,
    parameters: &toml::Table,
    data: &FitData,
    validation: &Validation,
) -> Result<f64, Error> {
    let mut detector = entry.build(parameters.clone())?;
    detector.fit(data)?;
    let id = validation.id.with(|seen| detector.score(seen))?;
    let mut sum = 0.0;
    for set in &validation.ood {
        let ood = set.with(|seen| detector.score(seen))?;
        sum += Ranking::new(entry.name, &id, &ood)?.auroc();
    }
    Ok(sum / validation.ood.len() as f64)
}

impl DetectorEntry {
    /// The published grid, as an experiment file writes one; empty where there is none.
    pub fn published_grid(&self) -> toml::Table {
        grid::table(self.grid)
    }

    /// The grid to choose from and all its points, laid over `fixed`. Keys of the published grid that are fixed are
    /// left out of it.
    ///
    /// # Errors
    /// [`Error::Parameter`] for a detector without a grid, or a grid that is none.
    pub fn candidates(
        &self,
        fixed: &toml::Table,
        grid: Option<&toml::Table>,
    ) -> Result<(toml::Table, Vec<toml::Table>), Error> {
        let grid = match grid {
            Some(grid) => grid.clone(),
            None => {
                let mut grid = self.published_grid();
                grid.retain(|key, _| !fixed.contains_key(key));
                grid
            }
        };
        if grid.is_empty() {
            return Err(Error::Parameter {
                kind: "detector",
                name: self.name.into(),
                problem: "it has no published grid, or all of it is fixed; leave out `tune`, or list the values, e.g. \
                          tune = { k = [5, 10] }"
                    .into(),
            });
        }
        let tables = grid::combinations(self.name, &grid, fixed)?;
        Ok((grid, tables))
    }
}
