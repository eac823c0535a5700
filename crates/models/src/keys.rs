//! Names of a network's tensors in its published file.
//!
//! The networks of this crate are laid out as the published state dicts are, with tensors of the same shapes, so that
//! only words differ; the table of a family (its `key_map`) says which.

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::Tensor;

use crate::checkpoint::KeyMap;

/// A tensor of a published file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// Its name in the file, below the file's root.
    pub published: String,
    /// Its shape there.
    pub shape: Vec<usize>,
}

/// Every tensor of a network by the names of `map`, in the network's order; none of them is allocated.
pub fn keys<M: Module>(network: &M, map: &KeyMap) -> Vec<Key> {
    let mut names = Names {
        path: Vec::new(),
        kinds: Vec::new(),
        map,
        found: Vec::new(),
    };
    network.visit(&mut names);
    names.found
}

/// Follows the path to each parameter.
struct Names<'a> {
    path: Vec<String>,
    kinds: Vec<String>,
    map: &'a KeyMap,
    found: Vec<Key>,
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
        let published = self.map.published_name(&self.path.join("."));
        self.found.push(Key { published, shape });
    }
}
