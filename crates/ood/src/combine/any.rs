//! "Any of": a sample counts as in-distribution when one component says so.

use super::ranks::{Ranks, reduce_ranks};
use super::{Rule, RuleEntry, TestScores, ValidationColumn, fitted, without_parameters};
use crate::Error;

const NAME: &str = "any";

pub(super) const ENTRY: RuleEntry = RuleEntry {
    name: NAME,
    summary: "largest rank among the in-distribution validation scores: in-distribution when any says so",
    needs_ood_validation: false,
    components: None,
    defaults: toml::Table::new,
    build: |table| without_parameters::<Any>(NAME, table),
};

/// The largest of the ranks among the in-distribution validation scores. A threshold `q` on it accepts a sample when
/// ANY component accepts it, each at the threshold that rejects the share `q` of the in-distribution validation samples.
#[derive(Debug, Default)]
pub struct Any {
    ranks: Option<Vec<Ranks>>,
}

impl Rule for Any {
    fn fit(&mut self, validation: &[ValidationColumn]) -> Result<(), Error> {
        self.ranks = Some(Ranks::of_columns(NAME, validation)?);
        Ok(())
    }

    fn combine(&self, components: &[&TestScores]) -> Result<Vec<f64>, Error> {
        let largest = |ranks: &[f64]| ranks.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        reduce_ranks(NAME, fitted(NAME, &self.ranks)?, components, largest)
    }
}
