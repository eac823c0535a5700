//! What the kinds of diffusion network have in common: configurations, weights and tensors of a case.

use burn::module::Module;
use burn::tensor::kind::Basic;
use burn::tensor::{Int, Tensor, TensorData};
use diffguard_oracle::{Case, Error, Produced, Result, Values};
use serde::de::DeserializeOwned;

use super::device;
use crate::checkpoint::{KeyMap, Source, load};

/// Tensors and configurations of a case.
pub(super) trait Networks {
    /// Numbers of either kind as a tensor of floats.
    fn float<const D: usize>(&self, name: &str) -> Result<Tensor<D>>;
    fn labels(&self, name: &str) -> Result<Tensor<1, Int>>;
    fn configuration<C: DeserializeOwned>(&self, config: serde_json::Value) -> Result<C>;
    /// `module` with the weights of the case under their published names.
    fn fill<M: Module>(&self, module: M, map: &KeyMap) -> Result<M>;
}

impl Networks for Case {
    fn float<const D: usize>(&self, name: &str) -> Result<Tensor<D>> {
        let tensor = self.tensor(name)?;
        let values: Vec<f32> = match &tensor.values {
            Values::F32(values) => values.clone(),
            Values::I64(values) => values.iter().map(|&v| v as f32).collect(),
            _ => return Err(self.fault(format!("tensor `{name}` must be of numbers"))),
        };
        if tensor.shape.len() != D {
            return Err(self.fault(format!("tensor `{name}` must have {D} axes")));
        }
        let data = TensorData::new(values, tensor.shape.clone());
        Ok(Tensor::from_data(data, &device()))
    }

    fn labels(&self, name: &str) -> Result<Tensor<1, Int>> {
        let data = TensorData::new(self.i64(name)?.to_vec(), self.shape(name)?.to_vec());
        Ok(Tensor::from_data(data, &device()))
    }

    fn configuration<C: DeserializeOwned>(&self, config: serde_json::Value) -> Result<C> {
        serde_json::from_value(config).map_err(|error| self.fault(error.to_string()))
    }

    fn fill<M: Module>(&self, module: M, map: &KeyMap) -> Result<M> {
        let mut tensors = Vec::new();
        for (name, tensor) in self.weights("") {
            let Values::F32(values) = &tensor.values else {
                return Err(self.fault(format!("weight `{name}` must be of 32-bit floats")));
            };
            tensors.push((name, tensor.shape.clone(), values.clone()));
        }
        let source = Source::from_values("the case's weights", tensors);
        let module = load(module, &source, map).map_err(Error::method)?;
        Ok(module.valid())
    }
}

/// The object `config` without `keys`, which our configurations have no place for.
pub(super) fn without(config: &serde_json::Value, keys: &[&str]) -> serde_json::Value {
    let mut config = config.clone();
    if let Some(object) = config.as_object_mut() {
        for key in keys {
            object.remove(*key);
        }
    }
    config
}

/// A tensor under its name in the case.
pub(super) fn produced<const D: usize, K: Basic>(name: &str, tensor: Tensor<D, K>) -> Produced {
    let values: Vec<f64> = tensor.into_data().iter::<f64>().collect();
    Produced::new(name, values)
}
