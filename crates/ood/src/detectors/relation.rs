//! Neural relation graph.
//!
//! Kim et al., "Neural Relation Graph: A Unified Framework for Identifying Label Noise and Outlier Data",
//! NeurIPS 2023.

use ndarray::{Array2, ArrayView2, Axis, s};
use serde::{Deserialize, Serialize};

use super::grid::GridAxis;
use super::{Detector, DetectorEntry, FitData, KIND, Need, Observations, check, fitted, softmax};
use crate::linalg::{by_blocks, inner_products, normalised};
use crate::{Error, parameters};

const NAME: &str = "relation";

pub(super) const ENTRY: DetectorEntry = DetectorEntry {
    name: NAME,
    summary: "sum of feature-and-prediction similarities to the training samples",
    citation: "Kim et al., NeurIPS 2023",
    needs: &[
        Need::Logits,
        Need::Features,
        Need::TrainLogits,
        Need::TrainFeatures,
    ],
    defaults: parameters::defaults::<Parameters>,
    grid: &[GridAxis::real("pow", &[1.0, 2.0, 4.0, 6.0, 8.0])],
    construct: |table| {
        let parameters: Parameters = parameters::parse(KIND, NAME, table)?;
        check(NAME, parameters.pow > 0.0, "`pow` must be positive")?;
        check(
            NAME,
            parameters.threshold >= 0.0,
            "`threshold` must not be negative",
        )?;
        Ok(Box::new(Relation {
            parameters,
            bank: None,
        }))
    },
};

/// Parameters; the defaults are OpenOOD's.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Parameters {
    /// Exponent of a similarity; 1.
    pub pow: f64,
    /// Similarities up to this are dropped; 0.03.
    pub threshold: f64,
}

impl Default for Parameters {
    fn default() -> Self {
        Self {
            pow: 1.0,
            threshold: 0.03,
        }
    }
}

/// Score `sum_i k_i^pow [k_i > threshold]` over the training samples with
/// `k_i = max(0, cos(f, f_i)) <p, p_i>`, p the softmax.
#[derive(Debug)]
pub struct Relation {
    parameters: Parameters,
    bank: Option<Side>,
}

/// Normalised features [n, feature] and softmax vectors [n, class].
#[derive(Debug)]
struct Side {
    features: Array2<f32>,
    probabilities: Array2<f32>,
}

impl Side {
    fn of(observations: &Observations) -> Self {
        Self {
            features: normalised(observations.features),
            probabilities: probabilities(observations.logits),
        }
    }
}

fn probabilities(logits: ArrayView2<f32>) -> Array2<f32> {
    let mut p = logits.to_owned();
    for mut row in p.axis_iter_mut(Axis(0)) {
        let softmax = softmax::softmax(row.mapv(f64::from).view());
        row.iter_mut()
            .zip(softmax)
            .for_each(|(p, value)| *p = value as f32);
    }
    p
}

impl Detector for Relation {
    fn fit(&mut self, data: &FitData) -> Result<(), Error> {
        self.bank = Some(Side::of(&data.train.observations));
        Ok(())
    }

    fn score(&self, observations: &Observations) -> Result<Vec<f64>, Error> {
        const BANK_BLOCK: usize = 4096;
        let bank = fitted(NAME, &self.bank)?;
        let queries = Side::of(observations);
        let Parameters { pow, threshold } = self.parameters;
        let power = |similarity: f64| {
            if pow == 1.0 {
                similarity
            } else {
                similarity.powf(pow)
            }
        };
        Ok(by_blocks(queries.features.nrows(), |range| {
            let features = queries.features.slice(s![range.clone(), ..]);
            let p = queries.probabilities.slice(s![range, ..]);
            let mut sums = vec![0.0; features.nrows()];
            for start in (0..bank.features.nrows()).step_by(BANK_BLOCK) {
                let rows = s![start..(start + BANK_BLOCK).min(bank.features.nrows()), ..];
                let cosines = inner_products(features, bank.features.slice(rows));
                let agreements = inner_products(p, bank.probabilities.slice(rows));
                let pairs = cosines
                    .axis_iter(Axis(0))
                    .zip(agreements.axis_iter(Axis(0)));
                for (sum, (cosines, agreements)) in sums.iter_mut().zip(pairs) {
                    let similarities = cosines
                        .iter()
                        .zip(agreements)
                        .map(|(&c, &a)| f64::from(c.max(0.0) * a));
                    *sum += similarities
                        .filter(|&similarity| similarity > threshold)
                        .map(power)
                        .sum::<f64>();
                }
            }
            sums
        }))
    }
}
