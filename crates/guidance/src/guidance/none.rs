//! No guidance: the unconditional reconstruction.

use diffguard_models::NoisePredictor;

use super::{Guidance, GuidanceStep, Prediction};
use crate::Error;

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
        let (eps, cost) = step.noise(network, None);
        Ok(Prediction {
            eps,
            shift: None,
            cost,
        })
    }
}
