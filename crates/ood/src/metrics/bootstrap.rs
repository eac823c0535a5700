//! Stratified bootstrap intervals of ranking metrics.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use super::replicates::{LANES, Lane, Ranks};
use super::{Metric, Ranking};
use crate::{Error, quantile};

/// How to resample.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bootstrap {
    /// Number of replicates; 1000 by default.
    pub replicates: usize,
    /// Confidence of the interval in (0, 1); 0.95 by default.
    pub confidence: f64,
    /// Seed; each replicate has its own random stream under it.
    pub seed: u64,
}

impl Default for Bootstrap {
    fn default() -> Self {
        Self {
            replicates: 1000,
            confidence: 0.95,
            seed: 0,
        }
    }
}

/// A metric with its percentile interval.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Interval {
    /// The metric on the samples themselves.
    pub estimate: f64,
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
    /// Standard deviation over the replicates.
    pub std: f64,
}

/// How often each sample occurs in each replicate: drawn once for all score columns of the same samples.
#[derive(Debug, Clone)]
pub struct Resamples {
    how: Bootstrap,
    id: usize,
    ood: usize,
    /// `[replicate / LANES, place in the order of the scores, replicate % LANES]`, in-distribution first.
    times: Vec<Lane<u8>>,
}

impl Resamples {
    /// Of so many in-distribution and out-of-distribution samples, each side resampled to its own size. Replicate `r` draws
    /// from stream `r` of the seed, so the result does not depend on threads or order.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] without replicates, or unless the confidence is in `(0, 1)`.
    pub fn draw(id: usize, ood: usize, how: Bootstrap) -> Result<Self, Error> {
        how.check()?;
        let blocks = how.replicates.div_ceil(LANES);
        let mut times = vec![[0u8; LANES]; blocks * (id + ood)];
        let blocks = times.par_chunks_exact_mut((id + ood).max(1)).enumerate();
        blocks.for_each(|(block, times)| {
            let (of_id, of_ood) = times.split_at_mut(id);
            let first = block * LANES;
            for replicate in first..how.replicates.min(first + LANES) {
                let mut rng = ChaCha8Rng::seed_from_u64(how.seed);
                rng.set_stream(replicate as u64);
                for side in [&mut *of_id, &mut *of_ood] {
                    for _ in 0..side.len() {
                        let times = &mut side[rng.random_range(0..side.len())][replicate - first];
                        // A sample is drawn about once; a hundred times does not happen.
                        *times = times.saturating_add(1);
                    }
                }
            }
        });
        Ok(Self {
            how,
            id,
            ood,
            times,
        })
    }

    /// Percentile intervals (Efron and Tibshirani 1993, chapter 13) of several metrics of one score column from these
    /// replicates. The column is ranked once; sixteen replicates together make a linear pass over the ranks for each
    /// metric.
    ///
    /// # Errors
    /// [`Error::LengthMismatch`] for a column of other samples, [`Error::OutOfRange`] unless every level is in `(0, 1]`.
    pub fn intervals(&self, ranking: &Ranking, metrics: &[Metric]) -> Result<Vec<Interval>, Error> {
        for (what, left, right) in [
            ("in-distribution resamples", self.id, ranking.n_id()),
            ("out-of-distribution resamples", self.ood, ranking.n_ood()),
        ] {
            if left != right {
                let what = format!("{what} and a score column");
                return Err(Error::LengthMismatch { what, left, right });
            }
        }
        metrics.iter().try_for_each(|metric| metric.check())?;
        let ranks = Ranks::new(ranking);
        let blocks: Vec<Vec<Lane<f64>>> = self
            .times
            .par_chunks_exact(self.id + self.ood)
            .map(|times| ranks.metrics(times, metrics))
            .collect();
        let tail = 0.5 * (1.0 - self.how.confidence);
        let of_metric = |(column, metric): (usize, &Metric)| {
            let lanes = blocks.iter().flat_map(|block| block[column]);
            let mut values: Vec<f64> = lanes.take(self.how.replicates).collect();
            let mean = values.iter().sum::<f64>() / values.len() as f64;
            let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
            let std = (squares / (values.len() as f64 - 1.0).max(1.0)).sqrt();
            Interval {
                estimate: metric.of(&ranking.counts),
                low: quantile(&mut values, tail).unwrap_or(f64::NAN),
                high: quantile(&mut values, 1.0 - tail).unwrap_or(f64::NAN),
                std,
            }
        };
        Ok(metrics.iter().enumerate().map(of_metric).collect())
    }
}

impl Bootstrap {
    fn check(&self) -> Result<(), Error> {
        if !(self.confidence > 0.0 && self.confidence < 1.0) {
            let range = "it must lie in (0, 1)";
            return Err(Error::OutOfRange {
                what: "the confidence",
                value: self.confidence,
                range,
            });
        }
        if self.replicates == 0 {
            return Err(Error::OutOfRange {
                what: "the number of replicates",
                value: 0.0,
                range: "it must be at least 1",
            });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::delong;
    use crate::metrics::ranking::Counts;

    fn bootstrap(
        ranking: &Ranking,
        metrics: &[Metric],
        how: Bootstrap,
    ) -> Result<Vec<Interval>, Error> {
        Resamples::draw(ranking.n_id(), ranking.n_ood(), how)?.intervals(ranking, metrics)
    }

    fn columns() -> (Vec<f64>, Vec<f64>) {
        let mut rng = ChaCha8Rng::seed_from_u64(7);
        let id = (0..600).map(|_| rng.random_range(0.0..1.0) + 0.3).collect();
        (id, (0..400).map(|_| rng.random_range(0.0..1.0)).collect())
    }

    #[test]
    fn intervals_do_not_depend_on_threads() {
        let (id, ood) = columns();
        let ranking = Ranking::new("x", &id, &ood).unwrap();
        let metrics = [Metric::Auroc, Metric::AuprIn, Metric::FprIdPositive(0.95)];
        let how = Bootstrap {
            replicates: 200,
            ..Bootstrap::default()
        };
        let with = |threads| {
            let pool = rayon::ThreadPoolBuilder::new()
                .num_threads(threads)
                .build()
                .unwrap();
            pool.install(|| bootstrap(&ranking, &metrics, how).unwrap())
        };
        assert_eq!(with(1), with(4));
        assert_ne!(
            with(1),
            bootstrap(&ranking, &metrics, Bootstrap { seed: 1, ..how }).unwrap()
        );
    }

    #[test]
    fn a_replicate_has_the_metrics_of_its_own_tie_groups() {
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        let metrics = [
            Metric::Auroc,
            Metric::AuprIn,
            Metric::AuprOut,
            Metric::FprIdPositive(0.95),
            Metric::FprIdPositive(0.5),
            Metric::FprIdPositive(0.01),
            Metric::FprOodPositive(0.95),
            Metric::FprOodPositive(1.0),
        ];
        // Scores without ties, with some, with hardly anything else, and apart; replicates that do not fill the lanes.
        for (levels, shift) in [(1e9, 0.4), (50.0, 0.4), (3.0, 0.4), (1.0, 0.0), (1e9, 2.0)] {
            let mut column = |n: usize, shift: f64| -> Vec<f64> {
                let score = |_| ((rng.random_range(0.0..1.0) + shift) * levels).floor();
                (0..n).map(score).collect()
            };
            let (id, ood) = (column(70, shift), column(45, 0.0));
            let ranking = Ranking::new("x", &id, &ood).unwrap();
            let how = Bootstrap {
                replicates: 37,
                ..Bootstrap::default()
            };
            let drawn = Resamples::draw(id.len(), ood.len(), how).unwrap();
            let ranks = Ranks::new(&ranking);
            for (block, times) in drawn.times.chunks(id.len() + ood.len()).enumerate() {
                let values = ranks.metrics(times, &metrics);
                for lane in 0..LANES.min(how.replicates - block * LANES) {
                    let (mut of_id, mut of_ood) = times.split_at(id.len());
                    let occur = |side: &mut &[Lane<u8>], samples: u32| -> u32 {
                        let (own, rest) = side.split_at(samples as usize);
                        *side = rest;
                        own.iter().map(|times| u32::from(times[lane])).sum()
                    };
                    let counts: Vec<Counts> = ranking
                        .counts
                        .iter()
                        .map(|group| Counts {
                            id: occur(&mut of_id, group.id),
                            ood: occur(&mut of_ood, group.ood),
                        })
                        .filter(|group| *group != Counts::default())
                        .collect();
                    assert_eq!(counts.iter().map(|c| c.id).sum::<u32>(), 70);
                    assert_eq!(counts.iter().map(|c| c.ood).sum::<u32>(), 45);
                    for (metric, lanes) in metrics.iter().zip(&values) {
                        let expected = metric.of(&counts);
                        assert_eq!(lanes[lane].to_bits(), expected.to_bits(), "{metric:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn the_spread_agrees_with_delong() {
        let (id, ood) = columns();
        let ranking = Ranking::new("x", &id, &ood).unwrap();
        let interval = bootstrap(&ranking, &[Metric::Auroc], Bootstrap::default()).unwrap()[0];
        let expected = delong("x", &id, &ood, 0.95).unwrap().variance.sqrt();
        assert!(
            (interval.std / expected - 1.0).abs() < 0.1,
            "{} against {expected}",
            interval.std
        );
        assert!(interval.low < interval.estimate && interval.estimate < interval.high);
    }

    #[test]
    fn a_column_of_other_samples_is_refused() {
        let ranking = Ranking::new("x", &[1.0, 2.0], &[0.0]).unwrap();
        let resamples = Resamples::draw(1, 2, Bootstrap::default()).unwrap();
        let error = resamples.intervals(&ranking, &[Metric::Auroc]).unwrap_err();
        assert!(
            error.to_string().contains("in-distribution resamples"),
            "{error}"
        );
    }

    #[test]
    fn bad_settings_are_refused() {
        let ranking = Ranking::new("x", &[1.0], &[0.0]).unwrap();
        let none = Bootstrap {
            replicates: 0,
            ..Bootstrap::default()
        };
        assert!(bootstrap(&ranking, &[Metric::Auroc], none).is_err());
        let percent = Bootstrap {
            confidence: 95.0,
            ..Bootstrap::default()
        };
        assert!(bootstrap(&ranking, &[Metric::Auroc], percent).is_err());
        assert!(
            bootstrap(
                &ranking,
                &[Metric::FprIdPositive(95.0)],
                Bootstrap::default()
            )
            .is_err()
        );
    }
}
