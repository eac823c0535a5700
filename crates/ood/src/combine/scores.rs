//! Score columns that know which split they come from.

use std::marker::PhantomData;

use crate::Error;

mod sealed {
    pub trait Sealed {}
}

/// A split of the data: [`Validation`] or [`Test`].
pub trait Split: sealed::Sealed {
    /// The split's name in errors.
    const NAME: &'static str;
}

/// Samples for fitting thresholds and weights.
#[derive(Debug, Clone, Copy)]
pub enum Validation {}

/// Samples that are reported on, and that nothing is fitted on.
#[derive(Debug, Clone, Copy)]
pub enum Test {}

impl sealed::Sealed for Validation {}
impl sealed::Sealed for Test {}

impl Split for Validation {
    const NAME: &'static str = "validation";
}

impl Split for Test {
    const NAME: &'static str = "test";
}

/// A named, finite score column of one split, higher = more in-distribution. The split is part of the type, and
/// nothing converts one into the other.
#[derive(Debug, Clone)]
pub struct Scores<S: Split> {
    name: String,
    values: Vec<f64>,
    split: PhantomData<S>,
}

/// Scores that rules may be fitted on.
pub type ValidationScores = Scores<Validation>;

/// Scores that rules are applied to.
pub type TestScores = Scores<Test>;

impl<S: Split> Scores<S> {
    /// A column that was observed on this split.
    ///
    /// # Errors
    /// [`Error::NotFinite`] with the first offending sample.
    pub fn new(name: impl Into<String>, values: Vec<f64>) -> Result<Self, Error> {
        let name = name.into();
        match values.iter().position(|value| !value.is_finite()) {
            Some(index) => Err(Error::NotFinite {
                name,
                split: S::NAME,
                index,
                value: values[index],
            }),
            None => Ok(Self {
                name,
                values,
                split: PhantomData,
            }),
        }
    }

    /// The column's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The scores, one a sample.
    pub fn values(&self) -> &[f64] {
        &self.values
    }
}
