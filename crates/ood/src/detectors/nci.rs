//! NCI, detection by neural collapse.
//!
//! Liu and Qin, "Detecting Out-of-Distribution Through the Lens of Neural Collapse", CVPR 2025.

use ndarray::{Array1, Array2};
use serde::{Deserialize, Serialize};

use super::grid::GridAxis;
use super::softmax::argmax;
use super::{Detector, DetectorEntry, FitData, KIND, Need, Observations, check, fitted};
use crate::linalg::{by_rows, mean_row, norm};
use crate::{Error, parameters};

const NAME: &str = "nci";

pub(super) const ENTRY: DetectorEntry = DetectorEntry {
    name: NAME,
    summary: "alignment of the centred feature with the predicted class's weights, plus the feature's L1 norm",
    citation: "Liu and Qin, CVPR 2025",
    needs: &[
        Need::Logits,
        Need::Features,
        Need::Head,
        Need::TrainFeatures,
    ],
    defaults: parameters::defaults::<Parameters>,
    grid: &[GridAxis::real("alpha", &[0.0001, 0.001, 0.01, 0.1])],
    construct: |table| {
        let parameters: Parameters = parameters::parse(KIND, NAME, table)?;
        check(
            NAME,
            parameters.alpha >= 0.0,
            "`alpha` must not be negative",
        )?;
        Ok(Box::new(Nci::new(parameters)))
    },
};

/// Parameters; the default is OpenOOD's.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Parameters {
    /// Weight of the L1 norm; 0.0001.
    pub alpha: f64,
}

impl Default for Parameters {
    fn default() -> Self {
        Self { alpha: 0.0001 }
    }
}

/// Score `<w_pred, (f - mean) / ||f - mean||> + alpha ||f||_1`; the weights are not normalised.
#[derive(Debug)]
pub struct Nci {
    parameters: Parameters,
    state: Option<(Array2<f64>, Array1<f64>)>,
}

impl Nci {
    /// An unfitted detector.
    pub fn new(parameters: Parameters) -> Self {
        Self {
            parameters,
            state: None,
        }
    }

    /// The mean training feature, `[feature]`.
    pub fn train_mean(&self) -> Option<&Array1<f64>> {
        self.state.as_ref().map(|(_, mean)| mean)
    }
}

impl Detector for Nci {
    fn fit(&mut self, data: &FitData) -> Result<(), Error> {
        self.state = Some((
            data.head.weight.mapv(f64::from),
            mean_row(data.train.observations.features),
        ));
        Ok(())
    }

    fn score(&self, observations: &Observations) -> Result<Vec<f64>, Error> {
        let (weight, mean) = fitted(NAME, &self.state)?;
        Ok(by_rows(observations.logits.nrows(), |row| {
            let feature = observations.features.row(row).mapv(f64::from);
            let l1: f64 = feature.iter().map(|f| f.abs()).sum();
            let centred = feature - mean;
            let alignment = weight
                .row(argmax(observations.logits.row(row)))
                .dot(&centred)
                / norm(centred.view());
            alignment + self.parameters.alpha * l1
        }))
    }
}
