//! Combining score columns: "DiffGuard + X".
//!
//! A rule is fitted on **validation** scores alone, by type: [`Rule::fit`] takes [`ValidationScores`], which
//! test scores cannot become. Adding a rule takes one file with an `ENTRY` and one line in [`RULES`].
//!
//! The [`envelope`] is no rule but an oracle: it reads the test labels, yields a curve instead of scores, and is
//! there to compare with published rows only.

mod all;
mod any;
mod cascade;
mod logistic;
mod mean_rank;
mod mean_z;
mod minimum;
mod ranks;
mod scores;
mod standardise;
mod weighted;

pub mod envelope;

pub use all::All;
pub use any::Any;
pub use cascade::{Cascade, Sensitivity, cascade_sensitivity};
pub use logistic::Logistic;
pub use mean_rank::MeanRank;
pub use mean_z::MeanZ;
pub use minimum::Minimum;
pub use scores::{Scores, Split, Test, TestScores, Validation, ValidationScores};
pub use weighted::Weighted;

use crate::{Error, parameters};

/// Every rule, in the order in which they are listed.
pub const RULES: &[RuleEntry] = &[
    cascade::ENTRY,
    mean_z::ENTRY,
    mean_rank::ENTRY,
    minimum::ENTRY,
    all::ENTRY,
    any::ENTRY,
    weighted::ENTRY,
    logistic::ENTRY,
];

/// One component's validation scores.
#[derive(Debug, Clone, Copy)]
pub struct ValidationColumn<'a> {
    /// Scores of the in-distribution validation split.
    pub id: &'a ValidationScores,
    /// Scores of the out-of-distribution validation split, where the benchmark defines one.
    pub ood: Option<&'a ValidationScores>,
}

/// Turns the scores of several components into one.
pub trait Rule: Send + Sync {
    /// Learns from validation scores; the components' order is that of [`Rule::combine`] (for the cascade: the
    /// baseline, then DiffGuard).
    ///
    /// # Errors
    /// [`Error::Combine`] when the columns do not suffice.
    fn fit(&mut self, validation: &[ValidationColumn]) -> Result<(), Error>;

    /// One score a sample, higher = more in-distribution. A sample's result depends on its own scores alone.
    ///
    /// # Errors
    /// [`Error::Combine`] before `fit` or for another number of components; [`Error::LengthMismatch`] when the
    /// columns differ in length.
    fn combine(&self, components: &[&TestScores]) -> Result<Vec<f64>, Error>;
}

/// A registry line.
#[derive(Debug, Clone, Copy)]
pub struct RuleEntry {
    /// The name used in experiments and tables.
    pub name: &'static str,
    /// What it does, in one line.
    pub summary: &'static str,
    /// Whether it needs the out-of-distribution validation split.
    pub needs_ood_validation: bool,
    /// How many columns it combines; any number, at least one, where not given.
    pub components: Option<usize>,
    /// The default parameters.
    pub defaults: fn() -> toml::Table,
    /// The rule with the given parameters laid over its defaults.
    pub build: fn(toml::Table) -> Result<Box<dyn Rule>, Error>,
}

/// The registry line of `name`.
///
/// # Errors
/// [`Error::UnknownName`] with the nearest name.
pub fn entry(name: &str) -> Result<&'static RuleEntry, Error> {
    RULES
        .iter()
        .find(|entry| entry.name == name)
        .ok_or_else(|| Error::UnknownName {
            kind: KIND,
            name: name.into(),
            hint: parameters::hint(name, RULES.iter().map(|entry| entry.name)),
        })
}

/// The rule `name` with `parameters` laid over its defaults.
///
/// # Errors
/// [`Error::UnknownName`] with the nearest name; [`Error::Parameter`] for a wrong key or value.
pub fn build(name: &str, parameters: toml::Table) -> Result<Box<dyn Rule>, Error> {
    (entry(name)?.build)(parameters)
}

const KIND: &str = "combination rule";

fn without_parameters<R: Rule + Default + 'static>(
    name: &'static str,
    table: toml::Table,
) -> Result<Box<dyn Rule>, Error> {
    #[derive(serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Nothing {}
    parameters::parse::<Nothing>(KIND, name, table)?;
    Ok(Box::new(R::default()))
}

fn fitted<'a, T>(name: &str, state: &'a Option<T>) -> Result<&'a T, Error> {
    state
        .as_ref()
        .ok_or_else(|| Error::combine(name, "it combines before it was fitted", "call `fit` first"))
}

/// At least one component.
fn some_components(name: &str, components: usize) -> Result<(), Error> {
    match components {
        0 => Err(Error::combine(
            name,
            "there is nothing to combine",
            "name at least two score columns",
        )),
        _ => Ok(()),
    }
}

/// In- and out-of-distribution validation scores of each column, all columns being of the same samples.
fn same_validation<'a>(
    name: &str,
    validation: &[ValidationColumn<'a>],
) -> Result<Vec<[&'a [f64]; 2]>, Error> {
    some_components(name, validation.len())?;
    let mut splits: Vec<[&[f64]; 2]> = Vec::new();
    for column in validation {
        let ood = column.ood.ok_or_else(|| {
            let cause = format!(
                "`{}` has no out-of-distribution validation scores",
                column.id.name()
            );
            let mend = "use a benchmark with an OOD validation split, or another rule";
            Error::combine(name, cause, mend)
        })?;
        let split = [column.id.values(), ood.values()];
        for (first, here) in splits.first().unwrap_or(&split).iter().zip(split) {
            if first.len() != here.len() {
                return Err(Error::LengthMismatch {
                    what: format!(
                        "validation scores `{}` and `{}`",
                        validation[0].id.name(),
                        column.id.name()
                    ),
                    left: first.len(),
                    right: here.len(),
                });
            }
        }
        splits.push(split);
    }
    match splits[0].iter().any(|scores| scores.is_empty()) {
        true => Err(Error::combine(
            name,
            "a validation split is empty",
            "pass samples of both kinds",
        )),
        false => Ok(splits),
    }
}

/// As many components as were fitted, all of one length, which is returned.
fn same_length(name: &str, fitted: usize, components: &[&TestScores]) -> Result<usize, Error> {
    if components.len() != fitted {
        let cause = format!(
            "it was fitted on {fitted} columns and is given {}",
            components.len()
        );
        return Err(Error::combine(
            name,
            cause,
            "combine the same columns in the same order",
        ));
    }
    let Some(first) = components.first() else {
        return Ok(0);
    };
    match components
        .iter()
        .find(|column| column.values().len() != first.values().len())
    {
        Some(other) => Err(Error::LengthMismatch {
            what: format!("scores `{}` and `{}`", first.name(), other.name()),
            left: first.values().len(),
            right: other.values().len(),
        }),
        None => Ok(first.values().len()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two columns, fitted on validation scores 0, 1, 2, 3 and 0, 10, 20, 30, combined for three samples.
    fn combined(name: &str) -> Vec<f64> {
        let first = ValidationScores::new("a", vec![0.0, 1.0, 2.0, 3.0]).unwrap();
        let second = ValidationScores::new("b", vec![0.0, 10.0, 20.0, 30.0]).unwrap();
        let columns = [&first, &second].map(|id| ValidationColumn { id, ood: None });
        let mut rule = build(name, toml::Table::new()).unwrap();
        rule.fit(&columns).unwrap();
        let a = TestScores::new("a", vec![1.5, 2.0, 9.0]).unwrap();
        let b = TestScores::new("b", vec![15.0, -5.0, 30.0]).unwrap();
        assert!(
            rule.combine(&[&a])
                .unwrap_err()
                .to_string()
                .contains("fitted on 2 columns")
        );
        let short = TestScores::new("b", vec![1.0]).unwrap();
        assert!(rule.combine(&[&a, &short]).is_err());
        rule.combine(&[&a, &b]).unwrap()
    }

    #[test]
    fn fixed_fusions_by_hand() {
        let std = 1.25f64.sqrt();
        let close = |name: &str, expected: [f64; 3]| {
            for (got, want) in combined(name).into_iter().zip(expected) {
                assert!((got - want).abs() < 1e-12, "{name}: {got} against {want}");
            }
        };
        close(
            "mean_z",
            [0.0, (0.5 - 2.0) / std / 2.0, (7.5 + 1.5) / std / 2.0],
        );
        close("minimum", [0.0, -2.0 / std, 1.5 / std]);
        // 9 lies 6 beyond the largest of the first, -5 lies 5 below the smallest of the second.
        close("all", [0.5, -5.0 / (10.0 * std), 0.875]);
        close("any", [0.5, 0.625, 1.0 + 6.0 / std]);
        // A tie with one of four validation scores counts one half of it.
        close("mean_rank", [0.5, 0.625 / 2.0, (1.0 + 0.875) / 2.0]);
    }

    #[test]
    fn a_constant_validation_column_is_refused() {
        // Their mean is not quite 0.1.
        let constant = ValidationScores::new("odin", vec![0.1; 10]).unwrap();
        let mut rule = build("mean_z", toml::Table::new()).unwrap();
        let error = rule
            .fit(&[ValidationColumn {
                id: &constant,
                ood: None,
            }])
            .unwrap_err()
            .to_string();
        assert!(error.contains("`odin` do not vary"), "{error}");
        assert!(TestScores::new("x", vec![f64::INFINITY]).is_err());
    }
}
