//! Golden cases of kind `unet_iddpm`.

use diffguard_oracle::{Case, Error, Kind, Produced, Result};

use super::unet_ddim::guided;
use super::{Networks, device, without};
use crate::unet_iddpm::IddpmUnetConfig;

pub(super) const KIND: Kind = Kind {
    name: "unet_iddpm",
    run,
    not_produced: &[],
};

fn run(case: &Case) -> Result<Vec<Produced>> {
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
    let network = case.fill(config.init(&device()).map_err(Error::method)?, "")?;
    let sinusoid = network.trunk().sinusoid(case.float::<1>("in.t")?);
    guided(case, &network, sinusoid)
}
