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

    /// The log-odds ln(p / (1 - p)) of a column of probabilities. Those of confident classifiers crowd below 1, where a rule
    /// that is linear in scores cannot tell them apart. Half a unit in the last place of a single below 1 is the nearest to
    /// certainty that is told, so log-odds stay within 17.4.
    ///
    /// # Errors
    /// [`Error::Combine`] for a score outside [0, 1].
    pub fn log_odds(&self) -> Result<Self, Error> {
        const NEAREST: f64 = 1.0 / (1 << 25) as f64;
        if let Some(value) = self
            .values
            .iter()
            .find(|value| !(0.0..=1.0).contains(*value))
        {
            return Err(Error::combine(
                "log_odds",
                format!(
                    "`{}` has the score {value}, which is no probability",
                    self.name
                ),
                "name columns of probabilities alone, such as `msp` or `deep_ensemble`",
            ));
        }
        let log_odds = |value: &f64| {
            let p = value.clamp(NEAREST, 1.0 - NEAREST);
            (p / (1.0 - p)).ln()
        };
        Ok(Self {
            name: self.name.clone(),
            values: self.values.iter().map(log_odds).collect(),
            split: PhantomData,
        })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn log_odds_of_probabilities() {
        let nearly = 1.0 - f64::from(f32::EPSILON) / 2.0;
        let values = vec![0.5, 0.75, 0.0, nearly, 1.0];
        let column = TestScores::new("msp", values).unwrap().log_odds().unwrap();
        let odds = column.values();
        assert_eq!(odds[0], 0.0);
        assert!((odds[1] - 3f64.ln()).abs() < 1e-12, "{odds:?}");
        assert!(odds[3] < odds[4] && odds[4] < 17.4, "{odds:?}");
        assert!((odds[2] + odds[4]).abs() < 1e-6, "{odds:?}");
        for wrong in [-1e-9, 1.1] {
            let column = TestScores::new("ebo", vec![0.2, wrong]).unwrap();
            let error = column.log_odds().unwrap_err().to_string();
            assert!(
                error.contains("`ebo`") && error.contains("`msp`"),
                "{error}"
            );
        }
    }
}
