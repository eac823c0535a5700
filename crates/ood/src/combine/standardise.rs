//! z-scores by the in-distribution validation split.

use super::{TestScores, ValidationColumn};
use crate::Error;

/// Mean and standard deviation of one column.
#[derive(Debug, Clone, Copy)]
pub(super) struct Standard {
    mean: f64,
    std: f64,
}

impl Standard {
    /// Of each column's in-distribution validation scores (population standard deviation).
    pub(super) fn of_columns(
        rule: &str,
        validation: &[ValidationColumn],
    ) -> Result<Vec<Self>, Error> {
        super::some_components(rule, validation.len())?;
        validation
            .iter()
            .map(|column| Self::of(rule, column.id.name(), column.id.values()))
            .collect()
    }

    pub(super) fn of(rule: &str, name: &str, values: &[f64]) -> Result<Self, Error> {
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        let std = (values
            .iter()
            .map(|value| (value - mean).powi(2))
            .sum::<f64>()
            / n)
            .sqrt();
        // Equal values may differ from their own mean by its rounding.
        let varied = values.iter().any(|value| *value != values[0]);
        match varied && std > 0.0 && std.is_finite() {
            true => Ok(Self { mean, std }),
            false => {
                let cause = format!(
                    "the {} validation scores of `{name}` do not vary",
                    values.len()
                );
                Err(Error::combine(
                    rule,
                    cause,
                    "pass at least two distinct validation scores, or leave the column out",
                ))
            }
        }
    }

    pub(super) fn z(&self, score: f64) -> f64 {
        (score - self.mean) / self.std
    }
}

/// Reduces the z-scores of each sample to one score.
pub(super) fn reduce_z(
    rule: &str,
    standards: &[Standard],
    components: &[&TestScores],
    reduce: impl Fn(&[f64]) -> f64,
) -> Result<Vec<f64>, Error> {
    let n = super::same_length(rule, standards.len(), components)?;
    let mut z = vec![0.0; standards.len()];
    Ok((0..n)
        .map(|sample| {
            for ((z, standard), column) in z.iter_mut().zip(standards).zip(components) {
                *z = standard.z(column.values()[sample]);
            }
            reduce(&z)
        })
        .collect())
}
