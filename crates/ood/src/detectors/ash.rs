//! ASH, activation shaping.
//!
//! Djurisic et al., "Extremely Simple Activation Shaping for Out-of-Distribution Detection", ICLR 2023.

use ndarray::ArrayViewMut1;
use serde::{Deserialize, Serialize};

use super::grid::{GridAxis, SHAPING_PERCENTILES};
use super::head::OwnedHead;
use super::{Detector, DetectorEntry, FitData, KIND, Need, Observations, check, fitted};
use crate::{Error, parameters};

const NAME: &str = "ash";

pub(super) const ENTRY: DetectorEntry = DetectorEntry {
    name: NAME,
    summary: "energy after removing small activations and rescaling the rest",
    citation: "Djurisic et al., ICLR 2023",
    needs: &[Need::Features, Need::Head],
    defaults: parameters::defaults::<Parameters>,
    grid: &[GridAxis::real("percentile", SHAPING_PERCENTILES)],
    construct: |table| {
        let parameters: Parameters = parameters::parse(KIND, NAME, table)?;
        check(
            NAME,
            (0.0..100.0).contains(&parameters.percentile),
            "`percentile` must lie in [0, 100)",
        )?;
        Ok(Box::new(Ash {
            parameters,
            head: None,
        }))
    },
};

/// What happens to the activations that stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Variant {
    /// ASH-P: nothing.
    P,
    /// ASH-B: each becomes (sum before) / k.
    B,
    /// ASH-S: each is multiplied by exp(sum before / sum after).
    S,
}

/// Parameters; the defaults are OpenOOD's.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Parameters {
    /// `"b"` (OpenOOD's network), `"s"` or `"p"`.
    pub variant: Variant,
    /// Percentage of the features that is removed, the smallest first; 90.
    pub percentile: f64,
}

impl Default for Parameters {
    fn default() -> Self {
        Self {
            variant: Variant::B,
            percentile: 90.0,
        }
    }
}

/// Score: log-sum-exp of the logits of the shaped features.
#[derive(Debug)]
pub struct Ash {
    parameters: Parameters,
    head: Option<OwnedHead>,
}

impl Detector for Ash {
    fn fit(&mut self, data: &FitData) -> Result<(), Error> {
        self.head = Some(data.head.into());
        Ok(())
    }

    fn score(&self, observations: &Observations) -> Result<Vec<f64>, Error> {
        let Parameters {
            variant,
            percentile,
        } = self.parameters;
        Ok(fitted(NAME, &self.head)?
            .scores(observations.features, |f| shape(f, variant, percentile)))
    }

    fn predict(&self, observations: &Observations) -> Result<Vec<usize>, Error> {
        let Parameters {
            variant,
            percentile,
        } = self.parameters;
        Ok(fitted(NAME, &self.head)?
            .classes(observations.features, |f| shape(f, variant, percentile)))
    }
}

/// Shapes one feature vector in place. The `k = D - round(D percentile / 100)` largest entries stay (half
/// rounds to even; the first of equals stays). A vector whose kept entries sum to zero is left without
/// rescaling.
pub fn shape(mut features: ArrayViewMut1<f64>, variant: Variant, percentile: f64) {
    let before = features.sum();
    let kept = largest(&features, percentile);
    let mut shaped = vec![0.0; features.len()];
    for &index in &kept {
        shaped[index] = features[index];
    }
    let after: f64 = shaped.iter().sum();
    for &index in &kept {
        match variant {
            Variant::P => {}
            Variant::B => shaped[index] = before / kept.len() as f64,
            Variant::S if after == 0.0 => {}
            Variant::S => shaped[index] *= (before / after).exp(),
        }
    }
    features
        .iter_mut()
        .zip(shaped)
        .for_each(|(feature, value)| *feature = value);
}

/// Indices of the entries that stay.
pub(super) fn largest(features: &ArrayViewMut1<f64>, percentile: f64) -> Vec<usize> {
    let d = features.len();
    let removed = (d as f64 * percentile / 100.0).round_ties_even() as usize;
    let k = d - removed.min(d);
    let mut order: Vec<usize> = (0..d).collect();
    if k < d {
        order.select_nth_unstable_by(k, |&a, &b| {
            features[b].total_cmp(&features[a]).then(a.cmp(&b))
        });
        order.truncate(k);
    }
    // In index order, so that sums over the kept entries do not depend on the selection.
    order.sort_unstable();
    order
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::Array1;

    #[test]
    fn half_rounds_to_even() {
        // 30 * 75 / 100 = 22.5 removes 22.
        let mut features: Array1<f64> = (0..30).map(f64::from).collect();
        assert_eq!(largest(&features.view_mut(), 75.0).len(), 8);
    }
}
