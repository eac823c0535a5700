//! What can go wrong in training.

use std::path::PathBuf;

/// An error of this crate.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The configuration does not parse or asks for what does not exist.
    #[error("{}: {what}", path.display())]
    Config {
        /// The file.
        path: PathBuf,
        /// What is wrong, and what would be right.
        what: String,
    },
    /// The run's directory cannot be read or written.
    #[error("cannot use the training directory {}: {what}", path.display())]
    Directory {
        /// The file or directory.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// A checkpoint was made by another configuration.
    #[error(
        "{} was made by another configuration; go on with that one, or give another --out directory",
        path.display()
    )]
    OtherRun {
        /// The checkpoint.
        path: PathBuf,
    },
    /// The loss or a weight is no longer a number.
    #[error(
        "{what} at step {step}: lower `learning_rate`, and train into another --out directory (the checkpoints of this one are \
         of these settings)"
    )]
    Diverged {
        /// The step.
        step: usize,
        /// What is no number.
        what: String,
    },
    /// The training data.
    #[error(transparent)]
    Data(#[from] diffguard_datasets::Error),
    /// The noise schedule.
    #[error(transparent)]
    Method(#[from] diffguard_guidance::Error),
    /// Encoding or loading weights.
    #[error(transparent)]
    Weights(#[from] diffguard_models::Error),
    /// Writing a result.
    #[error(transparent)]
    Report(#[from] diffguard_report::Error),
}
