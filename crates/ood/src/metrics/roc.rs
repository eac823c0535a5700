//! The ROC curve, its area, and the false-positive rate at a true-positive rate.

use serde::{Deserialize, Serialize};

use super::Ranking;
use super::ranking::Counts;
use crate::Error;

/// Which side counts as positive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Positive {
    /// In-distribution is positive: a true positive is an accepted ID sample (DiffGuard's code).
    Id,
    /// Out-of-distribution is positive: a true positive is a flagged OOD sample (OpenOOD v1.5).
    Ood,
}

/// Which points of the ROC curve can be operated at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Points {
    /// scikit-learn's default `drop_intermediate=True`: an inner point goes when the counts of both sides
    /// grow at it as they do at the next one (their second differences vanish). The published numbers'
    /// habit; on runs of equal tie groups it reports a higher FPR than [`Points::All`].
    #[default]
    Kept,
    /// Every distinct score.
    All,
}

/// The first operating point whose true-positive rate reaches a level.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct OperatingPoint {
    /// False-positive rate in `[0, 1]`, not interpolated.
    pub fpr: f64,
    /// The score at that point: with [`Positive::Id`] samples at or above it are accepted, with
    /// [`Positive::Ood`] samples at or below it are flagged.
    pub threshold: f64,
}

/// Points of a ROC curve from (0, 0) to (1, 1), ready to plot.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RocCurve {
    /// False-positive rates, ascending.
    pub fpr: Vec<f64>,
    /// True-positive rates, ascending, one for each of `fpr`.
    pub tpr: Vec<f64>,
}

impl Ranking {
    /// The first point, from strict to lax thresholds, whose true-positive rate is `>= level`.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] unless `level` is in `(0, 1]`.
    pub fn operating_point(
        &self,
        positive: Positive,
        level: f64,
        points: Points,
    ) -> Result<OperatingPoint, Error> {
        let (group, fpr) =
            operating_group(&self.counts, positive, level, points).ok_or(Error::OutOfRange {
                what: "the true-positive rate",
                value: level,
                range: "it must lie in (0, 1]",
            })?;
        Ok(OperatingPoint {
            fpr,
            threshold: self.scores[group],
        })
    }

    /// Share of OOD samples accepted when at least `level` of the ID samples are accepted.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] unless `level` is in `(0, 1]`.
    pub fn fpr_id_positive(&self, level: f64) -> Result<f64, Error> {
        Ok(self.operating_point(Positive::Id, level, Points::Kept)?.fpr)
    }

    /// Share of ID samples flagged when at least `level` of the OOD samples are flagged (OpenOOD v1.5).
    ///
    /// # Errors
    /// [`Error::OutOfRange`] unless `level` is in `(0, 1]`.
    pub fn fpr_ood_positive(&self, level: f64) -> Result<f64, Error> {
        Ok(self
            .operating_point(Positive::Ood, level, Points::Kept)?
            .fpr)
    }

    /// The ROC curve with all its points.
    pub fn roc(&self, positive: Positive) -> RocCurve {
        let mut curve = RocCurve {
            fpr: vec![0.0],
            tpr: vec![0.0],
        };
        let (mut fp, mut tp) = (0u64, 0u64);
        for group in Walk::new(&self.counts, positive) {
            fp += u64::from(group.negative);
            tp += u64::from(group.positive);
            curve.fpr.push(fp as f64);
            curve.tpr.push(tp as f64);
        }
        curve.fpr.iter_mut().for_each(|value| *value /= fp as f64);
        curve.tpr.iter_mut().for_each(|value| *value /= tp as f64);
        curve
    }
}

impl RocCurve {
    /// At most about `max_points` points, evenly spread along the curve's length `fpr + tpr`; both ends stay.
    pub fn thinned(&self, max_points: usize) -> Self {
        let last = self.fpr.len().saturating_sub(1);
        let step = 2.0 / max_points.saturating_sub(1).max(1) as f64;
        let mut next = 0.0;
        let (mut fpr, mut tpr) = (Vec::new(), Vec::new());
        for (i, (&x, &y)) in self.fpr.iter().zip(&self.tpr).enumerate() {
            if i == 0 || i == last || x + y >= next {
                fpr.push(x);
                tpr.push(y);
                next = ((x + y) / step).floor() * step + step;
            }
        }
        Self { fpr, tpr }
    }
}

/// One tie group seen from the side that counts as positive.
struct Group {
    index: usize,
    positive: u32,
    negative: u32,
}

/// Tie groups from the strictest threshold to the laxest: descending for ID positive, ascending for OOD.
struct Walk<'a> {
    counts: &'a [Counts],
    side: Positive,
    at: usize,
}

impl<'a> Walk<'a> {
    fn new(counts: &'a [Counts], side: Positive) -> Self {
        Self {
            counts,
            side,
            at: 0,
        }
    }
}

impl Iterator for Walk<'_> {
    type Item = Group;

    fn next(&mut self) -> Option<Group> {
        let left = self.counts.len().checked_sub(self.at + 1)?;
        self.at += 1;
        Some(match self.side {
            Positive::Id => {
                let index = self.at - 1;
                Group {
                    index,
                    positive: self.counts[index].id,
                    negative: self.counts[index].ood,
                }
            }
            Positive::Ood => Group {
                index: left,
                positive: self.counts[left].ood,
                negative: self.counts[left].id,
            },
        })
    }
}

/// Mann-Whitney's U over the product of the sample counts.
pub(super) fn auroc(counts: &[Counts]) -> f64 {
    let (mut id, mut ood, mut twice_wins) = (0u64, 0u64, 0u128);
    for group in counts {
        let (i, o) = (u64::from(group.id), u64::from(group.ood));
        twice_wins += u128::from(o) * u128::from(2 * id + i);
        id += i;
        ood += o;
    }
    twice_wins as f64 / (2 * u128::from(id) * u128::from(ood)) as f64
}

/// The fewest true positives of so many that reach a level, in the division's own rounding.
pub(super) fn needed(positives: f64, level: f64) -> u64 {
    let reaches = |tp: u64| tp as f64 / positives >= level;
    let mut needed = (level * positives) as u64;
    while needed > 0 && reaches(needed - 1) {
        needed -= 1;
    }
    while !reaches(needed) && needed as f64 <= positives {
        needed += 1;
    }
    needed
}

/// Index of the tie group operated at, and the false-positive rate there; `None` for a level outside (0, 1].
pub(super) fn operating_group(
    counts: &[Counts],
    positive: Positive,
    level: f64,
    points: Points,
) -> Option<(usize, f64)> {
    if !(level > 0.0 && level <= 1.0) {
        return None;
    }
    let total =
        |side: fn(&Counts) -> u32| counts.iter().map(|c| u64::from(side(c))).sum::<u64>() as f64;
    let (positives, negatives) = match positive {
        Positive::Id => (total(|c| c.id), total(|c| c.ood)),
        Positive::Ood => (total(|c| c.ood), total(|c| c.id)),
    };
    let needed = needed(positives, level);
    let (mut fp, mut tp) = (0u64, 0u64);
    let mut walk = Walk::new(counts, positive).peekable();
    let mut first = true;
    while let Some(group) = walk.next() {
        fp += u64::from(group.negative);
        tp += u64::from(group.positive);
        let dropped = !std::mem::take(&mut first)
            && walk.peek().is_some_and(|next| {
                (next.positive, next.negative) == (group.positive, group.negative)
            });
        if tp >= needed && (points == Points::All || !dropped) {
            return Some((group.index, fp as f64 / negatives));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thinning_keeps_the_ends_and_the_bound() {
        let id: Vec<f64> = (0..5000).map(|i| f64::from(i) * 1.5).collect();
        let ood: Vec<f64> = (0..4000).map(f64::from).collect();
        let curve = Ranking::new("x", &id, &ood).unwrap().roc(Positive::Id);
        let thin = curve.thinned(200);
        assert!(thin.fpr.len() <= 202, "{}", thin.fpr.len());
        assert_eq!((thin.fpr[0], thin.tpr[0]), (0.0, 0.0));
        assert_eq!((thin.fpr.last(), thin.tpr.last()), (Some(&1.0), Some(&1.0)));
    }

    #[test]
    fn a_level_outside_its_range_is_refused() {
        let ranking = Ranking::new("x", &[1.0], &[0.0]).unwrap();
        assert!(ranking.fpr_id_positive(0.0).is_err());
        assert!(
            ranking
                .fpr_id_positive(95.0)
                .unwrap_err()
                .to_string()
                .contains("(0, 1]")
        );
        assert_eq!(ranking.fpr_ood_positive(1.0).unwrap(), 0.0);
    }
}
