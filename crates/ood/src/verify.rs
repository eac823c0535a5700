//! The golden cases that this crate runs: metrics and detectors. Those that need a network beside a detector
//! (`detectors_gradient`) are the runner's.

mod feature;
mod logit;
mod ranking_metrics;

use diffguard_oracle::{Case, Error, Kind, Produced, Result};
use ndarray::{Array1, Array2};

/// The kinds of golden case of this crate.
pub const KINDS: &[Kind] = &[
    Kind {
        name: "ood_metrics",
        run: ranking_metrics::run,
        not_produced: &[],
    },
    Kind {
        name: "detectors_logit",
        run: logit::run,
        not_produced: &[(
            "rounding_sensitive",
            "a mask that describes the reference's rounding",
        )],
    },
    Kind {
        name: "detectors_feature",
        run: feature::run,
        not_produced: &[],
    },
];

/// A tensor as an array.
trait Arrays {
    fn vector(&self, name: &str) -> Result<Array1<f32>>;
    fn matrix(&self, name: &str) -> Result<Array2<f32>>;
    fn labels(&self, name: &str) -> Result<Vec<usize>>;
}

impl Arrays for Case {
    fn vector(&self, name: &str) -> Result<Array1<f32>> {
        Ok(Array1::from_vec(self.f32(name)?.1.to_vec()))
    }

    fn matrix(&self, name: &str) -> Result<Array2<f32>> {
        let (shape, values) = self.f32(name)?;
        let shape: [usize; 2] = shape
            .try_into()
            .map_err(|_| self.fault(format!("`{name}` must have two axes")))?;
        Array2::from_shape_vec(shape, values.to_vec()).map_err(Error::method)
    }

    fn labels(&self, name: &str) -> Result<Vec<usize>> {
        self.indices(name)
    }
}

/// A parameter table from pairs of key and value.
fn table<const N: usize>(entries: [(&str, toml::Value); N]) -> toml::Table {
    entries
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value))
        .collect()
}
