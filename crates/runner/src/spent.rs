//! What outputs cost when they were computed: rows through the networks, and time.

use std::collections::BTreeMap;

pub use diffguard_guidance::Spent;
use serde::{Deserialize, Serialize};

/// What a guard costs an image, its inversion included (and, where it is compared with one, its reconstruction), as if it
/// ran alone. Comparing is not counted.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct GuardCost {
    /// U-Net evaluations: rows forward.
    pub unet_evaluations: f64,
    /// Rows through the U-Net backward.
    pub unet_gradients: f64,
    /// Classifier evaluations: rows forward.
    pub classifier_evaluations: f64,
    /// Rows through the classifier backward.
    pub classifier_gradients: f64,
    /// Rows through the encoder of a latent model.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub encodings: f64,
    /// Rows through its decoder.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub decodings: f64,
    /// Seconds of one worker.
    pub seconds: f64,
}

// serde hands over a reference.
#[allow(clippy::trivially_copy_pass_by_ref)]
fn is_zero(rows: &f64) -> bool {
    *rows == 0.0
}

impl GuardCost {
    /// The name of a guard's cost among those of a run; `reconstructs`: with the unconditional reconstruction.
    pub fn key(guard: &str, reconstructs: bool) -> String {
        match reconstructs {
            true => format!("{guard}@recon"),
            false => guard.to_owned(),
        }
    }

    /// What a guard costs; without the reconstruction in runs that did not count it.
    pub fn find<'a>(
        costs: &'a BTreeMap<String, Self>,
        guard: &str,
        reconstructs: bool,
    ) -> Option<&'a Self> {
        let found = costs.get(&Self::key(guard, reconstructs));
        found.or_else(|| costs.get(guard))
    }

    /// The cost of a share of the rounds.
    pub fn scaled(self, share: f64) -> Self {
        Self {
            unet_evaluations: share * self.unet_evaluations,
            unet_gradients: share * self.unet_gradients,
            classifier_evaluations: share * self.classifier_evaluations,
            classifier_gradients: share * self.classifier_gradients,
            // Once, whatever comes after.
            encodings: self.encodings,
            decodings: self.decodings,
            seconds: share * self.seconds,
        }
    }

    /// Of work units, each with its number of images: the mean of the rows, the median of the seconds, which a machine
    /// that stood still for a while does not move.
    pub fn of(units: &[(Spent, usize)]) -> Self {
        let images: usize = units.iter().map(|(_, images)| images).sum();
        let mut spent = Spent::default();
        units.iter().for_each(|(unit, _)| spent += *unit);
        let mut seconds: Vec<f64> = units
            .iter()
            .filter(|(_, images)| *images > 0)
            .map(|(unit, images)| unit.seconds / *images as f64)
            .collect();
        let each = |rows: u64| rows as f64 / images.max(1) as f64;
        Self {
            unet_evaluations: each(spent.cost.unet_rows),
            unet_gradients: each(spent.cost.unet_gradient_rows),
            classifier_evaluations: each(spent.cost.classifier_rows),
            classifier_gradients: each(spent.cost.classifier_gradient_rows),
            encodings: each(spent.cost.encoder_rows),
            decodings: each(spent.cost.decoder_rows),
            seconds: diffguard_ood::quantile(&mut seconds, 0.5).unwrap_or_default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use diffguard_guidance::Cost;

    use super::*;

    #[test]
    fn a_pause_of_the_machine_does_not_change_the_seconds() {
        let unit = |seconds| {
            let cost = Cost {
                unet_rows: 100,
                ..Cost::default()
            };
            (Spent { cost, seconds }, 50)
        };
        let cost = GuardCost::of(&[unit(5.0), unit(4000.0), unit(5.5)]);
        assert_eq!(cost.seconds, 0.11);
        assert_eq!(cost.unet_evaluations, 2.0);
    }
}
