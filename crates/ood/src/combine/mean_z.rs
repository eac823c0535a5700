//! The mean of the z-scores.

use super::standardise::{Standard, reduce_z};
use super::{Rule, RuleEntry, TestScores, ValidationColumn, fitted, without_parameters};
use crate::Error;

const NAME: &str = "mean_z";

pub(super) const ENTRY: RuleEntry = RuleEntry {
    name: NAME,
    summary: "mean of z-scores, by mean and deviation of the in-distribution validation scores",
    needs_ood_validation: false,
    components: None,
    defaults: toml::Table::new,
    build: |table| without_parameters::<MeanZ>(NAME, table),
};

/// The mean of the z-scores. Each component is centred and scaled by its in-distribution validation scores.
#[derive(Debug, Default)]
pub struct MeanZ {
    standards: Option<Vec<Standard>>,
}

impl Rule for MeanZ {
    fn fit(&mut self, validation: &[ValidationColumn]) -> Result<(), Error> {
        self.standards = Some(Standard::of_columns(NAME, validation)?);
        Ok(())
    }

    fn combine(&self, components: &[&TestScores]) -> Result<Vec<f64>, Error> {
        reduce_z(NAME, fitted(NAME, &self.standards)?, components, |z| {
            z.iter().sum::<f64>() / z.len() as f64
        })
    }
}
