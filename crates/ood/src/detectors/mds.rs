//! Mahalanobis distance score on the penultimate feature.
//!
//! Lee et al., "A Simple Unified Framework for Detecting Out-of-Distribution Samples and Adversarial Attacks",
//! NeurIPS 2018.

use ndarray::{Array1, Array2, ArrayView1, ArrayView2, Axis};

use super::class_means::class_means;
use super::{Detector, DetectorEntry, FitData, Need, Observations, fitted, without_parameters};
use crate::Error;
use crate::linalg::{
    block, by_blocks, inner_products, inverse_factor, second_moment, squared_distances,
};

const NAME: &str = "mds";

pub(super) const ENTRY: DetectorEntry = DetectorEntry {
    name: NAME,
    summary: "negative Mahalanobis distance to the nearest class mean",
    citation: "Lee et al., NeurIPS 2018",
    needs: &[
        Need::Features,
        Need::Head,
        Need::TrainFeatures,
        Need::TrainLabels,
    ],
    defaults: toml::Table::new,
    grid: &[],
    construct: |table| without_parameters::<Mds>(NAME, table),
};

/// Score `-min_c (f - mu_c)^T P (f - mu_c)`: class means, and the pseudo-inverse P of one covariance of the
/// class-centred training features (divided by N).
#[derive(Debug, Default)]
pub struct Mds {
    state: Option<Gaussians>,
}

impl Mds {
    /// The fitted class Gaussians.
    pub fn gaussians(&self) -> Option<&Gaussians> {
        self.state.as_ref()
    }
}

impl Detector for Mds {
    fn fit(&mut self, data: &FitData) -> Result<(), Error> {
        self.state = Some(Gaussians::of_classes(NAME, data)?);
        Ok(())
    }

    fn score(&self, observations: &Observations) -> Result<Vec<f64>, Error> {
        let distances = fitted(NAME, &self.state)?.nearest(observations.features);
        Ok(distances.into_iter().map(|distance| -distance).collect())
    }
}

/// Gaussians that share one covariance.
#[derive(Debug)]
pub struct Gaussians {
    /// Means, [gaussian, feature].
    pub means: Array2<f64>,
    /// L with `L L^T` the precision, [feature, rank].
    factor: Array2<f64>,
    /// `(means - means[0]) L`
    whitened: Array2<f64>,
}

impl Gaussians {
    /// One Gaussian a class.
    pub(super) fn of_classes(name: &str, data: &FitData) -> Result<Self, Error> {
        let (features, labels) = (data.train.observations.features, data.train.labels);
        let means =
            class_means(features, labels, data.head.weight.nrows(), |_| true).map_err(|class| {
                let cause = format!("class {class} has no training sample");
                Error::detector(
                    name,
                    cause,
                    "pass training samples of every class of the head",
                )
            })?;
        Self::around(name, features, means, |row| labels[row])
    }

    /// One Gaussian for all training features.
    pub(super) fn of_all(
        name: &str,
        features: ArrayView2<f32>,
        mean: Array1<f64>,
    ) -> Result<Self, Error> {
        Self::around(name, features, mean.insert_axis(Axis(0)), |_| 0)
    }

    fn around(
        name: &str,
        features: ArrayView2<f32>,
        means: Array2<f64>,
        mean_of: impl Fn(usize) -> usize + Sync,
    ) -> Result<Self, Error> {
        let covariance = second_moment(features, |row| means.row(mean_of(row)));
        let factor = inverse_factor(&covariance).ok_or_else(|| {
            Error::detector(
                name,
                "the covariance has no eigendecomposition",
                "check the features",
            )
        })?;
        if factor.ncols() == 0 {
            let mend = "pass more than one training sample a class";
            return Err(Error::detector(
                name,
                "training features do not vary around their means",
                mend,
            ));
        }
        let whitened = whiten(means.view(), means.row(0), &factor);
        Ok(Self {
            means,
            factor,
            whitened,
        })
    }

    /// The precision matrix, [feature, feature].
    pub fn precision(&self) -> Array2<f64> {
        inner_products(self.factor.view(), self.factor.view())
    }

    /// Squared Mahalanobis distance of each row of features [n, feature] to the nearest mean.
    pub fn nearest(&self, features: ArrayView2<f32>) -> Vec<f64> {
        by_blocks(features.nrows(), |range| {
            let rows = whiten(
                block(features, range).view(),
                self.means.row(0),
                &self.factor,
            );
            let distances = squared_distances(rows.view(), self.whitened.view());
            distances
                .axis_iter(Axis(0))
                .map(|row| row.iter().copied().fold(f64::INFINITY, f64::min))
                .collect()
        })
    }
}

fn whiten(rows: ArrayView2<f64>, origin: ArrayView1<f64>, factor: &Array2<f64>) -> Array2<f64> {
    inner_products((&rows - &origin).view(), factor.t())
}
