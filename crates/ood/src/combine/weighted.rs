//! A weighted mean of z-scores whose weights are chosen on validation.

use serde::{Deserialize, Serialize};

use super::standardise::{Standard, reduce_z};
use super::{KIND, Rule, RuleEntry, TestScores, ValidationColumn, fitted, same_validation};
use crate::metrics::Ranking;
use crate::{Error, parameters};

const NAME: &str = "weighted";

pub(super) const ENTRY: RuleEntry = RuleEntry {
    name: NAME,
    summary: "weighted mean of z-scores, the weights chosen by AUROC on the validation splits",
    needs_ood_validation: true,
    components: None,
    defaults: parameters::defaults::<Parameters>,
    build: |table| {
        let Parameters { rounds } = parameters::parse(KIND, NAME, table)?;
        parameters::check(KIND, NAME, rounds > 0, "`rounds` must be positive")?;
        Ok(Box::new(Weighted {
            rounds,
            model: None,
        }))
    },
};

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Parameters {
    rounds: usize,
}

impl Default for Parameters {
    fn default() -> Self {
        Self { rounds: 20 }
    }
}

/// A weighted mean of z-scores (by the in-distribution validation scores). The weights are found by ensemble selection
/// (Caruana et al. 2004): in each of `rounds` the component is added, possibly again, with which the sum has the highest
/// AUROC of the in-distribution against the out-of-distribution validation split, the first one where several do. A
/// weight is the share of rounds that a component won: none is negative, they sum to 1, and useless ones are 0.
#[derive(Debug)]
pub struct Weighted {
    rounds: usize,
    model: Option<Model>,
}

#[derive(Debug)]
struct Model {
    standards: Vec<Standard>,
    weights: Vec<f64>,
}

impl Weighted {
    /// The fitted weight of each component's z-score.
    pub fn weights(&self) -> Option<&[f64]> {
        self.model.as_ref().map(|model| model.weights.as_slice())
    }
}

impl Rule for Weighted {
    fn fit(&mut self, validation: &[ValidationColumn]) -> Result<(), Error> {
        let standards = Standard::of_columns(NAME, validation)?;
        let splits = same_validation(NAME, validation)?;
        let z: Vec<[Vec<f64>; 2]> = splits
            .iter()
            .zip(&standards)
            .map(|(scores, standard)| {
                scores.map(|scores| scores.iter().map(|&score| standard.z(score)).collect())
            })
            .collect();
        let mut sum = [0, 1].map(|split| vec![0.0; z[0][split].len()]);
        let mut won = vec![0usize; z.len()];
        for _ in 0..self.rounds {
            let mut best: Option<(f64, usize, [Vec<f64>; 2])> = None;
            for (component, z) in z.iter().enumerate() {
                let with = [0, 1].map(|split| added(&sum[split], &z[split]));
                let auroc = Ranking::new(NAME, &with[0], &with[1])?.auroc();
                if best.as_ref().is_none_or(|(before, ..)| auroc > *before) {
                    best = Some((auroc, component, with));
                }
            }
            if let Some((_, component, with)) = best {
                won[component] += 1;
                sum = with;
            }
        }
        let share = |won| won as f64 / self.rounds as f64;
        self.model = Some(Model {
            standards,
            weights: won.into_iter().map(share).collect(),
        });
        Ok(())
    }

    fn combine(&self, components: &[&TestScores]) -> Result<Vec<f64>, Error> {
        let Model { standards, weights } = fitted(NAME, &self.model)?;
        reduce_z(NAME, standards, components, |z| {
            z.iter().zip(weights).map(|(z, weight)| z * weight).sum()
        })
    }
}

fn added(sum: &[f64], values: &[f64]) -> Vec<f64> {
    sum.iter().zip(values).map(|(a, b)| a + b).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::combine::{ValidationScores, build};

    fn validation(name: &str, values: impl Iterator<Item = i32>) -> ValidationScores {
        ValidationScores::new(name, values.map(f64::from).collect()).unwrap()
    }

    #[test]
    fn weighs_what_separates_and_leaves_out_what_does_not() {
        // Each of the first two separates one half of the out-of-distribution samples; the third is upside down.
        let id = [
            validation("a", (0..40).map(|i| 10 + i % 5)),
            validation("b", (0..40).map(|i| 10 + i % 7)),
            validation("c", (0..40).map(|i| i % 3)),
        ];
        let ood = [
            validation(
                "a",
                (0..40).map(|i| if i < 20 { i % 5 - 10 } else { 10 + i % 5 }),
            ),
            validation(
                "b",
                (0..40).map(|i| if i < 20 { 10 + i % 7 } else { i % 7 - 10 }),
            ),
            validation("c", (0..40).map(|i| 10 + i % 3)),
        ];
        let columns: Vec<ValidationColumn> = id
            .iter()
            .zip(&ood)
            .map(|(id, ood)| ValidationColumn { id, ood: Some(ood) })
            .collect();
        let mut rule = Weighted {
            rounds: 20,
            model: None,
        };
        rule.fit(&columns).unwrap();
        let weights = rule.weights().unwrap();
        assert!(weights[0] > 0.2 && weights[1] > 0.2, "{weights:?}");
        assert_eq!(weights[2], 0.0);
        assert!((weights.iter().sum::<f64>() - 1.0).abs() < 1e-12);

        let test = |name, score| TestScores::new(name, vec![score, 10.0]).unwrap();
        let (a, b, c) = (test("a", -10.0), test("b", 10.0), test("c", 10.0));
        let scores = rule.combine(&[&a, &b, &c]).unwrap();
        assert!(scores[0] < scores[1]);
    }

    #[test]
    fn it_needs_both_validation_splits() {
        let id = validation("a", 0..4);
        let mut rule = build(NAME, toml::Table::new()).unwrap();
        let error = rule.fit(&[ValidationColumn { id: &id, ood: None }]);
        let error = error.unwrap_err().to_string();
        assert!(error.contains("out-of-distribution validation"), "{error}");
        let none: toml::Table = toml::from_str("rounds = 0").unwrap();
        assert!(build(NAME, none).is_err());
    }
}
