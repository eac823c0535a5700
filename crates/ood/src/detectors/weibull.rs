//! Maximum-likelihood fit of a two-parameter Weibull distribution.

use crate::root;

/// `F(x) = 1 - exp(-(x / scale)^shape)` for x >= 0.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Weibull {
    /// Scale, positive.
    pub scale: f64,
    /// Shape, positive.
    pub shape: f64,
}

impl Weibull {
    /// The maximum-likelihood fit to positive values (uncensored, as libmr fits a tail); `None` for fewer than
    /// two values, a value that is not positive, or values that are all equal.
    ///
    /// The shape solves `sum x^k ln x / sum x^k - 1/k = mean ln x` (Johnson, Kotz and Balakrishnan 1994,
    /// chapter 21), whose left side grows with k; the scale is `(mean x^k)^(1/k)`.
    pub fn fit(values: &[f64]) -> Option<Self> {
        let largest = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let equal = values.iter().all(|&value| value == largest);
        if values.len() < 2
            || equal
            || values
                .iter()
                .any(|&value| !(value > 0.0 && value.is_finite()))
        {
            return None;
        }
        // Relative to the largest value, powers cannot overflow.
        let logs: Vec<f64> = values.iter().map(|value| (value / largest).ln()).collect();
        let mean_log = logs.iter().sum::<f64>() / logs.len() as f64;
        let slope = |k: f64| {
            let (weighted, total) = logs.iter().fold((0.0, 0.0), |(weighted, total), &log| {
                let power = (k * log).exp();
                (weighted + power * log, total + power)
            });
            weighted / total - 1.0 / k - mean_log
        };
        let shape = root::of_increasing(slope)?;
        let mean_power =
            logs.iter().map(|log| (shape * log).exp()).sum::<f64>() / logs.len() as f64;
        Some(Self {
            scale: largest * mean_power.powf(1.0 / shape),
            shape,
        })
    }

    /// `F(x)`; 0 for x <= 0.
    pub fn cdf(&self, x: f64) -> f64 {
        if x <= 0.0 {
            0.0
        } else {
            -(-(x / self.scale).powf(self.shape)).exp_m1()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_give_their_distribution_back() {
        let truth = Weibull {
            scale: 2.0,
            shape: 3.0,
        };
        let values: Vec<f64> = (0..20000)
            .map(|i| (f64::from(i) + 0.5) / 20000.0)
            .map(|p| 2.0 * (-(-p).ln_1p()).powf(1.0 / 3.0))
            .collect();
        let fit = Weibull::fit(&values).unwrap();
        assert!(
            (fit.scale / truth.scale - 1.0).abs() < 1e-3
                && (fit.shape / truth.shape - 1.0).abs() < 2e-3,
            "{fit:?}"
        );
        assert!((truth.cdf(2.0) - (1.0 - (-1.0f64).exp())).abs() < 1e-15);
        assert_eq!(truth.cdf(-1.0), 0.0);
    }

    #[test]
    fn what_cannot_be_fitted_is_refused() {
        assert!(Weibull::fit(&[1.0]).is_none());
        assert!(Weibull::fit(&[1.0, 1.0]).is_none());
        assert!(Weibull::fit(&[1.0, -1.0]).is_none());
    }
}
