//! The one error type of the crate. Every message names the file, the cause and the mend.

use std::path::{Path, PathBuf};

/// What can go wrong between a file on disk and an [`ImageSet`](crate::ImageSet).
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The operating system refused.
    #[error("{}: cannot {action}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What was attempted, as a verb.
        action: &'static str,
        /// The system's own message.
        source: std::io::Error,
    },

    /// A file is not what its format promises.
    #[error("{}: {entry}: {problem}\n  mend: {mend}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// The field, record or line at fault.
        entry: String,
        /// What is wrong with it.
        problem: String,
        /// What to do about it.
        mend: String,
    },

    /// A file is whole, but it is not the file that the project was built for.
    #[error("{}: wrong content\n  expected {expected}\n  found    {found}\n  mend: {mend}", path.display())]
    Checksum {
        /// The file.
        path: PathBuf,
        /// The checksum that was expected, with its algorithm.
        expected: String,
        /// The checksum of the file.
        found: String,
        /// What to do about it.
        mend: String,
    },

    /// A data set is not on this machine.
    #[error("{what} not found; looked in {looked}\n  mend: {mend}")]
    Missing {
        /// The data set or file.
        what: String,
        /// The folders that were searched, in order.
        looked: String,
        /// Where to get it and where to put it.
        mend: String,
    },

    /// A name that nothing answers to.
    #[error("there is no {kind} named `{name}`\n  mend: use one of {known}")]
    Unknown {
        /// What was looked for (benchmark, data set).
        kind: &'static str,
        /// The name that was given.
        name: String,
        /// The names that exist.
        known: String,
    },

    /// A file could not be fetched from any place that has it.
    #[error("`{name}` cannot be fetched\n  {problems}\n  mend: {mend}")]
    Fetch {
        /// The data set or checkpoint.
        name: String,
        /// What every place said, a line each.
        problems: String,
        /// What to do about it.
        mend: String,
    },

    /// Something is missing, and the user does not want it fetched.
    #[error("not at hand: {missing}; and nothing may be fetched\n  mend: {command}")]
    Offline {
        /// The data sets and checkpoints.
        missing: String,
        /// The command that fetches them.
        command: String,
    },

    /// Something is missing that is not free to download.
    #[error("`{name}` is not at hand, and the program cannot fetch it\n  mend: {mend}")]
    ByHand {
        /// The data set or checkpoint.
        name: String,
        /// What to put where.
        mend: String,
    },

    /// The disk is full.
    #[error("{}: no space is left\n  mend: free some, or give another folder with --cache; the fetch goes on where it stopped", path.display())]
    Full {
        /// The file that was written.
        path: PathBuf,
    },

    /// The user asked to stop.
    #[error("stopped; what has come is kept, and the same command goes on from there")]
    Stopped,

    /// Values that contradict each other.
    #[error("{what}: {problem}")]
    Invalid {
        /// The thing at fault.
        what: String,
        /// What contradicts what.
        problem: String,
    },
}

/// Result with this crate's [`Error`].
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// Wraps a system error with the file it concerns; for `map_err`.
    pub(crate) fn io(path: &Path, action: &'static str) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self::Io {
            path,
            action,
            source,
        }
    }

    /// A format error.
    pub(crate) fn format(
        path: &Path,
        entry: impl Into<String>,
        problem: impl Into<String>,
        mend: impl Into<String>,
    ) -> Self {
        Self::Format {
            path: path.to_path_buf(),
            entry: entry.into(),
            problem: problem.into(),
            mend: mend.into(),
        }
    }
}
