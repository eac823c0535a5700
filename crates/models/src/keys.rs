//! Names of a network's tensors in its published file.
//!
//! The diffusion networks of this crate are laid out as the published state dicts are, with tensors of the same shapes,
//! so that only words differ; the table of a family (its `key_map`) says which.

use burn::module::Module;

use crate::checkpoint::KeyMap;
use crate::verify::procedural::published_shapes;

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
    published_shapes(network, map)
        .into_iter()
        .map(|(published, shape)| Key { published, shape })
        .collect()
}
