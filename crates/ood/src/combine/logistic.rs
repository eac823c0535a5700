//! Logistic regression of in-distribution against out-of-distribution validation samples.

use faer::Mat;
use faer::linalg::solvers::Solve;
use ndarray::{Array1, Array2, Axis};
use serde::{Deserialize, Serialize};

use super::standardise::{Standard, reduce_z};
use super::{KIND, Rule, RuleEntry, TestScores, ValidationColumn, fitted, same_validation};
use crate::{Error, parameters};

const NAME: &str = "logistic";

pub(super) const ENTRY: RuleEntry = RuleEntry {
    name: NAME,
    summary: "log-odds by logistic regression of in- against out-of-distribution validation scores",
    needs_ood_validation: true,
    components: None,
    defaults: parameters::defaults::<Parameters>,
    build: |table| {
        let Parameters { ridge } = parameters::parse(KIND, NAME, table)?;
        parameters::check(KIND, NAME, ridge > 0.0, "`ridge` must be positive")?;
        Ok(Box::new(Logistic { ridge, model: None }))
    },
};

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Parameters {
    ridge: f64,
}

impl Default for Parameters {
    fn default() -> Self {
        Self { ridge: 1e-3 }
    }
}

/// The log-odds of being in-distribution, linear in the z-scores (by both validation splits together). Both splits
/// weigh the same, whatever their sizes. A ridge penalty (`ridge`, 1e-3 a sample by default) keeps the weights
/// finite when the validation samples separate perfectly; the intercept is not penalised.
#[derive(Debug)]
pub struct Logistic {
    ridge: f64,
    model: Option<Model>,
}

#[derive(Debug)]
struct Model {
    standards: Vec<Standard>,
    /// Intercept, then one weight a component.
    weights: Vec<f64>,
}

impl Logistic {
    /// The fitted intercept followed by one weight for each component's z-score.
    pub fn weights(&self) -> Option<&[f64]> {
        self.model.as_ref().map(|model| model.weights.as_slice())
    }
}

impl Rule for Logistic {
    fn fit(&mut self, validation: &[ValidationColumn]) -> Result<(), Error> {
        let splits = same_validation(NAME, validation)?;
        let n_id = splits.first().map_or(0, |[id, _]| id.len());
        let mut standards = Vec::new();
        let mut columns = Vec::new();
        for (column, [id, ood]) in validation.iter().zip(splits) {
            let both = [id, ood].concat();
            let standard = Standard::of(NAME, column.id.name(), &both)?;
            columns.push(
                both.into_iter()
                    .map(|score| standard.z(score))
                    .collect::<Vec<f64>>(),
            );
            standards.push(standard);
        }
        self.model = Some(Model {
            weights: newton(&columns, n_id, self.ridge),
            standards,
        });
        Ok(())
    }

    fn combine(&self, components: &[&TestScores]) -> Result<Vec<f64>, Error> {
        let Model { standards, weights } = fitted(NAME, &self.model)?;
        reduce_z(NAME, standards, components, |z| {
            weights[0]
                + z.iter()
                    .zip(&weights[1..])
                    .map(|(z, weight)| z * weight)
                    .sum::<f64>()
        })
    }
}

/// Newton's method with step halving on the balanced, ridge-penalised negative log-likelihood, which is strictly
/// convex; the first `n_id` entries of each column are in-distribution.
fn newton(columns: &[Vec<f64>], n_id: usize, ridge: f64) -> Vec<f64> {
    let (n, p) = (columns[0].len(), columns.len() + 1);
    // A leading column of ones carries the intercept, which the penalty leaves alone.
    let design = Array2::from_shape_fn(
        (n, p),
        |(i, j)| if j == 0 { 1.0 } else { columns[j - 1][i] },
    );
    let target = Array1::from_shape_fn(n, |i| f64::from(u8::from(i < n_id)));
    let share = target.mapv(|id| {
        if id > 0.0 {
            0.5 / n_id as f64
        } else {
            0.5 / (n - n_id) as f64
        }
    });
    let penalty = Array1::from_shape_fn(p, |j| if j == 0 { 0.0 } else { ridge });

    // log(1 + exp(x)) without overflow.
    let softplus = |x: f64| x.max(0.0) + (-x.abs()).exp().ln_1p();
    let loss = |weights: &Array1<f64>| {
        let mut terms = design.dot(weights);
        terms.zip_mut_with(&target, |odds, &id| {
            *odds = softplus(if id > 0.0 { -*odds } else { *odds })
        });
        share.dot(&terms) + 0.5 * (&penalty * weights).dot(weights)
    };
    let mut weights = Array1::<f64>::zeros(p);
    let mut current = loss(&weights);
    for _ in 0..100 {
        let probability = design
            .dot(&weights)
            .mapv(|odds| 1.0 / (1.0 + (-odds).exp()));
        let gradient = design.t().dot(&(&share * &(&probability - &target))) + &penalty * &weights;
        let curvature = &share * &probability.mapv(|p| p * (1.0 - p));
        let curved = &design * &curvature.insert_axis(Axis(1));
        let hessian = design.t().dot(&curved) + Array2::from_diag(&penalty);
        let step = solve(&hessian, &gradient);
        // Halving stops where rounding hides any further gain: that is the minimum.
        let shares = (0..40).map(|halvings| 0.5f64.powi(halvings));
        let mut candidates = shares.map(|share| &weights - &(share * &step));
        match candidates.find(|candidate| loss(candidate) < current) {
            Some(better) => (current, weights) = (loss(&better), better),
            None => break,
        }
    }
    weights.to_vec()
}

/// The solution of a small non-singular system.
fn solve(matrix: &Array2<f64>, right: &Array1<f64>) -> Array1<f64> {
    let n = right.len();
    let lu = Mat::from_fn(n, n, |i, j| matrix[(i, j)]).partial_piv_lu();
    let solution = lu.solve(Mat::from_fn(n, 1, |i, _| right[i]));
    Array1::from_shape_fn(n, |i| solution[(i, 0)])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::combine::{Scores, ValidationScores, build};
    use crate::metrics::Ranking;

    #[test]
    fn weighs_the_column_that_separates() {
        let id_good =
            ValidationScores::new("good", (0..50).map(|i| 1.0 + f64::from(i % 7)).collect())
                .unwrap();
        let ood_good =
            ValidationScores::new("good", (0..30).map(|i| f64::from(i % 5) - 2.0).collect())
                .unwrap();
        let id_noise =
            ValidationScores::new("noise", (0..50).map(|i| f64::from(i * 13 % 11)).collect())
                .unwrap();
        let ood_noise =
            ValidationScores::new("noise", (0..30).map(|i| f64::from(i * 7 % 11)).collect())
                .unwrap();
        let columns = [
            ValidationColumn {
                id: &id_good,
                ood: Some(&ood_good),
            },
            ValidationColumn {
                id: &id_noise,
                ood: Some(&ood_noise),
            },
        ];
        let mut rule = Logistic {
            ridge: 1e-3,
            model: None,
        };
        rule.fit(&columns).unwrap();
        let weights = rule.weights().unwrap();
        assert!(weights[1] > 5.0 * weights[2].abs(), "{weights:?}");
        let test = |name: &str, values: &[f64]| Scores::new(name, values.to_vec()).unwrap();
        let id = rule
            .combine(&[&test("good", &[4.0, 5.0]), &test("noise", &[0.0, 9.0])])
            .unwrap();
        let ood = rule
            .combine(&[&test("good", &[-1.0, 0.0]), &test("noise", &[9.0, 0.0])])
            .unwrap();
        assert_eq!(Ranking::new("x", &id, &ood).unwrap().auroc(), 1.0);
    }

    #[test]
    fn separable_samples_stay_finite_and_missing_ones_are_named() {
        let id = ValidationScores::new("a", vec![1.0, 2.0]).unwrap();
        let ood = ValidationScores::new("a", vec![-1.0, -2.0]).unwrap();
        let mut rule = build("logistic", toml::Table::new()).unwrap();
        rule.fit(&[ValidationColumn {
            id: &id,
            ood: Some(&ood),
        }])
        .unwrap();
        let test = Scores::new("a", vec![3.0, -3.0]).unwrap();
        let scores = rule.combine(&[&test]).unwrap();
        assert!(scores[0].is_finite() && scores[0] > 0.0 && scores[1] < 0.0);
        let error = rule
            .fit(&[ValidationColumn { id: &id, ood: None }])
            .unwrap_err()
            .to_string();
        assert!(error.contains("out-of-distribution validation"), "{error}");
    }
}
