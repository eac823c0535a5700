//! One sort of a score column; all ranking metrics are linear passes over the result.

use serde::{Deserialize, Serialize};

use super::{pr, roc};
use crate::Error;

/// How many samples of each side share one distinct score.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Counts {
    pub id: u32,
    pub ood: u32,
}

/// A ranking metric, by name and level.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    /// Area under the ROC curve; a tie between ID and OOD counts one half.
    Auroc,
    /// Area under the precision-recall curve, ID positive.
    AuprIn,
    /// Area under the precision-recall curve, OOD positive.
    AuprOut,
    /// Share of OOD accepted when at least this share of ID is accepted (DiffGuard's and most papers' FPR).
    FprIdPositive(f64),
    /// Share of ID flagged when at least this share of OOD is flagged (OpenOOD v1.5's FPR).
    FprOodPositive(f64),
}

/// A score column in descending order, as tie groups.
#[derive(Debug, Clone)]
pub struct Ranking {
    /// Distinct scores, descending.
    pub(super) scores: Vec<f64>,
    /// Samples at each distinct score.
    pub(super) counts: Vec<Counts>,
    n_id: usize,
    n_ood: usize,
}

impl Ranking {
    /// Ranks a score column given as its ID part and its OOD part (higher = more in-distribution).
    ///
    /// In linear time by a radix sort of the scores' order-preserving integer images, both sides at once.
    ///
    /// # Errors
    /// [`Error::NotFinite`] with the sample's position, [`Error::OneSided`] when a part is empty.
    pub fn new(name: &str, id: &[f64], ood: &[f64]) -> Result<Self, Error> {
        let (id, ood) = rayon::join(
            || sorted_keys(name, "in-distribution", id),
            || sorted_keys(name, "out-of-distribution", ood),
        );
        let (id, ood) = (id?, ood?);
        let distinct = id.len() + ood.len();
        let mut scores = Vec::with_capacity(distinct);
        let mut counts = Vec::with_capacity(distinct);
        let (mut i, mut o) = (0, 0);
        while i < id.len() || o < ood.len() {
            let key = id
                .get(i)
                .copied()
                .max(ood.get(o).copied())
                .unwrap_or_default();
            let from = (i, o);
            while id.get(i) == Some(&key) {
                i += 1;
            }
            while ood.get(o) == Some(&key) {
                o += 1;
            }
            scores.push(score_of(key));
            counts.push(Counts {
                id: (i - from.0) as u32,
                ood: (o - from.1) as u32,
            });
        }
        Ok(Self {
            scores,
            counts,
            n_id: id.len(),
            n_ood: ood.len(),
        })
    }

    /// Number of in-distribution samples.
    pub fn n_id(&self) -> usize {
        self.n_id
    }

    /// Number of out-of-distribution samples.
    pub fn n_ood(&self) -> usize {
        self.n_ood
    }

    /// Area under the ROC curve in `[0, 1]`: the probability that an ID sample scores above an OOD sample,
    /// a tie counting one half (Mann-Whitney's U). Counted in integers, rounded once.
    pub fn auroc(&self) -> f64 {
        roc::auroc(&self.counts)
    }

    /// Area under the precision-recall curve with ID positive; see [`Ranking::aupr_out`].
    pub fn aupr_in(&self) -> f64 {
        pr::area(self.counts.iter().map(|c| (c.id, c.ood)))
    }

    /// Area under the precision-recall curve with OOD positive, ranked by the negated score.
    ///
    /// The trapezoid under all points including the end point (recall 0, precision 1), as OpenOOD computes
    /// it; it is not average precision.
    pub fn aupr_out(&self) -> f64 {
        pr::area(self.counts.iter().rev().map(|c| (c.ood, c.id)))
    }

    /// The value of `metric` in `[0, 1]`; for the FPR metrics with [`super::Points::Kept`].
    ///
    /// # Errors
    /// [`Error::OutOfRange`] when the level of an FPR lies outside `(0, 1]`.
    pub fn value(&self, metric: Metric) -> Result<f64, Error> {
        metric.check()?;
        Ok(metric.of(&self.counts))
    }
}

impl Metric {
    /// The metric's name as a table's column header, e.g. `fpr95_id_positive`.
    pub fn name(&self) -> String {
        let level = |level: f64| (level * 1e6).round() / 1e4;
        match self {
            Self::Auroc => "auroc".into(),
            Self::AuprIn => "aupr_in".into(),
            Self::AuprOut => "aupr_out".into(),
            Self::FprIdPositive(l) => format!("fpr{}_id_positive", level(*l)),
            Self::FprOodPositive(l) => format!("fpr{}_ood_positive", level(*l)),
        }
    }

    /// The level, if there is one, lies in `(0, 1]`.
    pub(super) fn check(self) -> Result<(), Error> {
        match self {
            Self::FprIdPositive(level) | Self::FprOodPositive(level)
                if !(level > 0.0 && level <= 1.0) =>
            {
                let range = "it must lie in (0, 1]";
                Err(Error::OutOfRange {
                    what: "the true-positive rate",
                    value: level,
                    range,
                })
            }
            _ => Ok(()),
        }
    }

    /// The metric over tie groups in descending order of score.
    pub(super) fn of(self, counts: &[Counts]) -> f64 {
        let fpr = |positive, level| {
            roc::operating_group(counts, positive, level, roc::Points::Kept)
                .map_or(f64::NAN, |(_, fpr)| fpr)
        };
        match self {
            Self::Auroc => roc::auroc(counts),
            Self::AuprIn => pr::area(counts.iter().map(|c| (c.id, c.ood))),
            Self::AuprOut => pr::area(counts.iter().rev().map(|c| (c.ood, c.id))),
            Self::FprIdPositive(level) => fpr(roc::Positive::Id, level),
            Self::FprOodPositive(level) => fpr(roc::Positive::Ood, level),
        }
    }
}

/// Refuses the first value that is not finite.
pub(super) fn check_finite(name: &str, split: &'static str, scores: &[f64]) -> Result<(), Error> {
    match scores.iter().position(|score| !score.is_finite()) {
        Some(index) => Err(Error::NotFinite {
            name: name.into(),
            split,
            index,
            value: scores[index],
        }),
        None if scores.is_empty() => Err(Error::OneSided {
            name: name.into(),
            split,
        }),
        None => Ok(()),
    }
}

fn sorted_keys(name: &str, split: &'static str, scores: &[f64]) -> Result<Vec<u64>, Error> {
    check_finite(name, split, scores)?;
    // Complemented, ascending order is descending order of scores.
    let mut keys: Vec<u64> = scores.iter().map(|&score| !sort_key(score)).collect();
    sort_radix(&mut keys);
    keys.iter_mut().for_each(|key| *key = !*key);
    Ok(keys)
}

/// Bits of a digit.
const DIGIT: u32 = 11;
/// Below this many keys a comparison sort is as fast.
const FEW: usize = 4096;

/// Sorts ascending, digit by digit from the lowest (Knuth 1998, section 5.2.5). One pass counts every digit; a digit
/// that all keys share is passed over.
fn sort_radix(keys: &mut Vec<u64>) {
    if keys.len() < FEW {
        keys.sort_unstable();
        return;
    }
    const DIGITS: usize = u64::BITS.div_ceil(DIGIT) as usize;
    const BUCKETS: usize = 1 << DIGIT;
    let digit = |key: u64, place: usize| (key >> (place as u32 * DIGIT)) as usize & (BUCKETS - 1);
    let mut counts = vec![[0u32; BUCKETS]; DIGITS];
    for &key in keys.iter() {
        for (place, counts) in counts.iter_mut().enumerate() {
            counts[digit(key, place)] += 1;
        }
    }
    let mut other = vec![0; keys.len()];
    for (place, counts) in counts.iter().enumerate() {
        if counts.iter().any(|&count| count as usize == keys.len()) {
            continue;
        }
        let mut next = [0u32; BUCKETS];
        let mut sum = 0;
        for (next, count) in next.iter_mut().zip(counts) {
            *next = sum;
            sum += count;
        }
        for &key in keys.iter() {
            let at = &mut next[digit(key, place)];
            other[*at as usize] = key;
            *at += 1;
        }
        std::mem::swap(keys, &mut other);
    }
}

const SIGN: u64 = 1 << 63;

/// The order-preserving integer image of a finite score; -0 and +0 share one.
pub(crate) fn sort_key(score: f64) -> u64 {
    let bits = (score + 0.0).to_bits();
    if bits & SIGN == 0 { bits | SIGN } else { !bits }
}

/// The inverse of [`sort_key`].
pub(crate) fn score_of(key: u64) -> f64 {
    f64::from_bits(if key & SIGN == 0 { !key } else { key & !SIGN })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_keep_the_order_and_come_back() {
        let ordered = [-f64::MAX, -1.5, -f64::MIN_POSITIVE, 0.0, 5e-324, 1.0, 1e300];
        for pair in ordered.windows(2) {
            assert!(sort_key(pair[0]) < sort_key(pair[1]));
        }
        assert!(
            ordered
                .iter()
                .all(|&score| score_of(sort_key(score)) == score)
        );
        assert_eq!(sort_key(-0.0), sort_key(0.0));
    }

    #[test]
    fn radix_equals_comparison() {
        let mut state = 1u64;
        for n in [0, 1, FEW - 1, FEW, 3 * FEW + 7] {
            for mask in [u64::MAX, 0xff, 0xffff_0000_0000_0000] {
                let mut keys: Vec<u64> = (0..n)
                    .map(|_| {
                        state = state
                            .wrapping_mul(6_364_136_223_846_793_005)
                            .wrapping_add(1_442_695_040_888_963_407);
                        (state ^ (state >> 29)) & mask
                    })
                    .collect();
                let mut expected = keys.clone();
                expected.sort_unstable();
                sort_radix(&mut keys);
                assert_eq!(keys, expected);
            }
        }
    }

    #[test]
    fn a_value_that_cannot_be_ranked_is_named() {
        let error = Ranking::new("msp", &[0.1, f64::NAN], &[0.2])
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("`msp`") && error.contains("sample 1") && error.contains("NaN"),
            "{error}"
        );
        assert!(
            Ranking::new("msp", &[0.1], &[])
                .unwrap_err()
                .to_string()
                .contains("out-of-distribution")
        );
    }

    #[test]
    fn metric_names_carry_their_level() {
        assert_eq!(Metric::FprIdPositive(0.95).name(), "fpr95_id_positive");
        assert_eq!(Metric::FprOodPositive(0.995).name(), "fpr99.5_ood_positive");
    }
}
