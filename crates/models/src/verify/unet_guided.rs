//! Golden cases of kind `unet_guided`.

use diffguard_oracle::{Case, Error, Produced, Result};

use super::device;
use super::networks::{Networks, produced, without};
use crate::unet_guided::{GuidedUnetConfig, key_map};

pub(super) fn run(case: &Case) -> Result<Vec<Produced>> {
    // The published code writes "not given" as -1.
    let absent: &[&str] = match case.config["num_head_channels"].as_i64() {
        Some(-1) => &["num_head_channels"],
        _ => &[],
    };
    let config: GuidedUnetConfig = case.configuration(without(&case.config, absent))?;
    let network = case.fill(config.init(&device()).map_err(Error::method)?, &key_map())?;
    let x = case.float::<4>("in.x")?;
    let label = match config.num_classes {
        Some(_) => Some(case.labels("in.y")?),
        None => None,
    };
    let (t_int, t_frac) = (case.float::<1>("in.t_int")?, case.float::<1>("in.t_frac")?);
    let embedding = network.embedding(t_int.clone(), label.clone());
    let (middle, _) = network.trunk().encode(x.clone(), embedding, None);
    let trunk = network.trunk();
    Ok(vec![
        produced("out.sinusoid_int", trunk.sinusoid(t_int.clone())),
        produced("out.temb_int", trunk.time_embedding(t_int.clone())),
        produced("out.h_mid_int", middle),
        produced(
            "out.pred_int",
            network.forward(x.clone(), t_int, label.clone()),
        ),
        produced("out.pred_frac", network.forward(x, t_frac, label)),
    ])
}
