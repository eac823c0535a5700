//! Deep nearest neighbours.
//!
//! Sun et al., "Out-of-Distribution Detection with Deep Nearest Neighbors", ICML 2022.

use ndarray::Array2;
use serde::{Deserialize, Serialize};

use super::grid::GridAxis;
use super::neighbours::for_each_nearest;
use super::{Detector, DetectorEntry, FitData, KIND, Need, Observations, check, fitted};
use crate::linalg::normalised;
use crate::{Error, parameters};

const NAME: &str = "knn";

pub(super) const ENTRY: DetectorEntry = DetectorEntry {
    name: NAME,
    summary: "negative squared distance to the K-th nearest normalised training feature",
    citation: "Sun et al., ICML 2022",
    needs: &[Need::Features, Need::TrainFeatures],
    defaults: parameters::defaults::<Parameters>,
    grid: &[GridAxis::whole("k", &[50])],
    construct: |table| {
        let parameters: Parameters = parameters::parse(KIND, NAME, table)?;
        check(NAME, parameters.k > 0, "`k` must be at least 1")?;
        Ok(Box::new(Knn {
            parameters,
            bank: None,
        }))
    },
};

/// Parameters.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Parameters {
    /// Which neighbour's distance counts; 50 in the paper for CIFAR-10 and in OpenOOD.
    pub k: usize,
}

impl Default for Parameters {
    fn default() -> Self {
        Self { k: 50 }
    }
}

/// Score `-||f - f_(K)||^2`, features divided by their Euclidean norm (a zero feature stays zero). Exact: all
/// training features are compared.
#[derive(Debug)]
pub struct Knn {
    parameters: Parameters,
    bank: Option<Array2<f32>>,
}

impl Detector for Knn {
    fn fit(&mut self, data: &FitData) -> Result<(), Error> {
        let features = data.train.observations.features;
        if features.nrows() < self.parameters.k {
            let cause = format!(
                "`k` is {} but there are {} training samples",
                self.parameters.k,
                features.nrows()
            );
            return Err(Error::detector(
                NAME,
                cause,
                "lower `k` or pass more training samples",
            ));
        }
        self.bank = Some(normalised(features));
        Ok(())
    }

    fn score(&self, observations: &Observations) -> Result<Vec<f64>, Error> {
        let bank = fitted(NAME, &self.bank)?;
        let queries = normalised(observations.features);
        // The neighbour is chosen by rounded inner products; its distance is then taken exactly.
        Ok(for_each_nearest(
            queries.view(),
            bank.view(),
            self.parameters.k,
            true,
            |query, nearest| {
                let furthest = nearest.last().map_or(0, |neighbour| neighbour.row);
                let terms = query
                    .iter()
                    .zip(bank.row(furthest))
                    .map(|(&a, &b)| f64::from(a) - f64::from(b));
                -terms.map(|difference| difference * difference).sum::<f64>()
            },
        ))
    }
}
