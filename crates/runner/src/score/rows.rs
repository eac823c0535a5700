//! The rows of a run that single images have all for.

use std::path::Path;

use burn::tensor::Tensor;
use diffguard_guidance::{Cost, DiffGuard, ImageReport, Report};
use diffguard_ood::detectors::{self, Detector, FitData, Need, Observations};
use ndarray::Array2;

use crate::baselines::Baseline;
use crate::bench::{Chosen, candidate};
use crate::evaluate::fuse;
use crate::experiment::{
    Alias, Combination, Denoising, Experiment, Guard, HEADLINE, base, unknown,
};
use crate::pipeline::array;
use crate::scores::{Sample, Scores};
use crate::stages::denoising_columns;
use crate::{Error, Result};

/// What can be said of single images: the guard's similarities; denoising under labels, where the guard works with the network
/// that is asked; detectors that ask for nothing but logits and learn nothing; fusions of these.
pub(super) struct Rows<'a> {
    experiment: &'a Experiment,
    guard: &'a Guard,
    denoisings: &'a [Denoising],
    detectors: Vec<(String, Box<dyn Detector>)>,
    aliases: Vec<&'a Alias>,
    fusions: Vec<&'a Combination>,
    /// The columns of denoising with another network than the guard's, which is not here any more.
    pub(super) left_out: Vec<String>,
}

/// What was found of images.
#[derive(Default)]
pub(super) struct Found {
    pub(super) reports: Vec<ImageReport>,
    denoised: Vec<(String, Vec<f64>)>,
    pub(super) cost: Cost,
}

impl<'a> Rows<'a> {
    /// The rows of `experiment` under its guard, with the detectors that watched its classifier.
    ///
    /// # Errors
    /// When a detector cannot be built.
    pub(super) fn of(
        experiment: &'a Experiment,
        guard: &'a Guard,
        baselines: &[Baseline],
    ) -> Result<Self> {
        let (denoisings, others): (&[Denoising], &[Denoising]) =
            match experiment.diffusion_of.contains_key(base(&guard.inversion)) {
                true => (&[], &experiment.denoisings),
                false => (&experiment.denoisings, &[]),
            };
        let mut rows = Self {
            experiment,
            guard,
            denoisings,
            detectors: of_logits(baselines)?,
            aliases: Vec::new(),
            fusions: Vec::new(),
            left_out: others.iter().map(Denoising::column).collect(),
        };
        let mut known = rows.parts();
        for alias in &experiment.aliases {
            if known.contains(&alias.of) {
                known.push(alias.name.clone());
                rows.aliases.push(alias);
            }
        }
        for fusion in &experiment.combinations {
            if fusion.of.iter().all(|row| known.contains(row)) {
                known.push(fusion.name.clone());
                rows.fusions.push(fusion);
            }
        }
        Ok(rows)
    }

    /// What is made of no other row.
    fn parts(&self) -> Vec<String> {
        let guard = self.guard;
        let similarities = guard.reference.iter().flat_map(|reference| {
            let columns = guard.similarity.iter();
            columns.map(|similarity| guard.column(*reference, *similarity))
        });
        let denoised = self.denoisings.iter().flat_map(|denoising| {
            let scores = denoising.columns().map(|(column, _)| column);
            scores.chain(denoising.level_columns())
        });
        let detected = self.detectors.iter().map(|(row, _)| row.clone());
        let headline = [HEADLINE.to_owned()];
        similarities
            .chain(denoised)
            .chain(detected)
            .chain(headline)
            .collect()
    }

    /// Refuses to judge by what is none of them.
    ///
    /// # Errors
    /// Says why a row of the run is none of them; names the nearest one, or all.
    pub(super) fn check(&self, by: &str) -> Result<()> {
        let mut all = self.parts();
        all.extend(self.aliases.iter().map(|alias| alias.name.clone()));
        all.extend(self.fusions.iter().map(|fusion| fusion.name.clone()));
        all.retain(|row| self.experiment.in_tables(row));
        if all.iter().any(|row| row == by) {
            return Ok(());
        }
        let known = all.iter().map(String::as_str);
        Err(Error::Setting(
            match self.experiment.table_rows().iter().any(|row| row == by) {
                true => format!(
                    "a single image cannot be judged by `{by}`, which takes other images, other networks or another guard; \
                 there are: {}",
                    known.collect::<Vec<_>>().join(", ")
                ),
                false => format!("single images are to be judged by {}", unknown(by, known)),
            },
        ))
    }

    /// Asks the networks of further images, `[batch, channel, height, width]` in [-1, 1].
    ///
    /// # Errors
    /// As [`DiffGuard::score_named`] and [`DiffGuard::denoise`].
    pub(super) fn ask(
        &self,
        diffguard: &DiffGuard,
        images: &Tensor<4>,
        samples: &[u64],
        found: &mut Found,
    ) -> Result<Report> {
        let report = diffguard.score_named(images, samples)?;
        found.cost += report.cost;
        let predicted: Vec<usize> = report.images.iter().map(|image| image.predicted).collect();
        for denoising in self.denoisings {
            let made = diffguard.denoise(&denoising.noise, images, (&predicted, samples))?;
            found.cost += made.cost;
            let errors = array(made.errors)?;
            for (column, scores) in denoising_columns(denoising, &errors.values, errors.shape[2]) {
                let known = found
                    .denoised
                    .iter_mut()
                    .find(|(known, _)| *known == column);
                match known {
                    Some((_, before)) => before.extend(scores),
                    None => found.denoised.push((column, scores)),
                }
            }
        }
        found.reports.extend(report.images.iter().cloned());
        Ok(report)
    }

    /// Every row, of the validation samples and of the `images` behind them: what is fitted on validation is applied to both.
    /// And the elected setting's own name.
    ///
    /// # Errors
    /// When the run in `folder` lacks a column.
    pub(super) fn all(
        &self,
        (chosen, validation, folder): (&Chosen, &Scores, &Path),
        images: Vec<Sample>,
        found: &Found,
    ) -> Result<(Scores, String)> {
        let mut all = Scores::new([validation.samples.clone(), images].concat());
        let reports = &found.reports;
        let classes = reports.first().map_or(0, |report| report.logits.len());
        let logit = |(image, class): (usize, usize)| reports[image].logits[class];
        let logits = Array2::from_shape_fn((reports.len(), classes), logit);
        let seen = Observations {
            logits: logits.view(),
            ..Observations::default()
        };
        let mut columns = Vec::new();
        for reference in &self.guard.reference {
            for similarity in &self.guard.similarity {
                let of = (*reference, *similarity);
                let scores = reports.iter().map(|report| report.scores[&of]).collect();
                columns.push((self.guard.column(of.0, of.1), scores));
            }
        }
        columns.extend(found.denoised.iter().cloned());
        for (row, detector) in &self.detectors {
            columns.push((row.clone(), detector.score(&seen)?));
        }
        for (column, scores) in columns {
            let known = validation.column(&column).ok_or_else(|| {
                Error::file(
                    &folder.join("scores.parquet"),
                    format!("no column `{column}`; run the benchmark again"),
                )
            })?;
            all.push(column, [known, &scores].concat())?;
        }
        let (elected, values) =
            candidate(self.guard, chosen.reference, &chosen.similarities, &all)?;
        all.push(HEADLINE, values)?;
        for alias in &self.aliases {
            let values = all.column(&alias.of).unwrap_or_default().to_vec();
            all.push(&alias.name, values)?;
        }
        for fusion in &self.fusions {
            all.push(&fusion.name, fuse(fusion, &all)?)?;
        }
        all.retain(|column| self.experiment.in_tables(column));
        Ok((all, elected))
    }
}

/// Detectors that ask for nothing but logits and learn nothing, by their rows.
fn of_logits(baselines: &[Baseline]) -> Result<Vec<(String, Box<dyn Detector>)>> {
    let mut found = Vec::new();
    for baseline in baselines {
        let entry = detectors::entry(&baseline.detector)?;
        let mut detector = entry.build(baseline.parameters.clone())?;
        if entry.needs == [Need::Logits] && detector.fit(&FitData::default()).is_ok() {
            found.push((baseline.row.clone(), detector));
        }
    }
    Ok(found)
}
