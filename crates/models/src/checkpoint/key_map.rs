//! From the names of a published file to the names of our network, as a table. One a family.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::source::{Entry, Source};
use crate::Error;

/// How a file names what our network has. The steps are taken in the order of the fields.
///
/// In `ignore`, `*` stands for any characters. In `rename`, both sides are parts of a dotted name; a lone `*` stands
/// for one step of the path and is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct KeyMap {
    /// Tables of the file that may hold the weights; the first that exists does, else all of the file.
    pub roots: Vec<String>,
    /// Beginnings that are taken off where they occur (`module` of a network trained on several devices).
    pub strip: Vec<String>,
    /// Names that this network has no use for.
    pub ignore: Vec<String>,
    /// The one part of a larger network that is meant (`model.diffusion_model`); what lies beside it is not looked at.
    pub part: Option<String>,
    /// Take the moving average that lies under this name (`model_ema`) in place of the weights: there a weight
    /// `model.A.B` is called `AB`, without dots (latent diffusion's LitEma).
    pub dotless_average: Option<String>,
    /// Parts of names that are called otherwise here: from, to.
    pub rename: Vec<(String, String)>,
    /// Whether the file is one of ours: then nothing is transposed, and norms have `gamma` and `beta`.
    pub native: bool,
}

/// The tensors of a file under the names of a network.
pub struct Selection {
    /// By the network's name: the name in the file, and the tensor.
    pub tensors: BTreeMap<String, (String, Entry)>,
    /// Names in the file that were left aside, and why is in the table: other roots, other parts, ignored ones.
    pub ignored: Vec<String>,
}

impl KeyMap {
    /// The table of files that this program has written.
    pub fn native() -> Self {
        Self {
            native: true,
            ..Self::default()
        }
    }

    /// The table of a state dict whose names are our network's own: the usual roots, `module.`, and the counters of
    /// batch norms.
    pub fn published() -> Self {
        let names = |list: &[&str]| list.iter().map(|&name| name.to_owned()).collect();
        Self {
            roots: names(&["state_dict", "model_state_dict"]),
            strip: names(&["module"]),
            ignore: names(&["num_batches_tracked", "*.num_batches_tracked"]),
            ..Self::default()
        }
    }

    /// The same with further renamings.
    #[must_use]
    pub fn with_renames<'a>(mut self, pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let pairs = pairs.into_iter();
        self.rename
            .extend(pairs.map(|(from, to)| (from.to_owned(), to.to_owned())));
        self
    }

    /// The same for one part of a larger network.
    #[must_use]
    pub fn with_part(mut self, part: &str) -> Self {
        self.part = Some(part.to_owned());
        self
    }

    /// Sorts the tensors of a file.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] when two names of the file mean the same, or the moving average lacks some.
    pub fn select(&self, source: &Source) -> Result<Selection, Error> {
        let fault = |what: String| Error::Checkpoint {
            path: source.path().to_owned(),
            what,
        };
        let below = |root: &str| {
            source
                .entries()
                .keys()
                .any(|key| under(key, root).is_some())
        };
        let root = self.roots.iter().find(|root| below(root));
        let mut tensors = BTreeMap::<String, (String, Entry)>::new();
        let mut ignored = Vec::new();
        let mut lacking = Vec::new();
        for (key, entry) in source.entries() {
            let Some(name) = self.name(key, root.map(String::as_str)) else {
                ignored.push(key.clone());
                continue;
            };
            let (stored, entry) = match &self.dotless_average {
                None => (key.clone(), entry.clone()),
                Some(average) => {
                    let stored = dotless(key, root.map(String::as_str), average);
                    match source.entries().get(&stored) {
                        Some(entry) => (stored, entry.clone()),
                        None => {
                            lacking.push(stored);
                            continue;
                        }
                    }
                }
            };
            if let Some((other, _)) = tensors.insert(name.clone(), (stored, entry)) {
                return Err(fault(format!("`{key}` and `{other}` both mean `{name}`")));
            }
        }
        if !lacking.is_empty() {
            return Err(fault(format!(
                "its moving average lacks {}",
                super::listed(&lacking)
            )));
        }
        Ok(Selection { tensors, ignored })
    }

    /// What a published file calls one of our parameters (below its root).
    pub fn published_name(&self, ours: &str) -> String {
        if self.native {
            return ours.to_owned();
        }
        let (path, last) = ours.rsplit_once('.').unwrap_or(("", ours));
        let last = match last {
            "gamma" => "weight",
            "beta" => "bias",
            other => other,
        };
        let mut name = match path {
            "" => last.to_owned(),
            path => format!("{path}.{last}"),
        };
        for (from, to) in self.rename.iter().rev() {
            if let Some(renamed) = rename(&name, to, from) {
                name = renamed;
            }
        }
        match &self.part {
            Some(part) => format!("{part}.{name}"),
            None => name,
        }
    }

    /// Our name of a key; `None` when it is left aside.
    fn name(&self, key: &str, root: Option<&str>) -> Option<String> {
        let mut name = match root {
            Some(root) => under(key, root)?,
            None => key,
        };
        for prefix in &self.strip {
            name = under(name, prefix).unwrap_or(name);
        }
        if self.ignore.iter().any(|pattern| matches(pattern, name)) {
            return None;
        }
        if let Some(part) = &self.part {
            name = under(name, part)?;
        }
        let mut name = name.to_owned();
        for (from, to) in &self.rename {
            if let Some(renamed) = rename(&name, from, to) {
                name = renamed;
            }
        }
        Some(name)
    }
}

/// What follows `prefix` and a dot.
fn under<'a>(key: &'a str, prefix: &str) -> Option<&'a str> {
    key.strip_prefix(prefix)?.strip_prefix('.')
}

/// The name of `ROOT.model.A.B` in LitEma's table: `ROOT.AVERAGE.AB`.
fn dotless(key: &str, root: Option<&str>, average: &str) -> String {
    let inner = root.and_then(|root| under(key, root)).unwrap_or(key);
    let inner = under(inner, "model").unwrap_or(inner);
    let prefix = root.map_or(String::new(), |root| format!("{root}."));
    format!("{prefix}{average}.{}", inner.replace('.', ""))
}

/// Whether `name` is like `pattern`, in which `*` stands for any characters.
fn matches(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = name.strip_prefix(parts.next().unwrap_or_default()) else {
        return false;
    };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else {
        return rest.is_empty();
    };
    for part in parts {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

/// `name` with the first run of path steps that is like `from` replaced by `to`.
fn rename(name: &str, from: &str, to: &str) -> Option<String> {
    let steps: Vec<&str> = name.split('.').collect();
    let from: Vec<&str> = from.split('.').collect();
    let like = |window: &[&str]| {
        let mut pairs = window.iter().zip(&from);
        pairs.all(|(step, from)| *from == "*" || step == from)
    };
    let at = steps.windows(from.len()).position(like)?;
    let window = &steps[at..at + from.len()];
    let mut kept = window
        .iter()
        .zip(&from)
        .filter(|(_, from)| **from == "*")
        .map(|(step, _)| *step);
    let put = to.split('.').map(|step| match step {
        "*" => kept.next().unwrap_or("*"),
        step => step,
    });
    let renamed: Vec<&str> = steps[..at]
        .iter()
        .copied()
        .chain(put)
        .chain(steps[at + from.len()..].iter().copied())
        .collect();
    Some(renamed.join("."))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(keys: &[&str]) -> Source {
        Source::from_values(
            "memory",
            keys.iter()
                .enumerate()
                .map(|(i, key)| ((*key).to_owned(), vec![1], vec![i as f32])),
        )
    }

    fn names(map: &KeyMap, keys: &[&str]) -> Vec<(String, String)> {
        let selection = map.select(&source(keys)).unwrap();
        let pairs = selection.tensors.into_iter();
        pairs.map(|(name, (stored, _))| (name, stored)).collect()
    }

    #[test]
    fn roots_and_beginnings_come_off() {
        let keys = [
            "state_dict.module.conv1.weight",
            "state_dict.module.bn1.num_batches_tracked",
            "optimizer.state.0.exp_avg",
        ];
        let selection = KeyMap::published().select(&source(&keys)).unwrap();
        assert_eq!(
            selection.tensors.keys().collect::<Vec<_>>(),
            ["conv1.weight"]
        );
        assert_eq!(selection.ignored, [keys[2], keys[1]]);
    }

    #[test]
    fn latent_diffusion_has_two_sets_of_weights() {
        let keys = [
            "state_dict.first_stage_model.a",
            "state_dict.model.diffusion_model.input_blocks.0.0.weight",
            "state_dict.model_ema.decay",
            "state_dict.model_ema.diffusion_modelinput_blocks00weight",
        ];
        let part = KeyMap::published().with_part("model.diffusion_model");
        let name = "input_blocks.0.0.weight".to_owned();
        assert_eq!(names(&part, &keys), [(name.clone(), keys[1].to_owned())]);
        let average = KeyMap {
            dotless_average: Some("model_ema".into()),
            ..part
        };
        assert_eq!(names(&average, &keys), [(name, keys[3].to_owned())]);
        let error = average
            .select(&source(&keys[..3]))
            .err()
            .unwrap()
            .to_string();
        assert!(
            error.contains("diffusion_modelinput_blocks00weight"),
            "{error}"
        );
    }

    #[test]
    fn steps_are_renamed() {
        let map = KeyMap::default()
            .with_renames([("shortcut.0", "shortcut.conv"), ("in_layers.*.w", "in.w.*")]);
        let got = names(
            &map,
            &["a.shortcut.0.weight", "b.in_layers.3.w", "shortcut.01"],
        );
        let got: Vec<&str> = got.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(got, ["a.shortcut.conv.weight", "b.in.w.3", "shortcut.01"]);
    }

    #[test]
    fn two_names_of_one_weight_are_refused() {
        let error = KeyMap::published()
            .select(&source(&["module.a", "a"]))
            .err()
            .unwrap()
            .to_string();
        assert!(error.contains("both mean `a`"), "{error}");
    }

    #[test]
    fn patterns() {
        assert!(matches("*.n", "a.b.n") && matches("a*", "a") && matches("a*c", "abc"));
        assert!(!matches("a", "ab") && !matches("*.n", "n") && !matches("a*b*c", "acb"));
    }
}
