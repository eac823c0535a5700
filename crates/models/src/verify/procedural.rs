//! Weights by formula, for networks that are too large to ship: a value for each entry from the key's hash and the
//! entry's index (oracles/README.md, "Procedural weights").

use burn::module::Module;
use diffguard_oracle::procedural;

use crate::checkpoint::{KeyMap, Source};
use crate::keys::{Key, keys};

/// A network's weights as its published files name and shape them.
pub struct Procedural(Vec<Key>);

impl Procedural {
    /// Of a network that is published under the names of `map`.
    pub fn of<M: Module>(network: &M, map: &KeyMap) -> Self {
        Self(keys(network, map))
    }

    /// The filled tensors.
    pub fn source(&self) -> Source {
        let tensors = self.0.iter().map(|Key { published, shape }| {
            (
                published.clone(),
                shape.clone(),
                procedural(published, shape),
            )
        });
        Source::from_values("procedural weights", tensors)
    }
}
