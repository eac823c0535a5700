//! Maximum softmax probability after temperature scaling.
//!
//! Guo et al., "On Calibration of Modern Neural Networks", ICML 2017.

use ndarray::{Array1, ArrayView2, Axis};
use serde::{Deserialize, Serialize};

use super::softmax::{argmax, max, max_probability, score_rows, softmax};
use super::{Detector, DetectorEntry, FitData, KIND, Need, Observations, check, fitted};
use crate::{Error, parameters, root};

const NAME: &str = "temp_scaling";

pub(super) const ENTRY: DetectorEntry = DetectorEntry {
    name: NAME,
    summary: "largest softmax probability at the temperature that fits the validation labels",
    citation: "Guo et al., ICML 2017",
    // Validation logits and labels too, unless a temperature is given; `fit` asks for them itself.
    needs: &[Need::Logits],
    defaults: parameters::defaults::<Parameters>,
    grid: &[],
    construct: |table| {
        let parameters: Parameters = parameters::parse(KIND, NAME, table)?;
        check(
            NAME,
            parameters.temperature.is_none_or(|t| t > 0.0),
            "`temperature` must be positive",
        )?;
        Ok(Box::new(TempScaling {
            parameters,
            temperature: None,
        }))
    },
};

/// Parameters.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Parameters {
    /// A given temperature; absent (the default), it is fitted.
    pub temperature: Option<f64>,
}

/// Score `max_c softmax(z / T)_c`.
#[derive(Debug)]
pub struct TempScaling {
    parameters: Parameters,
    temperature: Option<f64>,
}

impl Detector for TempScaling {
    fn fit(&mut self, data: &FitData) -> Result<(), Error> {
        self.temperature = Some(match self.parameters.temperature {
            Some(given) => given,
            None => optimal_temperature(data.val.observations.logits, data.val.labels)?,
        });
        Ok(())
    }

    fn score(&self, observations: &Observations) -> Result<Vec<f64>, Error> {
        let t = fitted(NAME, &self.temperature)?;
        Ok(score_rows(observations.logits, |z| {
            max_probability((&z / *t).view())
        }))
    }
}

/// Mean negative log-likelihood of the labels at temperature `t`.
pub(crate) fn mean_nll(logits: ArrayView2<f32>, labels: &[usize], t: f64) -> f64 {
    let rows = logits.axis_iter(Axis(0)).zip(labels);
    let sum: f64 = rows
        .map(|(row, &label)| {
            let z = row.mapv(|z| f64::from(z) / t);
            super::softmax::log_sum_exp(z.view()) - z[label]
        })
        .sum();
    sum / labels.len() as f64
}

/// The temperature that minimises the mean negative log-likelihood of `labels`, by bisection on the slope in
/// `1/T`, in which the likelihood is convex. (OpenOOD stops after one L-BFGS call, well before the minimum.)
///
/// # Errors
/// [`Error::Detector`] when labels are missing or wrong, or when there is no minimum: every sample classified
/// correctly (T goes to 0) or a classifier no better than chance (T goes to infinity).
pub fn optimal_temperature(logits: ArrayView2<f32>, labels: &[usize]) -> Result<f64, Error> {
    let give = "pass validation logits with labels, or give `temperature`";
    if labels.is_empty() || labels.len() != logits.nrows() {
        let cause = format!(
            "{} validation labels for {} validation logits",
            labels.len(),
            logits.nrows()
        );
        return Err(Error::detector(NAME, cause, give));
    }
    if let Some(row) = labels.iter().position(|&label| label >= logits.ncols()) {
        return Err(Error::detector(
            NAME,
            format!(
                "validation label {} of sample {row} is not a class",
                labels[row]
            ),
            give,
        ));
    }
    let rows: Vec<Array1<f64>> = logits
        .axis_iter(Axis(0))
        .map(|row| row.mapv(f64::from))
        .collect();
    if let Some(row) = rows
        .iter()
        .position(|row| row.iter().any(|z| !z.is_finite()))
    {
        return Err(Error::detector(
            NAME,
            format!("validation logits: row {row} holds NaN or infinity"),
            give,
        ));
    }
    if rows
        .iter()
        .zip(labels)
        .all(|(row, &label)| argmax(row.view()) == label || row[label] == max(row.view()))
    {
        return Err(no_maximum());
    }
    let slope = |beta: f64| -> f64 {
        let of_row = |(row, &label): (&Array1<f64>, &usize)| {
            let p = softmax((row * beta).view());
            p.iter().zip(row).map(|(p, z)| p * z).sum::<f64>() - row[label]
        };
        rows.iter().zip(labels).map(of_row).sum()
    };
    if slope(0.0) >= 0.0 {
        return Err(Error::detector(
            NAME,
            "the validation labels are no likelier under the logits than by chance",
            "check that labels and logits belong together, or give `temperature`",
        ));
    }
    match root::of_increasing(slope) {
        Some(inverse) => Ok(1.0 / inverse),
        None => Err(no_maximum()),
    }
}

fn no_maximum() -> Error {
    Error::detector(
        NAME,
        "every validation sample is classified correctly: the likelihood has no maximum",
        "give `temperature`",
    )
}
