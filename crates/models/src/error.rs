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
    /// Images that a network does not take.
    #[error(
        "layer `{layer}` expects images of {expected:?} [channel, height, width], found {found:?}"
    )]
    Input {
        /// The layer.
        layer: &'static str,
        /// What it takes.
        expected: Vec<usize>,
        /// What it was given.
        found: Vec<usize>,
    },
    /// Images that a network's layers do not take.
    #[error("layer `{layer}` expects {expected}, found {found:?} [channel, height, width]")]
    Images {
        /// The layer.
        layer: &'static str,
        /// What it takes.
        expected: String,
        /// What it was given.
        found: [usize; 3],
    },
    /// A prediction without a label is asked of a network that cannot make one.
    #[error(
        "the diffusion network is conditioned on {classes} classes and has no null label, so it predicts nothing \
         without a label; give one that is unconditional, or that was trained with a null label (classifier-free \
         guidance)"
    )]
    NeedsLabel {
        /// Classes that it knows.
        classes: usize,
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
}

/// Refuses images of another number of channels, or with a side below `least` or that is no multiple of it.
pub(crate) fn check_images(
    layer: &'static str,
    channels: usize,
    (least, multiples): (usize, bool),
    found: [usize; 3],
) -> Result<(), Error> {
    let [given, height, width] = found;
    let fits = |side: usize| side >= least && (!multiples || side.is_multiple_of(least));
    if given == channels && fits(height) && fits(width) {
        return Ok(());
    }
    let sides = match multiples {
        true => format!("sides that are multiples of {least}"),
        false => format!("sides of at least {least}"),
    };
    Err(Error::Images {
        layer,
        expected: format!("{channels} channels and {sides}"),
        found,
    })
}
