//! Weights by formula, for networks that are too large to ship: a value for each entry from the key's hash and the
//! entry's index (oracles/README.md, "Procedural weights").

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::Tensor;
use diffguard_oracle::procedural;

use crate::checkpoint::{KeyMap, Source};

/// Names and shapes of a network's weights as its published files have them.
pub struct Procedural(Vec<(String, Vec<usize>)>);

impl Procedural {
    /// Of a network that is published under the names of `map`.
    pub fn of<M: Module>(network: &M, map: &KeyMap) -> Self {
        Self(published_shapes(network, map))
    }

    /// The filled tensors.
    pub fn source(&self) -> Source {
        let tensors = self
            .0
            .iter()
            .map(|(key, shape)| (key.clone(), shape.clone(), procedural(key, shape)));
        Source::from_values("procedural weights", tensors)
    }
}

/// Names and shapes of a network's weights as its published files have them: without initialising any of them.
pub fn published_shapes<M: Module>(network: &M, map: &KeyMap) -> Vec<(String, Vec<usize>)> {
    struct Names<'a> {
        path: Vec<String>,
        kinds: Vec<String>,
        map: &'a KeyMap,
        found: Vec<(String, Vec<usize>)>,
    }
    impl ModuleVisitor for Names<'_> {
        fn enter_module(&mut self, name: &str, kind: &str) {
            self.kinds.push(kind.to_owned());
            if !kind.starts_with("Enum:") {
                self.path.push(name.to_owned());
            }
        }

        fn exit_module(&mut self, _: &str, kind: &str) {
            self.kinds.pop();
            if !kind.starts_with("Enum:") {
                self.path.pop();
            }
        }

        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            let mut shape = param.lazy_shape().to_vec();
            let owner = self.kinds.iter().rev().find(|kind| kind.contains(':'));
            let linear = owner.is_some_and(|kind| kind == "Struct:Linear");
            if linear && !self.map.native {
                shape.reverse();
            }
            let name = self.map.published_name(&self.path.join("."));
            self.found.push((name, shape));
        }
    }
    let mut names = Names {
        path: Vec::new(),
        kinds: Vec::new(),
        map,
        found: Vec::new(),
    };
    network.visit(&mut names);
    names.found
}
