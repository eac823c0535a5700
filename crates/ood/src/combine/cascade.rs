//! The cascade: trust the baseline where it is confident, ask DiffGuard about the rest.

use serde::{Deserialize, Serialize};

use super::{
    KIND, Rule, RuleEntry, TestScores, ValidationColumn, ValidationScores, fitted, same_length,
};
use crate::metrics::{Points, Positive, Ranking, score_of, sort_key};
use crate::{Error, parameters, quantile};

const NAME: &str = "cascade";

pub(super) const ENTRY: RuleEntry = RuleEntry {
    name: NAME,
    summary: "samples that the baseline trusts rank first, the others by DiffGuard's score",
    needs_ood_validation: false,
    components: Some(2),
    defaults: parameters::defaults::<Parameters>,
    build: |table| {
        let Parameters { trust_quantile } = parameters::parse(KIND, NAME, table)?;
        let right = (0.0..=1.0).contains(&trust_quantile);
        parameters::check(KIND, NAME, right, "`trust_quantile` must lie in [0, 1]")?;
        Ok(Box::new(Cascade::new(trust_quantile)))
    },
};

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Parameters {
    trust_quantile: f64,
}

impl Default for Parameters {
    fn default() -> Self {
        Self {
            trust_quantile: 0.5,
        }
    }
}

/// "The combined method only trusts samples with high detection confidence by the baselines, while resorting to
/// DiffGuard for hard cases" (Gao et al., DiffGuard, ICCV 2023).
///
/// The threshold is the `trust_quantile`-quantile of the baseline's scores on the in-distribution validation split
/// ([`quantile`](crate::quantile()), linear interpolation). A sample whose baseline score is at or above it is
/// trusted: with `trust_quantile` q about a share 1 - q of in-distribution samples is. At q = 0 nearly all are
/// and the baseline decides; at q = 1 only those at the validation maximum are and DiffGuard decides. The paper
/// publishes no threshold: 0.5 is this project's choice, and [`cascade_sensitivity`] reports what it matters.
///
/// The result lies in `(0, 2)` for trusted samples, ordered by the baseline, and in `(-2, 0)` for the others,
/// ordered by DiffGuard's score. Only its order has a meaning. Scores that came from single precision keep their
/// order exactly; doubles closer than 2^-50 relative may tie.
#[derive(Debug, Clone)]
pub struct Cascade {
    trust_quantile: f64,
    threshold: Option<f64>,
}

impl Cascade {
    /// An unfitted rule; `trust_quantile` in `[0, 1]`.
    pub fn new(trust_quantile: f64) -> Self {
        Self {
            trust_quantile,
            threshold: None,
        }
    }

    /// The fitted threshold on the baseline's score.
    pub fn threshold(&self) -> Option<f64> {
        self.threshold
    }

    fn fit_baseline(&mut self, baseline: &ValidationScores) -> Result<(), Error> {
        let threshold = quantile(&mut baseline.values().to_vec(), self.trust_quantile);
        self.threshold = Some(threshold.ok_or_else(|| {
            let cause = format!(
                "`{}` has no validation scores, or the quantile is outside [0, 1]",
                baseline.name()
            );
            Error::combine(
                NAME,
                cause,
                "pass the in-distribution validation split and a quantile in [0, 1]",
            )
        })?);
        Ok(())
    }
}

impl Rule for Cascade {
    fn fit(&mut self, validation: &[ValidationColumn]) -> Result<(), Error> {
        match validation {
            [baseline, _] => self.fit_baseline(baseline.id),
            _ => {
                let cause = format!("it is given {} columns", validation.len());
                Err(Error::combine(
                    NAME,
                    cause,
                    "name two: the baseline's, then DiffGuard's",
                ))
            }
        }
    }

    fn combine(&self, components: &[&TestScores]) -> Result<Vec<f64>, Error> {
        let threshold = *fitted(NAME, &self.threshold)?;
        same_length(NAME, 2, components)?;
        let pairs = components[0].values().iter().zip(components[1].values());
        Ok(pairs
            .map(|(&baseline, &diffguard)| match baseline >= threshold {
                true => squeezed(baseline, Half::Upper),
                false => squeezed(diffguard, Half::Lower),
            })
            .collect())
    }
}

/// Which side of zero a score is squeezed into.
enum Half {
    /// (0, 2)
    Upper,
    /// (-2, 0)
    Lower,
}

/// An increasing map of all finite doubles into one half: the order-preserving integer image without its two
/// lowest bits, moved to where the image of (0, 2) or (-2, 0) lies. Unlike a sigmoid it merges nothing far from
/// zero.
fn squeezed(score: f64, half: Half) -> f64 {
    let quarter = sort_key(score) >> 2;
    score_of(match half {
        Half::Upper => (1 << 63) + quarter,
        Half::Lower => (1 << 62) + quarter,
    })
}

/// What a trust quantile does to the result.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Sensitivity {
    /// The quantile.
    pub trust_quantile: f64,
    /// The threshold it gives on the validation split.
    pub threshold: f64,
    /// Share of in-distribution test samples that are trusted.
    pub trusted_id: f64,
    /// Share of out-of-distribution test samples that are trusted: errors that DiffGuard cannot mend.
    pub trusted_ood: f64,
    /// AUROC of the combined score.
    pub auroc: f64,
    /// FPR at 95% TPR of the combined score, in-distribution positive.
    pub fpr95_id_positive: f64,
    /// FPR at 95% TPR of the combined score, out-of-distribution positive (OpenOOD).
    pub fpr95_ood_positive: f64,
}

/// The cascade's test metrics over several trust quantiles: a report, not a way to choose one. Columns are
/// `[baseline, DiffGuard]`.
///
/// # Errors
/// As [`Rule::fit`], [`Rule::combine`] and [`Ranking::new`].
pub fn cascade_sensitivity(
    trust_quantiles: &[f64],
    baseline_validation: &ValidationScores,
    id: [&TestScores; 2],
    ood: [&TestScores; 2],
) -> Result<Vec<Sensitivity>, Error> {
    let report = |&trust_quantile: &f64| {
        let mut cascade = Cascade::new(trust_quantile);
        cascade.fit_baseline(baseline_validation)?;
        let threshold = *fitted(NAME, &cascade.threshold)?;
        let trusted = |column: &TestScores| {
            let count = column
                .values()
                .iter()
                .filter(|&&score| score >= threshold)
                .count();
            count as f64 / column.values().len() as f64
        };
        let ranking = Ranking::new(NAME, &cascade.combine(&id)?, &cascade.combine(&ood)?)?;
        Ok(Sensitivity {
            trust_quantile,
            threshold,
            trusted_id: trusted(id[0]),
            trusted_ood: trusted(ood[0]),
            auroc: ranking.auroc(),
            fpr95_id_positive: ranking
                .operating_point(Positive::Id, 0.95, Points::Kept)?
                .fpr,
            fpr95_ood_positive: ranking
                .operating_point(Positive::Ood, 0.95, Points::Kept)?
                .fpr,
        })
    };
    trust_quantiles.iter().map(report).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::combine::{Scores, build};

    const EXTREMES: [f64; 11] = [
        -f64::MAX,
        -1e9,
        -1.0,
        -0.3,
        -1e-300,
        0.0,
        1e-300,
        0.9999999,
        1.0,
        1e9,
        f64::MAX,
    ];

    #[test]
    fn every_trusted_score_lies_above_every_other_and_order_stays() {
        let upper = EXTREMES.map(|score| squeezed(score, Half::Upper));
        let lower = EXTREMES.map(|score| squeezed(score, Half::Lower));
        assert!(
            lower.iter().all(|&score| -2.0 < score && score < 0.0),
            "{lower:?}"
        );
        assert!(
            upper.iter().all(|&score| 0.0 < score && score < 2.0),
            "{upper:?}"
        );
        for part in [upper, lower] {
            assert!(part.windows(2).all(|pair| pair[0] < pair[1]), "{part:?}");
        }
    }

    #[test]
    fn neighbouring_single_precision_scores_stay_apart() {
        for score in [1.0f32, 0.99999994, 1e-30, -17.5] {
            let next = f32::from_bits(score.to_bits() + 1);
            let image = |score: f32| squeezed(f64::from(score), Half::Upper);
            assert_eq!(image(score) < image(next), score < next);
            assert_ne!(image(score), image(next));
        }
    }

    #[test]
    fn the_rule_by_hand() {
        let mut rule = build("cascade", toml::Table::new()).unwrap();
        let validation = ValidationScores::new("msp", vec![0.2, 0.4, 0.6, 0.8, 1.0]).unwrap();
        let column = ValidationColumn {
            id: &validation,
            ood: None,
        };
        rule.fit(&[column, column]).unwrap();
        // The threshold is the median, 0.6: samples 0 and 3 are trusted.
        let baseline = Scores::new("msp", vec![0.6, 0.59, 0.1, 0.7]).unwrap();
        let diffguard = Scores::new("diffguard", vec![-9.0, 3.0, 5.0, -8.0]).unwrap();
        let combined = rule.combine(&[&baseline, &diffguard]).unwrap();
        let mut order = [0, 1, 2, 3];
        order.sort_by(|&a: &usize, &b| combined[b].total_cmp(&combined[a]));
        assert_eq!(order, [3, 0, 2, 1]);
    }

    #[test]
    fn mistakes_are_explained() {
        let wrong = |text: &str| {
            build("cascade", text.parse().unwrap())
                .err()
                .unwrap()
                .to_string()
        };
        assert!(wrong("trust_quantil = 0.3").contains("`trust_quantile`"));
        assert!(wrong("trust_quantile = 50").contains("[0, 1]"));
        let error = build("casdade", toml::Table::new())
            .err()
            .unwrap()
            .to_string();
        assert!(error.contains("did you mean `cascade`"), "{error}");
        let rule = build("cascade", toml::Table::new()).unwrap();
        assert!(rule.combine(&[]).unwrap_err().to_string().contains("fit"));
    }

    #[test]
    fn sensitivity_runs_from_the_baseline_to_diffguard() {
        let column = |name: &str, values: &[f64]| Scores::new(name, values.to_vec()).unwrap();
        let validation = ValidationScores::new("msp", vec![0.5, 0.7, 0.9]).unwrap();
        let id = [
            column("msp", &[0.6, 0.8, 0.95]),
            column("d", &[5.0, 6.0, 7.0]),
        ];
        let ood = [column("msp", &[0.65, 0.1]), column("d", &[1.0, 2.0])];
        let report = cascade_sensitivity(
            &[0.0, 1.0],
            &validation,
            [&id[0], &id[1]],
            [&ood[0], &ood[1]],
        )
        .unwrap();
        assert_eq!((report[0].trusted_id, report[0].trusted_ood), (1.0, 0.5));
        assert_eq!((report[0].auroc, report[1].auroc), (5.0 / 6.0, 1.0));
    }
}
