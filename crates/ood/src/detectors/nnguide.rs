//! NNGuide, nearest-neighbour guidance.
//!
//! Park, Jung and Teoh, "Nearest Neighbor Guidance for Out-of-Distribution Detection", ICCV 2023.

use ndarray::{Array2, ArrayView2, Axis};
use serde::{Deserialize, Serialize};

use super::grid::GridAxis;
use super::neighbours::for_each_nearest;
use super::softmax::{log_sum_exp, score_rows};
use super::{Detector, DetectorEntry, FitData, KIND, Need, Observations, check, fitted};
use crate::linalg::normalised;
use crate::{Error, parameters};

const NAME: &str = "nnguide";

pub(super) const ENTRY: DetectorEntry = DetectorEntry {
    name: NAME,
    summary: "energy times the mean similarity to the nearest energy-weighted training features",
    citation: "Park, Jung and Teoh, ICCV 2023",
    needs: &[
        Need::Logits,
        Need::Features,
        Need::TrainLogits,
        Need::TrainFeatures,
    ],
    defaults: parameters::defaults::<Parameters>,
    grid: &[GridAxis::whole("k", &[100])],
    construct: |table| {
        let parameters: Parameters = parameters::parse(KIND, NAME, table)?;
        check(NAME, parameters.k > 0, "`k` must be at least 1")?;
        check(
            NAME,
            parameters.alpha > 0.0 && parameters.alpha <= 1.0,
            "`alpha` must lie in (0, 1]",
        )?;
        check(
            NAME,
            parameters.loader_batch > 0,
            "`loader_batch` must be at least 1",
        )?;
        Ok(Box::new(NnGuide::new(parameters)))
    },
};

/// Which training samples form the bank.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BankRows {
    /// Evenly spread over the training split, so that a split stored class by class gives every class its
    /// share.
    #[default]
    Spread,
    /// The leading rows, as OpenOOD takes them from a shuffled loader.
    Leading,
}

/// Parameters; the defaults are OpenOOD's.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Parameters {
    /// How many neighbours guide; 100.
    pub k: usize,
    /// Share of the training split in the bank; 0.01. OpenOOD takes whole loader batches until more than this
    /// share has been seen.
    pub alpha: f64,
    /// Rows of such a batch; 200.
    pub loader_batch: usize,
    /// `"spread"` or `"leading"`.
    pub rows: BankRows,
}

impl Default for Parameters {
    fn default() -> Self {
        Self {
            k: 100,
            alpha: 0.01,
            loader_batch: 200,
            rows: BankRows::Spread,
        }
    }
}

/// Score `E(z) mean_k <f / ||f||, bank row>` over the k largest inner products, where a bank row is a
/// normalised training feature times the energy `E = log sum exp` of its logits.
#[derive(Debug)]
pub struct NnGuide {
    parameters: Parameters,
    bank: Option<Array2<f32>>,
}

impl NnGuide {
    /// An unfitted detector.
    pub fn new(parameters: Parameters) -> Self {
        Self {
            parameters,
            bank: None,
        }
    }

    /// The bank, [row, feature].
    pub fn bank(&self) -> Option<ArrayView2<'_, f32>> {
        self.bank.as_ref().map(|bank| bank.view())
    }
}

impl Detector for NnGuide {
    fn fit(&mut self, data: &FitData) -> Result<(), Error> {
        let Observations {
            logits, features, ..
        } = data.train.observations;
        let (n, batch) = (features.nrows(), self.parameters.loader_batch);
        let exceeds = (self.parameters.alpha * n as f64).floor() as usize + 1;
        let size = (exceeds.div_ceil(batch) * batch).min(n);
        if size < self.parameters.k {
            let cause = format!(
                "`k` is {} but the bank has {size} of {n} training samples",
                self.parameters.k
            );
            return Err(Error::detector(
                NAME,
                cause,
                "lower `k`, raise `alpha` or pass more training samples",
            ));
        }
        let rows: Vec<usize> = match self.parameters.rows {
            BankRows::Leading => (0..size).collect(),
            BankRows::Spread => (0..size).map(|row| row * n / size).collect(),
        };
        let mut bank = normalised(features.select(Axis(0), &rows).view());
        let energies = score_rows(logits.select(Axis(0), &rows).view(), log_sum_exp);
        for (mut row, energy) in bank.axis_iter_mut(Axis(0)).zip(energies) {
            row.mapv_inplace(|value| (f64::from(value) * energy) as f32);
        }
        self.bank = Some(bank);
        Ok(())
    }

    fn score(&self, observations: &Observations) -> Result<Vec<f64>, Error> {
        let bank = fitted(NAME, &self.bank)?;
        let queries = normalised(observations.features);
        let guidance = for_each_nearest(
            queries.view(),
            bank.view(),
            self.parameters.k,
            false,
            |_, nearest| {
                nearest
                    .iter()
                    .map(|neighbour| f64::from(neighbour.key))
                    .sum::<f64>()
                    / nearest.len() as f64
            },
        );
        let energies = score_rows(observations.logits, log_sum_exp);
        Ok(guidance
            .into_iter()
            .zip(energies)
            .map(|(guidance, energy)| guidance * energy)
            .collect())
    }
}
