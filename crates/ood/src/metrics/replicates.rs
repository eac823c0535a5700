//! Metrics of sixteen bootstrap replicates at a time: one walk over the ranks, a lane for each replicate.
//!
//! As [`Metric::of`] has them of the tie groups that a replicate has, to the last bit. Here a replicate also meets the
//! groups that it does not have; they change nothing.

use std::ops::Range;

use super::Ranking;
use super::ranking::Metric;
use super::roc::{self, Positive};

/// Replicates that are walked together.
pub(super) const LANES: usize = 16;

/// One value a replicate.
pub(super) type Lane<T> = [T; LANES];

/// Where a score column's tie groups have their samples, on either side.
pub(super) struct Ranks {
    /// From the highest score to the lowest.
    groups: Vec<Group>,
    id: usize,
    ood: usize,
}

/// One tie group's places in the descending order of scores, in-distribution before out-of-distribution.
struct Group {
    id: Range<u32>,
    ood: Range<u32>,
}

/// A tie group's samples, seen from the side that counts as positive.
struct Rows<'a> {
    positive: &'a [Lane<u8>],
    negative: &'a [Lane<u8>],
}

impl Ranks {
    pub(super) fn new(ranking: &Ranking) -> Self {
        let (mut id, mut ood) = (0, ranking.n_id() as u32);
        let places = |next: &mut u32, samples: u32| {
            let first = *next;
            *next += samples;
            first..*next
        };
        let groups = ranking.counts.iter().map(|group| Group {
            id: places(&mut id, group.id),
            ood: places(&mut ood, group.ood),
        });
        Self {
            groups: groups.collect(),
            id: ranking.n_id(),
            ood: ranking.n_ood(),
        }
    }

    /// Each metric of each replicate; `times` is how often a replicate has the sample at a place.
    pub(super) fn metrics(&self, times: &[Lane<u8>], metrics: &[Metric]) -> Vec<Lane<f64>> {
        pulp::Arch::new().dispatch(Walks {
            ranks: self,
            times,
            metrics,
        })
    }

    /// The tie group that comes `step`-th from the strictest threshold to the laxest.
    #[inline(always)]
    fn rows<'a>(&self, times: &'a [Lane<u8>], positive: Positive, step: usize) -> Rows<'a> {
        let side = |places: &Range<u32>| &times[places.start as usize..places.end as usize];
        match positive {
            Positive::Id => {
                let group = &self.groups[step];
                Rows {
                    positive: side(&group.id),
                    negative: side(&group.ood),
                }
            }
            Positive::Ood => {
                let group = &self.groups[self.groups.len() - 1 - step];
                Rows {
                    positive: side(&group.ood),
                    negative: side(&group.id),
                }
            }
        }
    }

    /// As [`roc::auroc`].
    #[inline(always)]
    fn auroc(&self, times: &[Lane<u8>]) -> Lane<f64> {
        let (mut id, mut twice_wins) = ([0u32; LANES], [0u64; LANES]);
        for step in 0..self.groups.len() {
            let rows = self.rows(times, Positive::Id, step);
            let own = occur(rows.positive);
            if !rows.negative.is_empty() {
                let ood = occur(rows.negative);
                for lane in 0..LANES {
                    twice_wins[lane] += u64::from(ood[lane]) * u64::from(2 * id[lane] + own[lane]);
                }
            }
            add(&mut id, &own);
        }
        let pairs = (2 * self.id as u64 * self.ood as u64) as f64;
        twice_wins.map(|wins| wins as f64 / pairs)
    }

    /// As [`super::pr::area`].
    #[inline(always)]
    fn area(&self, times: &[Lane<u8>], positive: Positive) -> Lane<f64> {
        let (mut tp, mut all) = ([0u32; LANES], [0u32; LANES]);
        let (mut before, mut twice_area) = ([1.0; LANES], [0.0; LANES]);
        // The area grows at positives alone, so the precision between negatives is never asked for.
        let mut outdated = false;
        for step in 0..self.groups.len() {
            let rows = self.rows(times, positive, step);
            let negative = occur(rows.negative);
            if rows.positive.is_empty() {
                add(&mut all, &negative);
                outdated = true;
                continue;
            }
            if std::mem::take(&mut outdated) {
                before = precisions(&tp, &all);
            }
            let positive = occur(rows.positive);
            add(&mut tp, &positive);
            add(&mut all, &positive);
            add(&mut all, &negative);
            let here = precisions(&tp, &all);
            for lane in 0..LANES {
                twice_area[lane] += f64::from(positive[lane] as i32) * (here[lane] + before[lane]);
            }
            before = here;
        }
        std::array::from_fn(|lane| twice_area[lane] / (2.0 * f64::from(tp[lane])))
    }

    /// As [`roc::operating_group`] with [`roc::Points::Kept`].
    #[inline(always)]
    fn fpr(&self, times: &[Lane<u8>], positive: Positive, level: f64) -> Lane<f64> {
        let (positives, negatives) = match positive {
            Positive::Id => (self.id, self.ood),
            Positive::Ood => (self.ood, self.id),
        };
        let needed = roc::needed(positives as f64, level) as u32;
        // The steps that it takes to the level, and what is above the threshold there.
        let (mut steps, mut tp, mut fp) = ([0u32; LANES], [0u32; LANES], [0u32; LANES]);
        for step in 0..self.groups.len() {
            let rows = self.rows(times, positive, step);
            let mut below = [0; LANES];
            for lane in 0..LANES {
                below[lane] = if tp[lane] < needed { u32::MAX } else { 0 };
            }
            let (positive, negative) = (occur(rows.positive), occur(rows.negative));
            for lane in 0..LANES {
                steps[lane] += below[lane] & 1;
                tp[lane] += below[lane] & positive[lane];
                fp[lane] += below[lane] & negative[lane];
            }
            if step % 64 == 0 && below == [0; LANES] {
                break;
            }
        }
        std::array::from_fn(|lane| {
            let group = |step: usize| {
                let rows = self.rows(times, positive, step);
                let occur = |rows: &[Lane<u8>]| -> u32 {
                    rows.iter().map(|times| u32::from(times[lane])).sum()
                };
                (occur(rows.positive), occur(rows.negative))
            };
            let reached = steps[lane] as usize;
            let (mut here, mut fp) = (group(reached - 1), fp[lane]);
            let is_first = here == (tp[lane], fp);
            let has = |group: &(u32, u32)| *group != (0, 0);
            for next in (reached..self.groups.len()).map(group).filter(has) {
                if is_first || next != here {
                    break;
                }
                fp += next.1;
                here = next;
            }
            f64::from(fp) / negatives as f64
        })
    }
}

/// [`Ranks::metrics`], compiled for each level of vector instructions and chosen at run time. What is not inlined here is
/// compiled for the lowest: hence loops, where iterators and `array::from_fn` would read better.
struct Walks<'a> {
    ranks: &'a Ranks,
    times: &'a [Lane<u8>],
    metrics: &'a [Metric],
}

impl pulp::WithSimd for Walks<'_> {
    type Output = Vec<Lane<f64>>;

    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, _: S) -> Self::Output {
        let mut values = Vec::with_capacity(self.metrics.len());
        for metric in self.metrics {
            values.push(match *metric {
                Metric::Auroc => self.ranks.auroc(self.times),
                Metric::AuprIn => self.ranks.area(self.times, Positive::Id),
                Metric::AuprOut => self.ranks.area(self.times, Positive::Ood),
                Metric::FprIdPositive(level) => self.ranks.fpr(self.times, Positive::Id, level),
                Metric::FprOodPositive(level) => self.ranks.fpr(self.times, Positive::Ood, level),
            });
        }
        values
    }
}

/// How often the replicates have any of the samples.
#[inline(always)]
fn occur(rows: &[Lane<u8>]) -> Lane<u32> {
    let mut occur = [0; LANES];
    for row in rows {
        for lane in 0..LANES {
            occur[lane] += u32::from(row[lane]);
        }
    }
    occur
}

#[inline(always)]
fn add(to: &mut Lane<u32>, more: &Lane<u32>) {
    for lane in 0..LANES {
        to[lane] += more[lane];
    }
}

/// True positives of all that are called positive; 1 before there are any.
#[inline(always)]
fn precisions(tp: &Lane<u32>, all: &Lane<u32>) -> Lane<f64> {
    let mut precisions = [1.0; LANES];
    for lane in 0..LANES {
        // Signed integers become floating-point numbers in one instruction.
        let (tp, all) = (f64::from(tp[lane] as i32), f64::from(all[lane] as i32));
        precisions[lane] = if all == 0.0 { 1.0 } else { tp / all };
    }
    precisions
}
