//! "All of": a sample counts as in-distribution when every component says so.

use super::ranks::{Ranks, reduce_ranks};
use super::{Rule, RuleEntry, TestScores, ValidationColumn, fitted, without_parameters};
use crate::Error;

const NAME: &str = "all";

pub(super) const ENTRY: RuleEntry = RuleEntry {
    name: NAME,
    summary: "smallest rank among the in-distribution validation scores: in-distribution when all say so",
    needs_ood_validation: false,
    components: None,
    defaults: toml::Table::new,
    build: |table| without_parameters::<All>(NAME, table),
};

/// The smallest of the ranks among the in-distribution validation scores. A threshold `q` on it accepts a sample when
/// ALL components accept it, each at the threshold that rejects the share `q` of the in-distribution validation samples.
#[derive(Debug, Default)]
pub struct All {
    ranks: Option<Vec<Ranks>>,
}

impl Rule for All {
    fn fit(&mut self, validation: &[ValidationColumn]) -> Result<(), Error> {
        self.ranks = Some(Ranks::of_columns(NAME, validation)?);
        Ok(())
    }

    fn combine(&self, components: &[&TestScores]) -> Result<Vec<f64>, Error> {
        let smallest = |ranks: &[f64]| ranks.iter().copied().fold(f64::INFINITY, f64::min);
        reduce_ranks(NAME, fitted(NAME, &self.ranks)?, components, smallest)
    }
}
