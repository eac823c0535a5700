//! Latent diffusion as its published file holds it: the U-Net with the class embedder, and the first stage.

use burn::config::Config;
use burn::module::Module;
use burn::tensor::Device;
use serde::{Deserialize, Serialize};

use crate::Error;
use crate::blocks::trunk;
use crate::checkpoint::KeyMap;
use crate::keys::keys;
use crate::step::Step;
use crate::summary::{NetworkSummary, Summary};
use crate::unet_latent::{LatentUnet, LatentUnetConfig};
use crate::vq_autoencoder::{VqAutoencoder, VqAutoencoderConfig};

/// Configuration of a [`LatentDiffusion`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LatentDiffusionConfig {
    /// The U-Net and the class embedder.
    pub unet: LatentUnetConfig,
    /// The first stage.
    pub first_stage: VqAutoencoderConfig,
}

impl Config for LatentDiffusionConfig {}

/// Both networks.
#[derive(Module, Debug)]
pub struct LatentDiffusion {
    /// Predicts noise in latent images.
    pub diffusion: LatentUnet,
    /// Between images and latent images.
    pub first_stage: VqAutoencoder,
}

/// What the published file holds beside the networks' parameters: the noise schedule, which is computed anew, a second
/// copy of the weights (their moving average), and the loss of the first stage.
const BESIDE: [&str; 13] = [
    "betas",
    "alphas_cumprod*",
    "sqrt_alphas_cumprod",
    "sqrt_one_minus_alphas_cumprod",
    "log_one_minus_alphas_cumprod",
    "sqrt_recip_alphas_cumprod",
    "sqrt_recipm1_alphas_cumprod",
    "posterior_*",
    "lvlb_weights",
    "logvar",
    "scale_factor",
    "model_ema.*",
    "first_stage_model.loss.*",
];

/// The published file with nothing renamed.
pub(crate) fn whole_file() -> KeyMap {
    let mut map = KeyMap::published();
    map.ignore.extend(BESIDE.map(str::to_owned));
    map
}

/// The names of the published file.
pub fn key_map() -> KeyMap {
    whole_file().with_renames(trunk::NAMES).with_renames([
        ("model.diffusion_model", "diffusion.unet"),
        ("cond_stage_model.embedding", "diffusion.class_embedder"),
        ("first_stage_model", "first_stage"),
    ])
}

/// The names of the published file for its first stage alone.
pub fn first_stage_key_map() -> KeyMap {
    whole_file().with_part("first_stage_model")
}

impl LatentDiffusionConfig {
    /// The published class-conditional model of ImageNet at 256 x 256 (`cin256-v2`).
    pub fn cin256_v2() -> Self {
        Self {
            unet: LatentUnetConfig::cin256_v2(),
            first_stage: VqAutoencoderConfig::vq_f4(),
        }
    }

    /// Builds both networks; their parameters are drawn when they are first asked for.
    ///
    /// # Errors
    /// [`Error::Configuration`] when one is not possible, or the U-Net does not work on the first stage's codes.
    pub fn init(&self, device: &Device) -> Result<LatentDiffusion, Error> {
        if self.unet.in_channels != self.first_stage.embed_dim {
            return Err(Error::Configuration {
                network: "latent-diffusion model",
                what: format!(
                    "model.diffusion_model.input_blocks.0 has to take the {} channels of the first stage's codes, \
                     found {}",
                    self.first_stage.embed_dim, self.unet.in_channels
                ),
            });
        }
        Ok(LatentDiffusion {
            diffusion: self.unet.init(device)?,
            first_stage: self.first_stage.init(device)?,
        })
    }
}

impl Summary for LatentDiffusionConfig {
    /// One evaluation of the U-Net, one encoding and one decoding.
    fn summary(&self) -> Result<NetworkSummary, Error> {
        let (unet, first_stage) = (self.unet.summary()?, self.first_stage.summary()?);
        let keys = keys(&self.init(&Device::flex())?, &key_map());
        Ok(NetworkSummary {
            parameters: unet.parameters + first_stage.parameters,
            gflop: unet.gflop + first_stage.gflop,
            activation_bytes: unet.activation_bytes.max(first_stage.activation_bytes),
            keys,
        })
    }

    fn steps(&self, device: &Device) -> Result<Vec<Step>, Error> {
        let mut steps = self.first_stage.steps(device)?;
        steps.extend(self.unet.steps(device)?);
        Ok(steps)
    }
}
