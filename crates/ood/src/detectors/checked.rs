//! The gate in front of every detector: shapes, finiteness, labels, presence.

use ndarray::{ArrayView2, Axis};

use super::{Detector, DetectorEntry, FitData, Labelled, Need, Observations, fitted};
use crate::Error;

/// A detector behind the checks that its needs call for.
pub(super) struct Checked {
    entry: DetectorEntry,
    detector: Box<dyn Detector>,
    width: Option<Width>,
}

/// Numbers of classes and features that fitting settled; `None` where the detector needs neither.
#[derive(Default)]
struct Width {
    classes: Option<usize>,
    features: Option<usize>,
}

impl Checked {
    pub(super) fn new(entry: DetectorEntry, detector: Box<dyn Detector>) -> Self {
        Self {
            entry,
            detector,
            width: None,
        }
    }

    fn needs(&self, need: Need) -> bool {
        self.entry.needs.contains(&need)
    }

    fn fault(&self, cause: String, mend: &str) -> Error {
        Error::detector(self.entry.name, cause, mend)
    }

    /// A needed matrix: it has rows and columns, agrees with the width known so far, and is finite.
    fn matrix(
        &self,
        what: &str,
        rows: ArrayView2<f32>,
        width: &mut Option<usize>,
    ) -> Result<(), Error> {
        if rows.is_empty() {
            return Err(self.fault(
                format!("there are no {what}"),
                "store them for this split and pass them",
            ));
        }
        let expected = *width.get_or_insert(rows.ncols());
        if rows.ncols() != expected {
            let cause = format!(
                "{what} have {} columns where {expected} are known",
                rows.ncols()
            );
            return Err(self.fault(
                cause,
                "take head, training and test observations from the same network",
            ));
        }
        match rows
            .axis_iter(Axis(0))
            .position(|row| row.iter().any(|value| !value.is_finite()))
        {
            Some(row) => Err(self.fault(
                format!("{what}: row {row} holds NaN or infinity"),
                "mend or leave out that sample",
            )),
            None => Ok(()),
        }
    }

    fn labels(
        &self,
        split: &str,
        data: &Labelled,
        rows: usize,
        classes: Option<usize>,
    ) -> Result<(), Error> {
        if data.labels.len() != rows {
            let cause = format!("{} {split} labels for {rows} samples", data.labels.len());
            return Err(self.fault(cause, "pass one label a sample, in the same order"));
        }
        let wrong =
            classes.and_then(|classes| data.labels.iter().position(|&label| label >= classes));
        match wrong {
            Some(row) => {
                let cause = format!(
                    "{split} label {} of sample {row} is not a class of the head",
                    data.labels[row]
                );
                Err(self.fault(cause, "number the classes from 0 as the network's outputs"))
            }
            None => Ok(()),
        }
    }

    fn same_rows(&self, split: &str, logits: usize, features: usize) -> Result<(), Error> {
        match logits == features {
            true => Ok(()),
            false => Err(self.fault(
                format!("{logits} {split} logits against {features} {split} features"),
                "both must describe the same samples in the same order",
            )),
        }
    }

    fn fit_split(
        &self,
        split: &str,
        data: &Labelled,
        needs: [Need; 3],
        width: &mut Width,
    ) -> Result<(), Error> {
        let [logits, features, labels] = needs.map(|need| self.needs(need));
        let observed = &data.observations;
        if logits {
            self.matrix(
                &format!("{split} logits"),
                observed.logits,
                &mut width.classes,
            )?;
        }
        if features {
            self.matrix(
                &format!("{split} features"),
                observed.features,
                &mut width.features,
            )?;
        }
        if logits && features {
            self.same_rows(split, observed.logits.nrows(), observed.features.nrows())?;
        }
        if labels {
            let rows = if logits {
                observed.logits.nrows()
            } else {
                observed.features.nrows()
            };
            self.labels(split, data, rows, width.classes)?;
        }
        Ok(())
    }
}

impl Detector for Checked {
    fn fit(&mut self, data: &FitData) -> Result<(), Error> {
        let mut width = Width::default();
        if self.needs(Need::Head) {
            self.matrix("head weights", data.head.weight, &mut width.features)?;
            let (classes, biases) = (data.head.weight.nrows(), data.head.bias.len());
            width.classes = Some(classes);
            if biases != classes {
                let cause = format!("the head has {biases} biases for {classes} classes");
                return Err(self.fault(cause, "pass weight [class, feature] and bias [class]"));
            }
            if data.head.bias.iter().any(|value| !value.is_finite()) {
                return Err(self.fault(
                    "the head's bias holds NaN or infinity".into(),
                    "check the checkpoint",
                ));
            }
        }
        self.fit_split(
            "training",
            &data.train,
            [Need::TrainLogits, Need::TrainFeatures, Need::TrainLabels],
            &mut width,
        )?;
        self.fit_split(
            "validation",
            &data.val,
            [Need::ValLogits, Need::ValFeatures, Need::ValLabels],
            &mut width,
        )?;
        self.detector.fit(data)?;
        self.width = Some(width);
        Ok(())
    }

    fn score(&self, observations: &Observations) -> Result<Vec<f64>, Error> {
        self.check(observations)?;
        let scores = self.detector.score(observations)?;
        match scores.iter().position(|score| !score.is_finite()) {
            Some(row) => Err(self.fault(
                format!("the score of sample {row} is {}", scores[row]),
                "its observations are degenerate for this method (constant or all zero?); leave it out",
            )),
            None => Ok(scores),
        }
    }

    fn predict(&self, observations: &Observations) -> Result<Vec<usize>, Error> {
        self.check(observations)?;
        self.detector.predict(observations)
    }
}

impl Checked {
    fn check(&self, observations: &Observations) -> Result<(), Error> {
        let width = fitted(self.entry.name, &self.width)?;
        let (mut classes, mut features) = (width.classes, width.features);
        if self.needs(Need::Logits) {
            self.matrix("logits", observations.logits, &mut classes)?;
        }
        if self.needs(Need::Features) {
            self.matrix("features", observations.features, &mut features)?;
        }
        if self.needs(Need::Logits) && self.needs(Need::Features) {
            self.same_rows(
                "test",
                observations.logits.nrows(),
                observations.features.nrows(),
            )?;
        }
        if self.needs(Need::Perturbed) {
            if observations.perturbed.is_empty() {
                return Err(self.fault(
                    "there are no logits of perturbed inputs".into(),
                    "observe the perturbation and pass it",
                ));
            }
            for seen in observations.perturbed {
                self.matrix("logits of perturbed inputs", seen.logits, &mut classes)?;
            }
        }
        if self.needs(Need::Members) {
            let Some(members) = observations.members else {
                return Err(self.fault(
                    "there are no member logits".into(),
                    "observe each member and stack the logits",
                ));
            };
            if members.is_empty() {
                return Err(self.fault(
                    "there are no member logits".into(),
                    "pass [member, n, class], none of them 0",
                ));
            }
            for (index, member) in members.axis_iter(Axis(0)).enumerate() {
                self.matrix(&format!("logits of member {index}"), member, &mut classes)?;
            }
        }
        Ok(())
    }
}
