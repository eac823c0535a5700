//! Golden cases of kind `unet_ddim`.

use burn::tensor::Tensor;
use diffguard_oracle::{Case, Error, Produced, Result};

use super::device;
use super::networks::{Networks, produced, without};
use crate::NoisePredictor;
use crate::unet_ddim::{DdimUnetConfig, key_map};

pub(super) fn run(case: &Case) -> Result<Vec<Produced>> {
    let others = ["dropout", "resamp_with_conv", "type", "null_label", "beta"];
    let config: DdimUnetConfig = case.configuration(without(&case.config, &others))?;
    let network = case.fill(config.init(&device()).map_err(Error::method)?, &key_map())?;
    let sinusoid = network.sinusoid(case.float::<1>("in.t")?);
    guided(case, &network, sinusoid)
}

/// Predictions with a label, without one and by classifier-free guidance.
pub(super) fn guided(
    case: &Case,
    network: &dyn NoisePredictor,
    sinusoid: Tensor<2>,
) -> Result<Vec<Produced>> {
    let null = case.whole("null_label")?;
    if network.null_label().map(|label| label as i64) != Some(null) {
        let found = network.null_label();
        return Err(case.fault(format!("the null label must be {null}, found {found:?}")));
    }
    let x = case.float::<4>("in.x")?;
    let label = Some(case.labels("in.y")?);
    let (t, t_frac) = (case.float::<1>("in.t")?, case.float::<1>("in.t_frac")?);
    let conditional = network.eps(x.clone(), t.clone(), label.clone());
    let unconditional = network.eps(x.clone(), t, None);
    // DiffNB's (1 + beta) conditional - beta unconditional
    let scale = 1.0 + case.number("beta")?;
    let guided = unconditional.clone() + (conditional.clone() - unconditional.clone()) * scale;
    Ok(vec![
        produced("out.sinusoid", sinusoid),
        produced("out.pred", conditional),
        produced("out.pred_null", unconditional),
        produced("out.pred_frac", network.eps(x, t_frac, label)),
        produced("out.guided", guided),
    ])
}
