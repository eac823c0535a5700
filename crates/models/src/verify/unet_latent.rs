//! Golden cases of kind `unet_latent`.

use diffguard_oracle::{Case, Error, Produced, Result};

use super::device;
use super::networks::{Networks, produced, without};
use crate::NoisePredictor;
use crate::blocks::Context;
use crate::unet_latent::{LatentUnetConfig, key_map};

pub(super) fn run(case: &Case) -> Result<Vec<Produced>> {
    let mut config = without(&case.config["unet"], &["use_spatial_transformer"]);
    config["n_classes"] = case.config["n_classes"].clone();
    let config: LatentUnetConfig = case.configuration(config)?;
    let network = case.fill(config.init(&device()).map_err(Error::method)?, &key_map())?;
    let null = case.whole("null_label")?;
    if network.null_label().map(|label| label as i64) != Some(null) {
        let found = network.null_label();
        return Err(case.fault(format!("the null label must be {null}, found {found:?}")));
    }
    let x = case.float::<4>("in.x")?;
    let label = case.labels("in.y")?;
    let (t, t_frac) = (case.float::<1>("in.t")?, case.float::<1>("in.t_frac")?);
    let context = network.context(label.clone());
    let embedding = network.trunk().time_embedding(t.clone());
    let (middle, _) = network
        .trunk()
        .encode(x.clone(), embedding, Some(Context::Tokens(&context)));
    let tokens = case.float::<3>("in.context3")?;
    let of_tokens = network.forward(x.clone(), t.clone(), &tokens);
    let network = network.labelled();
    Ok(vec![
        produced("out.context", context),
        produced("out.h_mid", middle),
        produced(
            "out.pred",
            network.eps(x.clone(), t.clone(), Some(label.clone())),
        ),
        produced("out.pred_null", network.eps(x.clone(), t.clone(), None)),
        produced("out.pred_frac", network.eps(x.clone(), t_frac, Some(label))),
        produced("out.pred_context3", of_tokens),
    ])
}
