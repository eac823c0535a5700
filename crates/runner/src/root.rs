//! Where the repository is, and what lies where in it.

use std::path::{Path, PathBuf};

use crate::{Error, Result};

/// The repository's folders.
#[derive(Clone, Debug)]
pub struct Root(PathBuf);

impl Root {
    /// The nearest folder at or above the working directory that holds `datasets.toml` and `experiments/`.
    ///
    /// # Errors
    /// When there is none.
    pub fn find() -> Result<Self> {
        let here = std::env::current_dir().map_err(|error| Error::io(Path::new("."), &error))?;
        here.ancestors()
            .find(|folder| {
                folder.join("datasets.toml").is_file() && folder.join("experiments").is_dir()
            })
            .map(|folder| Self(folder.to_owned()))
            .ok_or_else(|| {
                Error::file(
                    &here,
                    "not inside the diffguard repository; run from a clone of it",
                )
            })
    }

    /// The repository itself.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The embedded data and weights.
    pub fn assets(&self) -> PathBuf {
        self.0.join("assets")
    }

    /// The experiment files.
    pub fn experiments(&self) -> PathBuf {
        self.0.join("experiments")
    }

    /// Committed results.
    pub fn results(&self) -> PathBuf {
        self.0.join("results")
    }

    /// Everything that git ignores: small runs, training runs, stored stages.
    pub fn runs(&self) -> PathBuf {
        self.0.join("runs")
    }
}
