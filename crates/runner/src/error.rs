//! What can go wrong in a run, each error naming its file and the mend.

use std::path::{Path, PathBuf};

/// An error of this crate.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file or directory cannot be used.
    #[error("{}: {what}", path.display())]
    File {
        /// The file or directory.
        path: PathBuf,
        /// What is wrong, and what would mend it.
        what: String,
    },
    /// A setting on the command line or in an experiment cannot be used.
    #[error("{0}")]
    Setting(String),
    /// Another process works on the same output directory.
    #[error("{} is in use by {owner}; {mend}", path.display())]
    Locked {
        /// The output directory.
        path: PathBuf,
        /// Who holds it.
        owner: String,
        /// What to do about it.
        mend: String,
    },
    /// The user asked to stop.
    #[error("stopped; what was computed is kept, and the same command goes on from there")]
    Stopped,
    /// Data sets.
    #[error(transparent)]
    Data(#[from] diffguard_datasets::Error),
    /// Networks and weights.
    #[error(transparent)]
    Models(#[from] diffguard_models::Error),
    /// The method.
    #[error(transparent)]
    Method(#[from] diffguard_guidance::Error),
    /// Detectors, combinations and metrics.
    #[error(transparent)]
    Ood(#[from] diffguard_ood::Error),
    /// Tables, plots and pictures.
    #[error(transparent)]
    Report(#[from] diffguard_report::Error),
    /// Training.
    #[error(transparent)]
    Training(#[from] diffguard_training::Error),
    /// Golden cases.
    #[error(transparent)]
    Oracle(#[from] diffguard_oracle::Error),
    /// Data frames.
    #[error("data frame: {0}")]
    Frame(#[from] polars::error::PolarsError),
}

/// A result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// An error about a file.
    pub(crate) fn file(path: &Path, what: impl ToString) -> Self {
        Self::File {
            path: path.to_owned(),
            what: what.to_string(),
        }
    }

    /// An I/O error about a file, with the usual mends.
    pub(crate) fn io(path: &Path, error: &std::io::Error) -> Self {
        use std::io::ErrorKind;
        let mend = match error.kind() {
            ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
                "; make it writable or give another directory with --out"
            }
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
                "; free some space and run the same command again, it goes on from there"
            }
            _ => "",
        };
        Self::file(path, format!("{error}{mend}"))
    }

    /// The exit status of a process that ends with this error.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Stopped => 130,
            _ => 2,
        }
    }
}
