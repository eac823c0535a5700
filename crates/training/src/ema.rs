//! Exponential moving average of a network's weights.

use std::collections::HashMap;

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param, ParamId};
use burn::tensor::Tensor;

/// The average of every float parameter, flattened.
pub(crate) struct Ema {
    decay: f64,
    average: HashMap<ParamId, Tensor<1>>,
}

impl Ema {
    /// Starts at the module's present weights.
    pub(crate) fn new<M: Module>(module: &M, decay: f64) -> Self {
        let mut ema = Self {
            decay,
            average: HashMap::new(),
        };
        module.visit(&mut ema);
        ema
    }

    /// `average = decay * average + (1 - decay) * weight`.
    pub(crate) fn update<M: Module>(&mut self, module: &M) {
        module.visit(self);
    }

    /// A copy of `module` with the averaged weights, outside autodiff.
    pub(crate) fn apply<M: Module + Clone>(&self, module: &M) -> M {
        module.valid().map(&mut Apply(self))
    }
}

impl ModuleVisitor for Ema {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let weight = param.val().detach().without_autodiff();
        let weight: Tensor<1> = weight.flatten(0, D - 1);
        let average = match self.average.remove(&param.id) {
            Some(average) => average * self.decay + weight * (1.0 - self.decay),
            None => weight,
        };
        self.average.insert(param.id, average);
    }
}

struct Apply<'a>(&'a Ema);

impl ModuleMapper for Apply<'_> {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let average = self.0.average.get(&param.id).cloned();
        param.map(|weight| match average {
            Some(average) => average.reshape(weight.dims()),
            None => weight,
        })
    }
}
