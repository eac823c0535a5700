//! The mean of ranks by the validation distribution.

use super::{
    Rule, RuleEntry, TestScores, ValidationColumn, fitted, same_length, some_components,
    without_parameters,
};
use crate::Error;

const NAME: &str = "mean_rank";

pub(super) const ENTRY: RuleEntry = RuleEntry {
    name: NAME,
    summary: "mean of the ranks among the in-distribution validation scores",
    needs_ood_validation: false,
    components: None,
    defaults: toml::Table::new,
    build: |table| without_parameters::<MeanRank>(NAME, table),
};

/// Each component's score becomes the share of in-distribution validation scores below it (ties one half), in
/// `[0, 1]`; the result is the mean. All scores beyond the validation range share a rank: many out-of-distribution
/// samples may tie at 0.
#[derive(Debug, Default)]
pub struct MeanRank {
    sorted: Option<Vec<Vec<f64>>>,
}

impl Rule for MeanRank {
    fn fit(&mut self, validation: &[ValidationColumn]) -> Result<(), Error> {
        some_components(NAME, validation.len())?;
        let sorted = validation.iter().map(|column| {
            let mut values = column.id.values().to_vec();
            values.sort_unstable_by(f64::total_cmp);
            match values.is_empty() {
                false => Ok(values),
                true => {
                    let cause = format!("`{}` has no validation scores", column.id.name());
                    Err(Error::combine(
                        NAME,
                        cause,
                        "pass the in-distribution validation split",
                    ))
                }
            }
        });
        self.sorted = Some(sorted.collect::<Result<_, _>>()?);
        Ok(())
    }

    fn combine(&self, components: &[&TestScores]) -> Result<Vec<f64>, Error> {
        let sorted = fitted(NAME, &self.sorted)?;
        let n = same_length(NAME, sorted.len(), components)?;
        let rank = |sorted: &[f64], score: f64| {
            let below = sorted.partition_point(|&other| other < score);
            let not_above = sorted.partition_point(|&other| other <= score);
            0.5 * (below + not_above) as f64 / sorted.len() as f64
        };
        Ok((0..n)
            .map(|i| {
                let ranks = sorted
                    .iter()
                    .zip(components)
                    .map(|(sorted, column)| rank(sorted, column.values()[i]));
                ranks.sum::<f64>() / sorted.len() as f64
            })
            .collect())
    }
}
