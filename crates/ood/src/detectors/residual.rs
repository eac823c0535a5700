//! The norm of the feature outside the principal subspace, ViM's second ingredient on its own.
//!
//! Wang et al., "ViM: Out-Of-Distribution with Virtual-logit Matching", CVPR 2022.

use ndarray::{Array1, Array2, ArrayView2, Axis, s};
use serde::{Deserialize, Serialize};

use super::{Detector, DetectorEntry, FitData, Head, KIND, Need, Observations, check, fitted};
use crate::linalg::{
    block, by_blocks, inner_products, least_norm_solution, norm, second_moment, symmetric_eigen,
};
use crate::{Error, parameters};

const NAME: &str = "residual";

pub(super) const ENTRY: DetectorEntry = DetectorEntry {
    name: NAME,
    summary: "negative norm of the feature outside the principal subspace",
    citation: "Wang et al., CVPR 2022",
    needs: &[Need::Features, Need::Head, Need::ValFeatures],
    defaults: parameters::defaults::<Parameters>,
    grid: &[],
    construct: |table| {
        let parameters: Parameters = parameters::parse(KIND, NAME, table)?;
        check(NAME, parameters.dim != Some(0), "`dim` must be at least 1")?;
        Ok(Box::new(Residual::new(parameters)))
    },
};

/// Parameters of the principal subspace.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Parameters {
    /// Dimension of the principal subspace. Absent, it follows ViM: 1000 for features of 2048 dimensions or
    /// more, 512 for 768 or more, half the dimensions below that (256 of 512, as in OpenOOD).
    pub dim: Option<usize>,
}

impl Parameters {
    fn dim_for(&self, features: usize) -> usize {
        self.dim.unwrap_or(match features {
            2048.. => 1000,
            768.. => 512,
            _ => (features / 2).max(1),
        })
    }
}

/// Score `-||R^T (f - u)||`, fitted on the validation split as in OpenOOD.
#[derive(Debug)]
pub struct Residual {
    parameters: Parameters,
    state: Option<NullSpace>,
}

impl Residual {
    /// An unfitted detector.
    pub fn new(parameters: Parameters) -> Self {
        Self {
            parameters,
            state: None,
        }
    }

    /// The fitted subspace.
    pub fn null_space(&self) -> Option<&NullSpace> {
        self.state.as_ref()
    }
}

impl Detector for Residual {
    fn fit(&mut self, data: &FitData) -> Result<(), Error> {
        self.state = Some(NullSpace::fit(
            NAME,
            &self.parameters,
            data.val.observations.features,
            data.head,
        )?);
        Ok(())
    }

    fn score(&self, observations: &Observations) -> Result<Vec<f64>, Error> {
        let norms = fitted(NAME, &self.state)?.residual_norms(observations.features);
        Ok(norms.into_iter().map(|norm| -norm).collect())
    }
}

/// The complement of the principal subspace of features around the head's origin.
#[derive(Debug)]
pub struct NullSpace {
    /// The feature that the head maps closest to zero logits, `u = -pinv(W) b`, `[feature]`.
    pub origin: Array1<f64>,
    /// Eigenvalues of `1/N sum (f - u)(f - u)^T` (not re-centred), descending, `[feature]`.
    pub eigenvalues: Array1<f64>,
    /// R: eigenvectors beyond the principal ones, as columns, [feature, feature - dim].
    pub basis: Array2<f64>,
}

impl NullSpace {
    pub(super) fn fit(
        name: &str,
        parameters: &Parameters,
        features: ArrayView2<f32>,
        head: Head,
    ) -> Result<Self, Error> {
        let dim = parameters.dim_for(features.ncols());
        if dim >= features.ncols() {
            let cause = format!(
                "`dim` is {dim} but features have {} dimensions: no residual is left",
                features.ncols()
            );
            return Err(Error::detector(name, cause, "lower `dim`"));
        }
        let failed = || {
            Error::detector(
                name,
                "an eigendecomposition does not converge",
                "check features and head",
            )
        };
        let origin = -least_norm_solution(head.weight, head.bias).ok_or_else(failed)?;
        let (eigenvalues, vectors) =
            symmetric_eigen(&second_moment(features, |_| origin.view())).ok_or_else(failed)?;
        Ok(Self {
            origin,
            eigenvalues,
            basis: vectors.slice(s![.., dim..]).to_owned(),
        })
    }

    /// `||R^T (f - u)||` of each row of features [n, feature].
    pub fn residual_norms(&self, features: ArrayView2<f32>) -> Vec<f64> {
        by_blocks(features.nrows(), |range| {
            let centred = block(features, range) - &self.origin;
            inner_products(centred.view(), self.basis.t())
                .axis_iter(Axis(0))
                .map(norm)
                .collect()
        })
    }
}
