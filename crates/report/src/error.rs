//! The crate's one error type.

use std::path::PathBuf;

/// What can go wrong between a result and its file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file could not be written; whatever stood there before is untouched.
    #[error("cannot write {}: {mend}", path.display())]
    Write {
        /// The file that was asked for.
        path: PathBuf,
        /// What the reader can do about it.
        mend: String,
        /// The system's reason.
        source: std::io::Error,
    },

    /// A file could not be read.
    #[error("cannot read {}: check that it exists and may be read", path.display())]
    Read {
        /// The file that was asked for.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },

    /// The first line of a metrics file is not the expected one.
    #[error(
        "the first line of a metrics file must be `{expected}`, this one begins with `{found}`"
    )]
    Header {
        /// The column names, as they must stand.
        expected: String,
        /// The column names found.
        found: String,
    },

    /// A metrics file is not well-formed CSV.
    #[error("the metrics file is not well-formed CSV: write it again from the stored scores")]
    Csv(#[from] ::csv::Error),

    /// A field of a metrics file does not hold what its column promises.
    #[error("line {line}, column `{column}`: `{value}` is not {expected}")]
    Field {
        /// The line in the file, counted from 1.
        line: u64,
        /// The column's name.
        column: &'static str,
        /// What stands there.
        value: String,
        /// What should stand there.
        expected: &'static str,
    },

    /// Two rows answer the same question, so a table could show either.
    #[error(
        "two values for {metric} of `{method}` on `{set}`: pass the rows of one experiment, each once"
    )]
    Duplicate {
        /// The metric's name.
        metric: &'static str,
        /// The method's name.
        method: String,
        /// The set's name.
        set: String,
    },

    /// A plot or picture has nothing to show.
    #[error("`{title}` has nothing to draw: {missing}")]
    Empty {
        /// The title of the plot or picture.
        title: String,
        /// What is missing.
        missing: String,
    },

    /// The parts of a picture do not fit together.
    #[error("{0}")]
    Shape(String),

    /// The drawing backend failed.
    #[error("drawing failed: {0}")]
    Draw(String),

    /// A picture could not be encoded.
    #[error("encoding the picture failed")]
    Encode(#[from] image::ImageError),
}

/// This crate's results.
pub type Result<T> = std::result::Result<T, Error>;

impl<E: std::error::Error + Send + Sync> From<plotters::drawing::DrawingAreaErrorKind<E>>
    for Error
{
    fn from(error: plotters::drawing::DrawingAreaErrorKind<E>) -> Self {
        Self::Draw(error.to_string())
    }
}
