//! Golden cases of kind `vq_autoencoder`.

use diffguard_oracle::{Case, Error, Produced, Result};

use super::device;
use super::networks::{Networks, produced, without};
use crate::FirstStage;
use crate::vq_autoencoder::{VqAutoencoderConfig, key_map};

pub(super) fn run(case: &Case) -> Result<Vec<Produced>> {
    let mut config = case.config.clone();
    config["ddconfig"] = without(&config["ddconfig"], &["double_z", "dropout"]);
    let config: VqAutoencoderConfig = case.configuration(config)?;
    let network = case.fill(config.init(&device()).map_err(Error::method)?, &key_map())?;
    let latent = case.float::<4>("in.latent")?;
    let indices = network.nearest_codes(latent.clone());
    Ok(vec![
        produced("out.latent", network.encode(case.float::<4>("in.image")?)),
        produced("out.indices", indices.clone()),
        produced("out.quantised", network.codes(indices)),
        produced("out.image", network.decode(latent.clone())),
        produced(
            "out.image_not_quantised",
            network.decode_unquantised(latent),
        ),
    ])
}
