//! Relative Mahalanobis distance score.
//!
//! Ren et al., "A Simple Fix to Mahalanobis Distance for Improving Near-OOD Detection", 2021 (arXiv
//! 2106.09022).

use super::mds::Gaussians;
use super::{Detector, DetectorEntry, FitData, Need, Observations, fitted, without_parameters};
use crate::Error;
use crate::linalg::mean_row;

const NAME: &str = "rmds";

pub(super) const ENTRY: DetectorEntry = DetectorEntry {
    name: NAME,
    summary: "Mahalanobis distance to the nearest class, relative to that to all training data",
    citation: "Ren et al., arXiv 2106.09022, 2021",
    needs: &[
        Need::Features,
        Need::Head,
        Need::TrainFeatures,
        Need::TrainLabels,
    ],
    defaults: toml::Table::new,
    grid: &[],
    construct: |table| without_parameters::<Rmds>(NAME, table),
};

/// Score `max_c (d_0 - d_c)`: squared Mahalanobis distances to one Gaussian of all training features and to the
/// class means under their shared covariance.
#[derive(Debug, Default)]
pub struct Rmds {
    state: Option<(Gaussians, Gaussians)>,
}

impl Rmds {
    /// The class Gaussians and the Gaussian of all training features.
    pub fn gaussians(&self) -> Option<(&Gaussians, &Gaussians)> {
        self.state.as_ref().map(|(classes, whole)| (classes, whole))
    }
}

impl Detector for Rmds {
    fn fit(&mut self, data: &FitData) -> Result<(), Error> {
        let classes = Gaussians::of_classes(NAME, data)?;
        let features = data.train.observations.features;
        self.state = Some((
            classes,
            Gaussians::of_all(NAME, features, mean_row(features))?,
        ));
        Ok(())
    }

    fn score(&self, observations: &Observations) -> Result<Vec<f64>, Error> {
        let (classes, whole) = fitted(NAME, &self.state)?;
        let of_class = classes.nearest(observations.features);
        let of_whole = whole.nearest(observations.features);
        Ok(of_class
            .into_iter()
            .zip(of_whole)
            .map(|(class, whole)| whole - class)
            .collect())
    }
}
