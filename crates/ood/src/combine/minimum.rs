//! The smallest z-score: in-distribution is what every component calls so.

use super::standardise::{Standard, reduce_z};
use super::{Rule, RuleEntry, TestScores, ValidationColumn, fitted, without_parameters};
use crate::Error;

const NAME: &str = "minimum";

pub(super) const ENTRY: RuleEntry = RuleEntry {
    name: NAME,
    summary: "smallest z-score, by mean and deviation of the in-distribution validation scores",
    needs_ood_validation: false,
    components: None,
    defaults: toml::Table::new,
    build: |table| without_parameters::<Minimum>(NAME, table),
};

/// The smallest z-score: in-distribution is what every component calls so. Each component is centred and scaled by its in-distribution validation scores.
#[derive(Debug, Default)]
pub struct Minimum {
    standards: Option<Vec<Standard>>,
}

impl Rule for Minimum {
    fn fit(&mut self, validation: &[ValidationColumn]) -> Result<(), Error> {
        self.standards = Some(Standard::of_columns(NAME, validation)?);
        Ok(())
    }

    fn combine(&self, components: &[&TestScores]) -> Result<Vec<f64>, Error> {
        reduce_z(NAME, fitted(NAME, &self.standards)?, components, |z| {
            z.iter().copied().fold(f64::INFINITY, f64::min)
        })
    }
}
