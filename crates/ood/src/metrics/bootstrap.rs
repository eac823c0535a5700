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

/// Percentile intervals (Efron and Tibshirani 1993, chapter 13) of several metrics from the same
/// replicates. ID and OOD samples are resampled separately, each to its own size.
///
/// The column is ranked once; a replicate draws how often each tie group occurs and makes one linear pass.
/// Replicate `r` draws from stream `r` of the seed, so the result does not depend on threads or order.
///
/// # Errors
/// [`Error::OutOfRange`] without replicates, or unless the confidence is in `(0, 1)` and every level in `(0, 1]`.
pub fn bootstrap(
    ranking: &Ranking,
    metrics: &[Metric],
    how: Bootstrap,
) -> Result<Vec<Interval>, Error> {
    if !(how.confidence > 0.0 && how.confidence < 1.0) {
        let range = "it must lie in (0, 1)";
        return Err(Error::OutOfRange {
            what: "the confidence",
            value: how.confidence,
            range,
        });
    }
    if how.replicates == 0 {
        return Err(Error::OutOfRange {
            what: "the number of replicates",
            value: 0.0,
            range: "it must be at least 1",
        });
    }
    metrics.iter().try_for_each(|metric| metric.check())?;
    let id_groups = groups_of_samples(ranking, |counts| counts.id);
    let ood_groups = groups_of_samples(ranking, |counts| counts.ood);
    let replicate = |index: usize| -> Vec<f64> {
        let mut rng = ChaCha8Rng::seed_from_u64(how.seed);
        rng.set_stream(index as u64);
        let mut counts = vec![Counts::default(); ranking.counts.len()];
        for _ in 0..id_groups.len() {
            counts[id_groups[rng.random_range(0..id_groups.len())] as usize].id += 1;
        }
        for _ in 0..ood_groups.len() {
            counts[ood_groups[rng.random_range(0..ood_groups.len())] as usize].ood += 1;
        }
        // A score that was not drawn is no point of the replicate's ROC curve.
        counts.retain(|group| *group != Counts::default());
        metrics.iter().map(|metric| metric.of(&counts)).collect()
    };
    let values: Vec<Vec<f64>> = (0..how.replicates).into_par_iter().map(replicate).collect();
    let tail = 0.5 * (1.0 - how.confidence);
    Ok(metrics
        .iter()
        .enumerate()
        .map(|(column, metric)| {
            let mut values: Vec<f64> = values.iter().map(|row| row[column]).collect();
            let mean = values.iter().sum::<f64>() / values.len() as f64;
            let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
            let std = (squares / (values.len() as f64 - 1.0).max(1.0)).sqrt();
            let low = quantile(&mut values, tail).unwrap_or(f64::NAN);
            let high = quantile(&mut values, 1.0 - tail).unwrap_or(f64::NAN);
            Interval {
                estimate: metric.of(&ranking.counts),
                low,
                high,
                std,
            }
        })
        .collect())
}

/// The tie group of every sample of one side.
fn groups_of_samples(ranking: &Ranking, side: fn(&Counts) -> u32) -> Vec<u32> {
    let groups = ranking.counts.iter().enumerate();
    groups
        .flat_map(|(group, counts)| std::iter::repeat_n(group as u32, side(counts) as usize))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::delong;

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
