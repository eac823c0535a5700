//! The one error type of this crate.

/// What can go wrong, in words that name the culprit and the mend.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A score column holds a value that cannot be ranked.
    #[error(
        "score `{name}`: sample {index} of the {split} samples is {value}; every score must be finite"
    )]
    NotFinite {
        /// The column's name, as the caller gave it.
        name: String,
        /// Which of the two sides the sample is on, e.g. `in-distribution`.
        split: &'static str,
        /// Position of the first offending sample in the slice that was passed.
        index: usize,
        /// The value found there.
        value: f64,
    },
    /// A metric was asked for without samples on one side.
    #[error(
        "score `{name}`: there are no {split} samples; a metric needs at least one on each side"
    )]
    OneSided {
        /// The column's name, as the caller gave it.
        name: String,
        /// The side without samples.
        split: &'static str,
    },
    /// Two things that describe the same samples differ in length.
    #[error(
        "{what}: {left} against {right} samples; both must describe the same samples in the same order"
    )]
    LengthMismatch {
        /// What was compared.
        what: String,
        /// Length of the first.
        left: usize,
        /// Length of the second.
        right: usize,
    },
    /// A name that no registry line carries.
    #[error("unknown {kind} `{name}`{hint}")]
    UnknownName {
        /// `detector` or `combination rule`.
        kind: &'static str,
        /// The name asked for.
        name: String,
        /// A suggestion that follows the sentence.
        hint: String,
    },
    /// A parameter that does not exist, or whose value is out of range.
    #[error("{kind} `{name}`: {problem}")]
    Parameter {
        /// `detector` or `combination rule`.
        kind: &'static str,
        /// The detector or rule.
        name: String,
        /// The problem and what would be right.
        problem: String,
    },
    /// A detector cannot work with the observations it was given.
    #[error("detector `{detector}`: {cause}; {mend}")]
    Detector {
        /// The detector's registry name.
        detector: String,
        /// What is wrong.
        cause: String,
        /// What to do about it.
        mend: String,
    },
    /// Two sets of features cannot be compared.
    #[error("features cannot be compared: {cause}; {mend}")]
    Features {
        /// What is wrong.
        cause: String,
        /// What to do about it.
        mend: &'static str,
    },
    /// A combination rule cannot work with the scores it was given.
    #[error("combination rule `{rule}`: {cause}; {mend}")]
    Combine {
        /// The rule's registry name.
        rule: String,
        /// What is wrong.
        cause: String,
        /// What to do about it.
        mend: String,
    },
    /// A value passed to a metric lies outside its range.
    #[error("{what} is {value}, but {range}")]
    OutOfRange {
        /// What the value is.
        what: &'static str,
        /// The value.
        value: f64,
        /// The range, in words.
        range: &'static str,
    },
}

impl From<Error> for diffguard_oracle::Error {
    fn from(error: Error) -> Self {
        Self::method(error)
    }
}

impl Error {
    pub(crate) fn detector(
        detector: &str,
        cause: impl Into<String>,
        mend: impl Into<String>,
    ) -> Self {
        Self::Detector {
            detector: detector.into(),
            cause: cause.into(),
            mend: mend.into(),
        }
    }

    pub(crate) fn combine(rule: &str, cause: impl Into<String>, mend: impl Into<String>) -> Self {
        Self::Combine {
            rule: rule.into(),
            cause: cause.into(),
            mend: mend.into(),
        }
    }
}
