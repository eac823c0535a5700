//! Runs the crate on a golden case and returns what it produced, so that a caller can compare.
//!
//! A case has a kind, a configuration and named tensors (`in.*`, `weights.*`). The runners return tensors
//! under the case's own `out.*` names; reading the file and comparing within its tolerances is the caller's.

mod feature;
mod gradient;
mod logit;
mod ranking_metrics;

use ndarray::{Array1, Array2, Array3};
use serde_json::Value;

use crate::Error;

/// The kinds of golden case that [`verify_case`] runs.
pub const KINDS: &[&str] = &[
    "ood_metrics",
    "detectors_logit",
    "detectors_feature",
    "detectors_gradient",
];

/// A tensor of a golden case, in row-major order.
#[derive(Debug, Clone, PartialEq)]
pub struct TensorData {
    /// Length of each axis.
    pub shape: Vec<usize>,
    /// The values.
    pub values: Values,
}

/// A tensor's values in their stored type.
#[derive(Debug, Clone, PartialEq)]
pub enum Values {
    /// 32-bit floats.
    F32(Vec<f32>),
    /// 64-bit floats.
    F64(Vec<f64>),
    /// 64-bit integers.
    I64(Vec<i64>),
    /// Bytes (masks).
    U8(Vec<u8>),
}

impl Values {
    /// All values as `f64`, exact for the integers that occur (labels, masks).
    pub fn to_f64(&self) -> Vec<f64> {
        match self {
            Self::F32(values) => values.iter().map(|&value| f64::from(value)).collect(),
            Self::F64(values) => values.clone(),
            Self::I64(values) => values.iter().map(|&value| value as f64).collect(),
            Self::U8(values) => values.iter().map(|&value| f64::from(value)).collect(),
        }
    }
}

/// A tensor that the crate produced for a case.
#[derive(Debug, Clone, PartialEq)]
pub struct Produced {
    /// The name in the case, e.g. `out.test_score`.
    pub name: String,
    /// Values in row-major order; predictions as whole numbers.
    pub values: Vec<f64>,
    /// Absolute tolerance of single values that replaces the case's own, where the case says that its
    /// reference value is rounding alone; empty when there is none.
    pub loosened: Vec<Option<f64>>,
}

impl Produced {
    fn new(name: impl Into<String>, values: impl IntoIterator<Item = f64>) -> Self {
        Self {
            name: name.into(),
            values: values.into_iter().collect(),
            loosened: Vec::new(),
        }
    }

    fn whole(name: impl Into<String>, values: &[usize]) -> Self {
        Self::new(name, values.iter().map(|&value| value as f64))
    }
}

/// Runs one golden case and returns the tensors produced for it.
///
/// `config` is the case's parsed configuration; `tensor` looks a tensor up by name.
///
/// # Errors
/// [`Error::Case`] for an unknown kind or method or a missing tensor; what the method itself refuses.
pub fn verify_case(
    kind: &str,
    config: &Value,
    tensor: &dyn Fn(&str) -> Option<TensorData>,
) -> Result<Vec<Produced>, Error> {
    let case = Case {
        kind,
        config,
        tensor,
    };
    match kind {
        "ood_metrics" => ranking_metrics::run(&case),
        "detectors_logit" => logit::run(&case),
        "detectors_feature" => feature::run(&case),
        "detectors_gradient" => gradient::run(&case),
        _ => Err(case.fault(format!("it is none of {}", KINDS.join(", ")))),
    }
}

/// Why this crate does not produce the tensor `name` of a case, where it deliberately does not.
pub fn not_produced(kind: &str, name: &str) -> Option<&'static str> {
    let name = name.strip_prefix("out.")?;
    match (kind, name) {
        (_, name) if name.starts_with("pytorch_ood") => {
            Some("pytorch-ood's variant, stored for information; this crate follows OpenOOD")
        }
        ("detectors_logit", "rounding_sensitive") => {
            Some("a mask that describes the reference's rounding")
        }
        ("detectors_logit", "score_lbfgs" | "temperature_lbfgs" | "nll_lbfgs") => {
            Some("where one unconverged L-BFGS call stops; the true minimum is compared instead")
        }
        ("detectors_gradient", "input_grad" | "perturbed_logits") => {
            Some("needs the network's input gradient; here ODIN begins at the perturbed logits")
        }
        _ => None,
    }
}

/// A case with typed access to its parts.
struct Case<'a> {
    kind: &'a str,
    config: &'a Value,
    tensor: &'a dyn Fn(&str) -> Option<TensorData>,
}

impl Case<'_> {
    fn fault(&self, problem: impl Into<String>) -> Error {
        Error::Case {
            kind: self.kind.into(),
            problem: problem.into(),
        }
    }

    fn has(&self, name: &str) -> bool {
        (self.tensor)(name).is_some()
    }

    fn tensor(&self, name: &str) -> Result<TensorData, Error> {
        (self.tensor)(name).ok_or_else(|| self.fault(format!("it has no tensor `{name}`")))
    }

    fn f64(&self, name: &str) -> Result<Vec<f64>, Error> {
        Ok(self.tensor(name)?.values.to_f64())
    }

    fn f32(&self, name: &str) -> Result<(Vec<usize>, Vec<f32>), Error> {
        let tensor = self.tensor(name)?;
        match tensor.values {
            Values::F32(values) => Ok((tensor.shape, values)),
            _ => Err(self.fault(format!("tensor `{name}` must be of 32-bit floats"))),
        }
    }

    fn vector(&self, name: &str) -> Result<Array1<f32>, Error> {
        Ok(Array1::from_vec(self.f32(name)?.1))
    }

    fn matrix(&self, name: &str) -> Result<Array2<f32>, Error> {
        let (shape, values) = self.f32(name)?;
        let shape: [usize; 2] = shape
            .try_into()
            .map_err(|_| self.fault(format!("`{name}` must have two axes")))?;
        Array2::from_shape_vec(shape, values)
            .map_err(|error| self.fault(format!("`{name}`: {error}")))
    }

    fn cube(&self, name: &str) -> Result<Array3<f32>, Error> {
        let (shape, values) = self.f32(name)?;
        let shape: [usize; 3] = shape
            .try_into()
            .map_err(|_| self.fault(format!("`{name}` must have three axes")))?;
        Array3::from_shape_vec(shape, values)
            .map_err(|error| self.fault(format!("`{name}`: {error}")))
    }

    fn labels(&self, name: &str) -> Result<Vec<usize>, Error> {
        match self.tensor(name)?.values {
            Values::I64(values) => values
                .into_iter()
                .map(|label| {
                    usize::try_from(label)
                        .map_err(|_| self.fault(format!("`{name}` holds {label}")))
                })
                .collect(),
            _ => Err(self.fault(format!("tensor `{name}` must be of 64-bit integers"))),
        }
    }

    fn text(&self, key: &str) -> Result<&str, Error> {
        self.config[key]
            .as_str()
            .ok_or_else(|| self.fault(format!("its configuration has no text `{key}`")))
    }

    fn number(&self, key: &str) -> Result<f64, Error> {
        self.config[key]
            .as_f64()
            .ok_or_else(|| self.fault(format!("its configuration has no number `{key}`")))
    }

    fn whole(&self, key: &str) -> Result<i64, Error> {
        self.config[key]
            .as_i64()
            .ok_or_else(|| self.fault(format!("its configuration has no whole number `{key}`")))
    }
}

/// A parameter table from pairs of key and value.
fn table<const N: usize>(entries: [(&str, toml::Value); N]) -> toml::Table {
    entries
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value))
        .collect()
}
