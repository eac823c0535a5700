//! Where the repository is, and what lies where in it.

use std::path::{Path, PathBuf};

use diffguard_datasets::fetch::DataDirs;

use crate::{Error, Result};

/// The repository's folders.
#[derive(Clone, Debug)]
pub struct Root {
    folder: PathBuf,
    data: Option<DataDirs>,
}

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
            .map(|folder| Self {
                folder: folder.to_owned(),
                data: None,
            })
            .ok_or_else(|| {
                Error::file(
                    &here,
                    "not inside the diffguard repository; run from a clone of it",
                )
            })
    }

    /// The same repository, with data sets and checkpoints in these folders.
    #[must_use]
    pub fn with_data(self, data: Option<DataDirs>) -> Self {
        Self { data, ..self }
    }

    /// Where data sets and checkpoints are: the given folders; by default fetched files are kept in `runs/data`.
    pub fn data(&self) -> DataDirs {
        self.data.clone().unwrap_or_else(|| DataDirs {
            data: Vec::new(),
            cache: self.runs().join("data"),
        })
    }

    /// The repository itself.
    pub fn path(&self) -> &Path {
        &self.folder
    }

    /// The embedded data and weights.
    pub fn assets(&self) -> PathBuf {
        self.folder.join("assets")
    }

    /// The experiment files.
    pub fn experiments(&self) -> PathBuf {
        self.folder.join("experiments")
    }

    /// Committed results.
    pub fn results(&self) -> PathBuf {
        self.folder.join("results")
    }

    /// Everything that git ignores: small runs, training runs, stored stages.
    pub fn runs(&self) -> PathBuf {
        self.folder.join("runs")
    }
}
