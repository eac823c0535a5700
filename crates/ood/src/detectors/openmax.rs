//! OpenMax.
//!
//! Bendale and Boult, "Towards Open Set Deep Networks", CVPR 2016.

use ndarray::{Array1, Array2, ArrayView1, ArrayView2, Axis};
use serde::{Deserialize, Serialize};

use super::class_means::class_means;
use super::softmax::{argmax, predictions, softmax};
use super::weibull::Weibull;
use super::{Detector, DetectorEntry, FitData, KIND, Need, Observations, check, fitted};
use crate::linalg::{by_rows, norm};
use crate::{Error, parameters};

const NAME: &str = "openmax";

pub(super) const ENTRY: DetectorEntry = DetectorEntry {
    name: NAME,
    summary: "negative probability of an unknown class, from Weibull fits of logit distances",
    citation: "Bendale and Boult, CVPR 2016",
    needs: &[Need::Logits, Need::TrainLogits, Need::TrainLabels],
    defaults: parameters::defaults::<Parameters>,
    grid: &[],
    construct: |table| {
        let parameters: Parameters = parameters::parse(KIND, NAME, table)?;
        check(NAME, parameters.alpha > 0, "`alpha` must be at least 1")?;
        check(NAME, parameters.tail > 1, "`tail` must be at least 2")?;
        Ok(Box::new(OpenMax::new(parameters)))
    },
};

/// Parameters; the defaults are OpenOOD's.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Parameters {
    /// How many of the largest logits are revised; 3, all when there are fewer classes.
    pub alpha: usize,
    /// How many of a class's largest distances are fitted; 20, all when a class has fewer.
    pub tail: usize,
    /// Probability below which a prediction is rejected; 0.9. It does not enter the score.
    pub threshold: f64,
}

impl Default for Parameters {
    fn default() -> Self {
        Self {
            alpha: 3,
            tail: 20,
            threshold: 0.9,
        }
    }
}

/// libmr moves a tail so that its smallest distance becomes this before it is fitted.
const TRANSLATION: f64 = 1.0;

/// What OpenMax learns of one class.
#[derive(Debug)]
pub struct ClassModel {
    /// Mean logits of the correctly classified training samples, `[class]`.
    pub mean_activation: Array1<f64>,
    /// The largest Euclidean distances of those samples to it, ascending, `[tail]`.
    pub tail: Vec<f64>,
    /// Fitted to the translated tail.
    pub weibull: Weibull,
}

/// Score: minus the probability of the unknown class. Each of the `alpha` largest logits gives up the share
/// `w (alpha - rank) / alpha` of itself, w the Weibull probability of its distance to the class mean; what is
/// given up, summed, is the unknown class's logit.
#[derive(Debug)]
pub struct OpenMax {
    parameters: Parameters,
    classes: Option<Vec<ClassModel>>,
}

impl OpenMax {
    /// An unfitted detector.
    pub fn new(parameters: Parameters) -> Self {
        Self {
            parameters,
            classes: None,
        }
    }

    /// What was learnt, one for each class.
    pub fn classes(&self) -> Option<&[ClassModel]> {
        self.classes.as_deref()
    }

    /// Probabilities of the classes and, last, of the unknown class, [n, class + 1].
    ///
    /// # Errors
    /// [`Error::Detector`] before `fit`.
    pub fn probabilities(&self, logits: ArrayView2<f32>) -> Result<Array2<f64>, Error> {
        let classes = fitted(NAME, &self.classes)?;
        let rows = by_rows(logits.nrows(), |row| {
            self.row_probabilities(classes, logits.row(row))
        });
        let mut all = Array2::zeros((logits.nrows(), classes.len() + 1));
        for (mut into, row) in all.axis_iter_mut(Axis(0)).zip(rows) {
            into.assign(&Array1::from_vec(row));
        }
        Ok(all)
    }

    fn row_probabilities(&self, classes: &[ClassModel], logits: ArrayView1<f32>) -> Vec<f64> {
        let logits = logits.mapv(f64::from);
        let alpha = self.parameters.alpha.min(logits.len());
        let mut order: Vec<usize> = (0..logits.len()).collect();
        order.sort_by(|&a, &b| logits[b].total_cmp(&logits[a]));
        let mut revised = logits.to_vec();
        let mut unknown = 0.0;
        for (rank, &class) in order.iter().take(alpha).enumerate() {
            let ClassModel {
                mean_activation,
                tail,
                weibull,
            } = &classes[class];
            let distance = norm((&logits - mean_activation).view());
            let smallest = tail.first().copied().unwrap_or_default();
            let outlying = weibull.cdf(distance + TRANSLATION - smallest);
            let removed = logits[class] * outlying * (alpha - rank) as f64 / alpha as f64;
            revised[class] -= removed;
            unknown += removed;
        }
        revised.push(unknown);
        softmax(ArrayView1::from(&revised))
    }
}

impl Detector for OpenMax {
    fn fit(&mut self, data: &FitData) -> Result<(), Error> {
        let (logits, labels) = (data.train.observations.logits, data.train.labels);
        if let Some(row) = labels.iter().position(|&label| label >= logits.ncols()) {
            let cause = format!(
                "training label {} of sample {row} is not a class",
                labels[row]
            );
            return Err(Error::detector(
                NAME,
                cause,
                "number the classes from 0 as the network's outputs",
            ));
        }
        let predicted = predictions(logits);
        let correct = |row: usize| predicted[row] == labels[row];
        let more = "pass more training samples";
        let means = class_means(logits, labels, logits.ncols(), correct).map_err(|class| {
            Error::detector(
                NAME,
                format!("class {class} has no correctly classified training sample"),
                more,
            )
        })?;
        let mut distances = vec![Vec::new(); logits.ncols()];
        for row in (0..logits.nrows()).filter(|&row| correct(row)) {
            let difference = &logits.row(row).mapv(f64::from) - &means.row(labels[row]);
            distances[labels[row]].push(norm(difference.view()));
        }
        let fit = |(class, mut distances): (usize, Vec<f64>)| {
            distances.sort_unstable_by(f64::total_cmp);
            let tail = distances.split_off(distances.len().saturating_sub(self.parameters.tail));
            let translated: Vec<f64> = tail
                .iter()
                .map(|distance| distance + TRANSLATION - tail[0])
                .collect();
            let weibull = Weibull::fit(&translated).ok_or_else(|| {
                let cause = format!(
                    "class {class} has {} distances, too few or all equal to fit",
                    tail.len()
                );
                Error::detector(NAME, cause, more)
            })?;
            Ok(ClassModel {
                mean_activation: means.row(class).to_owned(),
                tail,
                weibull,
            })
        };
        self.classes = Some(
            distances
                .into_iter()
                .enumerate()
                .map(fit)
                .collect::<Result<_, Error>>()?,
        );
        Ok(())
    }

    fn score(&self, observations: &Observations) -> Result<Vec<f64>, Error> {
        let probabilities = self.probabilities(observations.logits)?;
        Ok(probabilities
            .axis_iter(Axis(0))
            .map(|row| -row[row.len() - 1])
            .collect())
    }

    /// The likeliest of class + 1 outcomes when its probability reaches the threshold, otherwise the last
    /// known class (as OpenOOD has it).
    fn predict(&self, observations: &Observations) -> Result<Vec<usize>, Error> {
        let probabilities = self.probabilities(observations.logits)?;
        let of_row = |row: ArrayView1<f64>| match argmax(row) {
            best if row[best] >= self.parameters.threshold => best,
            _ => row.len() - 2,
        };
        Ok(probabilities.axis_iter(Axis(0)).map(of_row).collect())
    }
}
