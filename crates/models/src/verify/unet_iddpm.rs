//! Golden cases of kind `unet_iddpm`.

use diffguard_oracle::{Case, Error, Produced, Result};

use super::device;
use super::networks::{Networks, without};
use super::unet_ddim::guided;
use crate::unet_iddpm::{IddpmUnetConfig, key_map};

pub(super) fn run(case: &Case) -> Result<Vec<Produced>> {
    let others = [
        "dropout",
        "dims",
        "conv_resample",
        "use_checkpoint",
        "num_heads_upsample",
        "null_label",
        "beta",
    ];
    let mut config = without(&case.config, &others);
    config["image_size"] = case.shape("in.x")?[2].into();
    let config: IddpmUnetConfig = case.configuration(config)?;
    let network = case.fill(config.init(&device()).map_err(Error::method)?, &key_map())?;
    let sinusoid = network.trunk().sinusoid(case.float::<1>("in.t")?);
    guided(case, &network, sinusoid)
}
