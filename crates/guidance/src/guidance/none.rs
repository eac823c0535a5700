//! No guidance: the unconditional reconstruction.

use diffguard_models::NoisePredictor;

use super::{Guidance, GuidanceStep, Prediction};
use crate::{Cost, Error};

/// The network's unconditional prediction as it is.
#[derive(Debug, Clone, Copy, Default)]
pub struct Unconditional;

impl Guidance for Unconditional {
    fn predict(
        &self,
        network: &dyn NoisePredictor,
        step: &GuidanceStep<'_>,
    ) -> Result<Prediction, Error> {
        network.check_unlabelled()?;
        Ok(Prediction {
            eps: network.eps(step.x.clone(), step.t(), None),
            shift: None,
            cost: Cost {
                unet_rows: step.rows.len() as u64,
                ..Cost::default()
            },
        })
    }
}
