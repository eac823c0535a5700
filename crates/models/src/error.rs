//! What can go wrong with networks and checkpoints.

use std::path::PathBuf;

/// An error of this crate.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file could not be read.
    #[error("cannot read the weights {}: {source}; fetch or train them first", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A checkpoint is damaged or belongs to another network.
    #[error("cannot use the weights {}: {what}", path.display())]
    Checkpoint {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// A file is not the one that its record names.
    #[error(
        "the weights {} have sha256 {found}, their record says {expected}: the file is damaged or was replaced; \
         restore it (`git checkout -- {}`) or train it again",
        path.display(), path.display()
    )]
    Checksum {
        /// The file.
        path: PathBuf,
        /// What the record says.
        expected: String,
        /// What the file has.
        found: String,
    },
    /// A record or configuration does not parse.
    #[error("cannot use {}: {what}", path.display())]
    Record {
        /// The file.
        path: PathBuf,
        /// What is wrong, and what would be right.
        what: String,
    },
    /// A module could not be serialised.
    #[error("cannot encode the weights: {0}")]
    Encode(String),
    /// A configuration describes no network that can be built.
    #[error("the configuration of the {network} is not possible: {what}")]
    Configuration {
        /// The family.
        network: &'static str,
        /// Which layer, what it needs and what it got.
        what: String,
    },
    /// Tensors that do not fit a network, by their published names.
    #[error(
        "the weights do not fit the network: {}",
        listed(missing, unexpected, misshapen)
    )]
    Keys {
        /// Names that the network needs and the file lacks.
        missing: Vec<String>,
        /// Names in the file that the network has no place for.
        unexpected: Vec<String>,
        /// Names of another shape or type, with what was expected and found.
        misshapen: Vec<String>,
    },
}

fn listed(missing: &[String], unexpected: &[String], misshapen: &[String]) -> String {
    const SHOWN: usize = 8;
    [
        ("missing", missing),
        ("unexpected", unexpected),
        ("misshapen", misshapen),
    ]
    .into_iter()
    .filter(|(_, names)| !names.is_empty())
    .map(|(what, names)| {
        let shown = names[..names.len().min(SHOWN)].join(", ");
        match names.len() {
            n if n > SHOWN => format!("{what}: {shown} and {} more", n - SHOWN),
            _ => format!("{what}: {shown}"),
        }
    })
    .collect::<Vec<_>>()
    .join("; ")
}
