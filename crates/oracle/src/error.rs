//! Why a case could not be run.

use std::path::{Path, PathBuf};

/// An error of a case, before anything could be compared.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be used as a case.
    #[error("{}: {problem}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// The case asks for something that is not there.
    #[error("{kind}: {problem}")]
    Case {
        /// Kind of the case.
        kind: String,
        /// What is missing or does not fit.
        problem: String,
    },
    /// What the function under test itself refused.
    #[error(transparent)]
    Method(Box<dyn std::error::Error + Send + Sync>),
}

/// Result with this crate's [`Error`].
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// Wraps the error of the function under test; for `map_err`.
    pub fn method(error: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self::Method(Box::new(error))
    }

    pub(crate) fn file(path: &Path, problem: impl ToString) -> Self {
        Self::File {
            path: path.to_owned(),
            problem: problem.to_string(),
        }
    }
}
