//! The envelope of two detectors: an **oracle** that reads the test labels.
//!
//! MoodCat (Yang et al., ECCV 2022) combines two scores by accepting a sample when *both* pass their thresholds,
//! and reads its metrics off the best such pair at each false-positive rate. That chooses thresholds on the test
//! set, so it is an upper bound and no method; it is here to be compared with published rows.
//!
//! For each number k of accepted out-of-distribution samples, the staircase holds the largest number of accepted
//! in-distribution samples over all threshold pairs that accept at most k. It is exact: no scores are rounded.
//!
//! The staircase contains the (max, +) convolution of two monotone integer sequences (place half of the samples so
//! that only the first score matters to them and half so that only the second does), for which no near-linear
//! algorithm is known. The sweep below spends `O(n log n)` on finding positions and, for each in-distribution
//! sample, one vectorised pass over at most `n_ood` counters.

use serde::Serialize;

use super::TestScores;
use crate::Error;
use crate::metrics::{Positive, Ranking, RocCurve, sort_key};

/// What the oracle finds. Every number has seen the test labels.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Envelope {
    /// Area under the upper envelope of the staircase and both detectors' own ROC curves; at least the better
    /// detector's AUROC.
    pub auroc: f64,
    /// Smallest share of OOD accepted by a threshold pair that accepts at least 95% of ID.
    pub fpr95_id_positive: f64,
    /// Smallest share of ID flagged by a threshold pair that flags at least 95% of OOD.
    pub fpr95_ood_positive: f64,
    /// `staircase[k] / n_id` at false-positive rate `k / n_ood`, as a curve that begins at (0, 0).
    pub curve: RocCurve,
    /// The largest number of ID samples accepted with at most k OOD samples, for k = 0 ..= n_ood.
    pub staircase: Vec<u32>,
}

/// The envelope of two test columns, each given by its ID and its OOD part: `[first, second]`, sample for sample.
///
/// # Errors
/// As [`Ranking::new`]; [`Error::LengthMismatch`] when the columns differ in length.
pub fn envelope(id: [&TestScores; 2], ood: [&TestScores; 2]) -> Result<Envelope, Error> {
    for [first, second] in [id, ood] {
        let (left, right) = (first.values().len(), second.values().len());
        if left != right {
            let what = format!("scores `{}` and `{}`", first.name(), second.name());
            return Err(Error::LengthMismatch { what, left, right });
        }
    }
    let ranking =
        |column: usize| Ranking::new(id[column].name(), id[column].values(), ood[column].values());
    let own = [ranking(0)?.roc(Positive::Id), ranking(1)?.roc(Positive::Id)];
    let staircase = staircase(id.map(TestScores::values), ood.map(TestScores::values));

    let (n_id, n_ood) = (id[0].values().len() as f64, ood[0].values().len() as f64);
    let share = |k: usize| f64::from(staircase[k]) / n_id;
    let first_reaching = (0..staircase.len())
        .find(|&k| share(k) >= 0.95)
        .unwrap_or(staircase.len() - 1);
    // Flagging at least 95% of OOD leaves at most this many accepted.
    let most_accepted = (0..staircase.len())
        .rev()
        .find(|&k| (n_ood - k as f64) / n_ood >= 0.95)
        .unwrap_or(0);
    let mut curve = RocCurve {
        fpr: vec![0.0],
        tpr: vec![0.0],
    };
    for (k, &accepted) in staircase.iter().enumerate() {
        if k > 0 && staircase[k - 1] < accepted {
            curve.fpr.push(k as f64 / n_ood);
            curve.tpr.push(f64::from(staircase[k - 1]) / n_id);
        }
        if k == 0 || staircase[k - 1] < accepted || k + 1 == staircase.len() {
            curve.fpr.push(k as f64 / n_ood);
            curve.tpr.push(f64::from(accepted) / n_id);
        }
    }
    Ok(Envelope {
        auroc: area(&staircase, n_id, &own),
        fpr95_id_positive: first_reaching as f64 / n_ood,
        fpr95_ood_positive: 1.0 - share(most_accepted),
        curve,
        staircase,
    })
}

/// A sample in the sweep.
struct Sample {
    first: u64,
    second: u64,
    is_id: bool,
}

/// Lowers the first threshold sample by sample. `accepted[k]` is the number of ID samples in so far whose second
/// score lies above the (k+1)-th largest second score of the OOD samples in so far: what the best second threshold
/// accepts with at most k OOD samples.
fn staircase(id: [&[f64]; 2], ood: [&[f64]; 2]) -> Vec<u32> {
    let side = |part: [&[f64]; 2], is_id: bool| -> Vec<Sample> {
        let pairs = part[0].iter().zip(part[1]);
        pairs
            .map(|(&first, &second)| Sample {
                first: sort_key(first),
                second: sort_key(second),
                is_id,
            })
            .collect()
    };
    let mut samples = side(ood, false);
    samples.extend(side(id, true));
    // Of equal first scores the OOD samples come first: with them in, nothing is counted too early.
    samples.sort_unstable_by_key(|sample| (std::cmp::Reverse(sample.first), sample.is_id));

    let mut best = vec![0u32; ood[0].len() + 1];
    let mut accepted = vec![0u32];
    let mut ood_seconds: Vec<u64> = Vec::with_capacity(ood[0].len());
    let mut id_seconds = CountAbove::new(id[1]);
    for sample in samples {
        // OOD samples in so far that no threshold separates from this one by keeping it and leaving them out.
        let position = ood_seconds.partition_point(|&other| other >= sample.second);
        if sample.is_id {
            id_seconds.add(sample.second);
            for (count, best) in accepted[position..].iter_mut().zip(&mut best[position..]) {
                *count += 1;
                *best = (*best).max(*count);
            }
        } else {
            ood_seconds.insert(position, sample.second);
            accepted.insert(position, id_seconds.above(sample.second));
        }
    }
    for k in 1..best.len() {
        best[k] = best[k].max(best[k - 1]);
    }
    best
}

/// How many of the scores added so far lie strictly above one (Fenwick's tree over the ranks).
struct CountAbove {
    sorted: Vec<u64>,
    tree: Vec<u32>,
    total: u32,
}

impl CountAbove {
    fn new(scores: &[f64]) -> Self {
        let mut sorted: Vec<u64> = scores.iter().map(|&score| sort_key(score)).collect();
        sorted.sort_unstable();
        sorted.dedup();
        Self {
            tree: vec![0; sorted.len() + 1],
            sorted,
            total: 0,
        }
    }

    fn add(&mut self, key: u64) {
        self.total += 1;
        let mut node = self.sorted.partition_point(|&other| other < key) + 1;
        while node < self.tree.len() {
            self.tree[node] += 1;
            node += node & node.wrapping_neg();
        }
    }

    fn above(&self, key: u64) -> u32 {
        let mut node = self.sorted.partition_point(|&other| other <= key);
        let mut not_above = 0;
        while node > 0 {
            not_above += self.tree[node];
            node &= node - 1;
        }
        self.total - not_above
    }
}

/// The area under the pointwise maximum of the staircase and two ROC curves. Within one step of the
/// false-positive rate the staircase is constant and each curve is linear (a curve slopes only across ties).
fn area(staircase: &[u32], n_id: f64, own: &[RocCurve; 2]) -> f64 {
    let cells = staircase.len() - 1;
    let own = own.each_ref().map(|curve| lines(curve, cells));
    let cell = |k: usize| {
        let level = f64::from(staircase[k]) / n_id;
        area_of_maximum([(level, level), own[0][k], own[1][k]])
    };
    (0..cells).map(cell).sum::<f64>() / cells as f64
}

/// A ROC curve's values at both ends of each of `cells` equal steps of the false-positive rate.
fn lines(curve: &RocCurve, cells: usize) -> Vec<(f64, f64)> {
    let mut lines = Vec::with_capacity(cells);
    for at in 1..curve.fpr.len() {
        let from = (curve.fpr[at - 1] * cells as f64).round() as usize;
        let to = (curve.fpr[at] * cells as f64).round() as usize;
        let (low, rise) = (curve.tpr[at - 1], curve.tpr[at] - curve.tpr[at - 1]);
        let value = |k: usize| low + rise * (k - from) as f64 / (to - from) as f64;
        lines.extend((from..to).map(|k| (value(k), value(k + 1))));
    }
    lines
}

/// The integral over [0, 1] of the maximum of three lines, each given by its values at 0 and 1.
fn area_of_maximum(lines: [(f64, f64); 3]) -> f64 {
    let mut cuts = vec![0.0, 1.0];
    for (i, a) in lines.iter().enumerate() {
        for b in &lines[i + 1..] {
            let (left, right) = (a.0 - b.0, a.1 - b.1);
            if left * right < 0.0 {
                cuts.push(left / (left - right));
            }
        }
    }
    cuts.sort_unstable_by(f64::total_cmp);
    let highest = |x: f64| {
        lines
            .iter()
            .map(|(a, b)| a + (b - a) * x)
            .fold(f64::NEG_INFINITY, f64::max)
    };
    cuts.windows(2)
        .map(|cut| 0.5 * (cut[1] - cut[0]) * (highest(cut[0]) + highest(cut[1])))
        .sum()
}

#[cfg(test)]
mod tests {
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;
    use crate::combine::Scores;

    fn brute_force(id: [&[f64]; 2], ood: [&[f64]; 2]) -> Vec<u32> {
        let thresholds = |column: usize| -> Vec<f64> { [id[column], ood[column]].concat() };
        let mut best = vec![0u32; ood[0].len() + 1];
        for first in thresholds(0) {
            for second in thresholds(1) {
                let accepted = |part: [&[f64]; 2]| {
                    part[0]
                        .iter()
                        .zip(part[1])
                        .filter(|(a, b)| **a >= first && **b >= second)
                        .count()
                };
                let k = accepted(ood);
                best[k] = best[k].max(accepted(id) as u32);
            }
        }
        for k in 1..best.len() {
            best[k] = best[k].max(best[k - 1]);
        }
        best
    }

    #[test]
    fn the_sweep_equals_brute_force_with_and_without_ties() {
        for case in 0..200u64 {
            let mut rng = ChaCha8Rng::seed_from_u64(case);
            let (n_id, n_ood) = (rng.random_range(1..20), rng.random_range(1..20));
            let levels = if case % 2 == 0 { 5 } else { 1000 };
            let mut column = |n: usize| -> Vec<f64> {
                (0..n)
                    .map(|_| f64::from(rng.random_range(0..levels)))
                    .collect()
            };
            let (id, ood) = ([column(n_id), column(n_id)], [column(n_ood), column(n_ood)]);
            let test = |values: &[f64]| Scores::new("x", values.to_vec()).unwrap();
            let (id, ood) = (
                id.each_ref().map(|v| test(v)),
                ood.each_ref().map(|v| test(v)),
            );
            let result = envelope([&id[0], &id[1]], [&ood[0], &ood[1]]).unwrap();
            let views =
                |part: &'_ [TestScores; 2]| [part[0].values().to_vec(), part[1].values().to_vec()];
            let (i, o) = (views(&id), views(&ood));
            assert_eq!(
                result.staircase,
                brute_force([&i[0], &i[1]], [&o[0], &o[1]]),
                "case {case}"
            );
            for column in 0..2 {
                let single = Ranking::new("x", &i[column], &o[column]).unwrap();
                assert!(result.auroc >= single.auroc() - 1e-12, "case {case}");
                assert!(result.fpr95_id_positive <= single.fpr_id_positive(0.95).unwrap());
                assert!(
                    result.fpr95_ood_positive <= single.fpr_ood_positive(0.95).unwrap() + 1e-12
                );
            }
        }
    }

    #[test]
    fn two_equal_columns_give_the_column_itself() {
        let id = Scores::new("x", vec![3.0, 2.0, 2.0, 1.0]).unwrap();
        let ood = Scores::new("x", vec![2.0, 0.0, 2.0]).unwrap();
        let single = Ranking::new("x", id.values(), ood.values()).unwrap();
        let both = envelope([&id, &id], [&ood, &ood]).unwrap();
        assert!((both.auroc - single.auroc()).abs() < 1e-12);
    }

    #[test]
    fn a_maximum_of_lines_is_integrated_exactly() {
        assert_eq!(area_of_maximum([(0.5, 0.5), (0.0, 1.0), (0.0, 0.0)]), 0.625);
        assert_eq!(area_of_maximum([(0.0, 1.0), (1.0, 0.0), (0.0, 0.0)]), 0.75);
    }
}
