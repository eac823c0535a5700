//! Ranks among the in-distribution validation scores that do not tie beyond their range.

use super::standardise::Standard;
use super::{TestScores, ValidationColumn, same_length};
use crate::Error;

/// The in-distribution validation scores of one column.
#[derive(Debug, Clone)]
pub(super) struct Ranks {
    sorted: Vec<f64>,
    standard: Standard,
}

impl Ranks {
    pub(super) fn of_columns(
        rule: &str,
        validation: &[ValidationColumn],
    ) -> Result<Vec<Self>, Error> {
        let standards = Standard::of_columns(rule, validation)?;
        let columns = validation.iter().zip(standards);
        Ok(columns
            .map(|(column, standard)| {
                let mut sorted = column.id.values().to_vec();
                sorted.sort_unstable_by(f64::total_cmp);
                Self { sorted, standard }
            })
            .collect())
    }

    /// The share of validation scores below `score` (ties count one half), in [0, 1]. Beyond the smallest or the
    /// largest validation score it goes on, a unit a standard deviation: out-of-distribution samples lie there, and
    /// their order must not be lost.
    fn of(&self, score: f64) -> f64 {
        let below = self.sorted.partition_point(|&other| other < score);
        let not_above = self.sorted.partition_point(|&other| other <= score);
        let share = 0.5 * (below + not_above) as f64 / self.sorted.len() as f64;
        let within = score.clamp(self.sorted[0], self.sorted[self.sorted.len() - 1]);
        share + self.standard.z(score) - self.standard.z(within)
    }
}

/// Reduces the ranks of each sample to one score.
pub(super) fn reduce_ranks(
    rule: &str,
    ranks: &[Ranks],
    components: &[&TestScores],
    reduce: impl Fn(&[f64]) -> f64,
) -> Result<Vec<f64>, Error> {
    let n = same_length(rule, ranks.len(), components)?;
    let mut of_sample = vec![0.0; ranks.len()];
    Ok((0..n)
        .map(|sample| {
            for ((rank, ranks), column) in of_sample.iter_mut().zip(ranks).zip(components) {
                *rank = ranks.of(column.values()[sample]);
            }
            reduce(&of_sample)
        })
        .collect())
}
