//! What a computation has cost, in rows that went through a network.

use std::ops::{Add, AddAssign};

use serde::{Deserialize, Serialize};

/// Rows (samples of a batch) that were given to the networks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cost {
    /// Rows through the noise predictor, forward.
    pub unet_rows: u64,
    /// Rows through the noise predictor, backward.
    pub unet_gradient_rows: u64,
    /// Rows through the classifier, forward (each crop is a row).
    pub classifier_rows: u64,
    /// Rows through the classifier, backward.
    pub classifier_gradient_rows: u64,
    /// Rows through the encoder of a latent model's first stage.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub encoder_rows: u64,
    /// Rows through its decoder.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub decoder_rows: u64,
}

// serde hands over a reference.
#[allow(clippy::trivially_copy_pass_by_ref)]
fn is_zero(rows: &u64) -> bool {
    *rows == 0
}

impl Add for Cost {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            unet_rows: self.unet_rows + other.unet_rows,
            unet_gradient_rows: self.unet_gradient_rows + other.unet_gradient_rows,
            classifier_rows: self.classifier_rows + other.classifier_rows,
            classifier_gradient_rows: self.classifier_gradient_rows
                + other.classifier_gradient_rows,
            encoder_rows: self.encoder_rows + other.encoder_rows,
            decoder_rows: self.decoder_rows + other.decoder_rows,
        }
    }
}

impl AddAssign for Cost {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

/// Rows and seconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Spent {
    /// Rows through the networks.
    pub cost: Cost,
    /// Seconds of one worker.
    pub seconds: f64,
}

impl AddAssign for Spent {
    fn add_assign(&mut self, other: Self) {
        self.cost += other.cost;
        self.seconds += other.seconds;
    }
}
