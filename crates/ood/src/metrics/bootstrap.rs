//! Stratified bootstrap intervals of ranking metrics.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use super::ranking::Counts;
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
    /// `[replicate, place in the order of the scores]`, in-distribution first.
    times: Vec<u8>,
}

impl Resamples {
    /// Of so many in-distribution and out-of-distribution samples, each side resampled to its own size. Replicate `r` draws
    /// from stream `r` of the seed, so the result does not depend on threads or order.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] without replicates, or unless the confidence is in `(0, 1)`.
    pub fn draw(id: usize, ood: usize, how: Bootstrap) -> Result<Self, Error> {
        how.check()?;
        let mut times = vec![0u8; how.replicates * (id + ood)];
        let replicates = times.par_chunks_exact_mut((id + ood).max(1)).enumerate();
        replicates.for_each(|(index, times)| {
            let mut rng = ChaCha8Rng::seed_from_u64(how.seed);
            rng.set_stream(index as u64);
            let (of_id, of_ood) = times.split_at_mut(id);
            for side in [of_id, of_ood] {
                for _ in 0..side.len() {
                    let times = &mut side[rng.random_range(0..side.len())];
                    // A sample is drawn about once; a hundred times does not happen.
                    *times = times.saturating_add(1);
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
    /// replicates. The column is ranked once; a replicate makes a linear pass over the ranks.
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
        let replicate = |times: &[u8]| -> Vec<f64> {
            let (mut id, mut ood) = times.split_at(self.id);
            let occur = |side: &mut &[u8], samples: u32| -> u32 {
                let (own, rest) = side.split_at(samples as usize);
                *side = rest;
                own.iter().map(|&times| u32::from(times)).sum()
            };
            let mut counts = Vec::with_capacity(ranking.counts.len());
            for group in &ranking.counts {
                let drawn = Counts {
                    id: occur(&mut id, group.id),
                    ood: occur(&mut ood, group.ood),
                };
                // A score that was not drawn is no point of the replicate's ROC curve.
                if drawn != Counts::default() {
                    counts.push(drawn);
                }
            }
            metrics.iter().map(|metric| metric.of(&counts)).collect()
        };
        let values: Vec<Vec<f64>> = self
            .times
            .par_chunks_exact(self.id + self.ood)
            .map(replicate)
            .collect();
        let tail = 0.5 * (1.0 - self.how.confidence);
        let of_metric = |(column, metric): (usize, &Metric)| {
            let mut values: Vec<f64> = values.iter().map(|row| row[column]).collect();
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
