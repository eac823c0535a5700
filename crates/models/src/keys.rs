//! Names of a network's tensors in its published file, from a table a family.
//!
//! The modules of this crate are laid out as the published state dicts are, with tensors of the same shapes, so that
//! only words differ: a [`Rename`] table says for a run of words of our path what stands in its place in the file.

use std::collections::BTreeMap;

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{DType, Tensor, TensorData};

use crate::Error;

/// A tensor of a published file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// Its name in the file.
    pub published: String,
    /// Where it goes in our module.
    pub path: String,
    /// Its shape, in the file as in our module.
    pub shape: Vec<usize>,
}

/// Our words, and what stands in their place in the published name; empty to leave them out. Both are whole words
/// between dots (or several, with their dots); the first line that fits is taken, at every place of a path.
pub type Rename = (&'static str, &'static str);

/// A network whose weights are published under names that a table maps to ours.
pub trait Published: Module {
    /// The tables of the family and of its parts.
    const NAMES: &'static [&'static [Rename]];

    /// Every tensor, in the module's order; allocates none of them.
    fn keys(&self) -> Vec<Key> {
        let mut list = List::default();
        self.visit(&mut list);
        for key in &mut list.keys {
            key.published = published(&key.path, Self::NAMES);
        }
        list.keys
    }

    /// Fills the module with `tensors` by their published names.
    ///
    /// # Errors
    /// [`Error::Keys`] lists the names that are missing, not expected, of another shape or not of floats.
    fn with_tensors(self, tensors: BTreeMap<String, TensorData>) -> Result<Self, Error> {
        let mut assign = Assign {
            tensors,
            names: Self::NAMES,
            words: Vec::new(),
            missing: Vec::new(),
            misshapen: Vec::new(),
        };
        let module = self.map(&mut assign);
        let Assign {
            tensors,
            missing,
            misshapen,
            ..
        } = assign;
        let unexpected: Vec<String> = tensors.into_keys().collect();
        match missing.is_empty() && misshapen.is_empty() && unexpected.is_empty() {
            true => Ok(module),
            false => Err(Error::Keys {
                missing,
                unexpected,
                misshapen,
            }),
        }
    }
}

/// The published name of a tensor at `path`.
fn published(path: &str, names: &[&[Rename]]) -> String {
    let words: Vec<&str> = path.split('.').collect();
    let (mut at, mut name) = (0, Vec::new());
    while at < words.len() {
        let fits = |ours: &str| {
            let ours: Vec<&str> = ours.split('.').collect();
            words[at..].starts_with(&ours).then_some(ours.len())
        };
        match names
            .iter()
            .copied()
            .flatten()
            .find_map(|(ours, theirs)| Some((fits(ours)?, *theirs)))
        {
            Some((length, theirs)) => {
                name.extend((!theirs.is_empty()).then_some(theirs));
                at += length;
            }
            None => {
                name.push(words[at]);
                at += 1;
            }
        }
    }
    name.join(".")
}

/// Whether a step of the walk is a word of the path: variants of an enum are not.
fn is_word(container: &str) -> bool {
    !container.starts_with("Enum:")
}

#[derive(Default)]
struct List {
    words: Vec<String>,
    keys: Vec<Key>,
}

impl ModuleVisitor for List {
    fn enter_module(&mut self, name: &str, container: &str) {
        if is_word(container) {
            self.words.push(name.to_owned());
        }
    }

    fn exit_module(&mut self, _: &str, container: &str) {
        if is_word(container) {
            self.words.pop();
        }
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        self.keys.push(Key {
            published: String::new(),
            path: self.words.join("."),
            shape: param.lazy_shape().to_vec(),
        });
    }
}

struct Assign {
    tensors: BTreeMap<String, TensorData>,
    names: &'static [&'static [Rename]],
    words: Vec<String>,
    missing: Vec<String>,
    misshapen: Vec<String>,
}

impl ModuleMapper for Assign {
    fn enter_module(&mut self, name: &str, container: &str) {
        if is_word(container) {
            self.words.push(name.to_owned());
        }
    }

    fn exit_module(&mut self, _: &str, container: &str) {
        if is_word(container) {
            self.words.pop();
        }
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let name = published(&self.words.join("."), self.names);
        let Some(data) = self.tensors.remove(&name) else {
            self.missing.push(name);
            return param;
        };
        let expected = param.lazy_shape();
        if data.shape().to_vec() != expected.to_vec() {
            let (expected, found) = (expected.to_vec(), data.shape().to_vec());
            self.misshapen
                .push(format!("{name} (expected {expected:?}, found {found:?})"));
            return param;
        }
        if !data.dtype().is_float() {
            self.misshapen.push(format!(
                "{name} (expected floats, found {:?})",
                data.dtype()
            ));
            return param;
        }
        let (id, device) = (param.id, param.lazy_device());
        let tensor = Tensor::from_data(data.convert_dtype(DType::F32), &device);
        param.transform_for_load(tensor, id)
    }
}
