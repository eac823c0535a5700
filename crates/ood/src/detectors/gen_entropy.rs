//! GEN, generalised entropy.
//!
//! Liu, Lochman and Zach, "GEN: Pushing the Limits of Softmax-Based Out-of-Distribution Detection", CVPR
//! 2023.

use serde::{Deserialize, Serialize};

use super::grid::GridAxis;
use super::{Detector, DetectorEntry, KIND, Need, Observations, check, softmax};
use crate::{Error, parameters};

const NAME: &str = "gen";

pub(super) const ENTRY: DetectorEntry = DetectorEntry {
    name: NAME,
    summary: "negative generalised entropy of the largest softmax probabilities",
    citation: "Liu, Lochman and Zach, CVPR 2023",
    needs: &[Need::Logits],
    defaults: parameters::defaults::<Gen>,
    grid: &[
        GridAxis::real("gamma", &[0.01, 0.1, 0.5, 1.0, 2.0, 5.0, 10.0]),
        GridAxis::whole("m", &[10, 50, 100, 200, 500, 1000]),
    ],
    construct: |table| {
        let detector: Gen = parameters::parse(KIND, NAME, table)?;
        check(
            NAME,
            detector.gamma > 0.0,
            "`gamma` must be positive (the paper uses 0.1)",
        )?;
        check(NAME, detector.m > 0, "`m` must be at least 1")?;
        Ok(Box::new(detector))
    },
};

/// Score `-sum p^gamma (1 - p)^gamma` over the `m` largest probabilities.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Gen {
    /// Exponent; 0.1 in the paper.
    pub gamma: f64,
    /// How many of the largest probabilities count; 100 in the paper, all when there are fewer classes.
    pub m: usize,
}

impl Default for Gen {
    fn default() -> Self {
        Self { gamma: 0.1, m: 100 }
    }
}

impl Detector for Gen {
    fn score(&self, observations: &Observations) -> Result<Vec<f64>, Error> {
        Ok(softmax::score_rows(observations.logits, |z| {
            let largest = softmax::argmax(z);
            let mut terms: Vec<(f64, f64)> = Vec::with_capacity(z.len());
            let p = softmax::softmax(z);
            for (class, &p_class) in p.iter().enumerate() {
                // 1 - p of the winner from the others' sum: exact where p rounds to 1.
                let rest = match class == largest {
                    true => p
                        .iter()
                        .enumerate()
                        .filter(|(other, _)| *other != class)
                        .map(|(_, p)| p)
                        .sum(),
                    false => 1.0 - p_class,
                };
                terms.push((p_class, rest));
            }
            terms.sort_unstable_by(|a, b| b.0.total_cmp(&a.0));
            terms.truncate(self.m);
            -terms
                .into_iter()
                .map(|(p, rest)| (p * rest).powf(self.gamma))
                .sum::<f64>()
        }))
    }
}
