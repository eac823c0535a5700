//! Diffusion networks by name.

use std::path::Path;

use burn::module::Module;
use burn::tensor::Device;
use serde::{Deserialize, Serialize};

use super::same_images;
use crate::checkpoint::{KeyMap, Source, load, open_verified};
use crate::latent_diffusion::LatentDiffusionConfig;
use crate::quick_unet::QuickUnetConfig;
use crate::step::{self, Step};
use crate::unet_ddim::DdimUnetConfig;
use crate::unet_guided::GuidedUnetConfig;
use crate::unet_iddpm::IddpmUnetConfig;
use crate::{Error, FirstStage, NetworkSummary, NoisePredictor, Summary};

/// A diffusion network's family and size.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "family", rename_all = "kebab-case", deny_unknown_fields)]
pub enum DiffusionNetwork {
    /// [`crate::quick_unet`].
    QuickUnet {
        /// Side of the images it is trained on.
        #[serde(default = "twenty_eight")]
        image_size: usize,
        /// Channels of the image.
        image_channels: usize,
        /// Classes, the null label not counted.
        num_classes: usize,
        /// Side of the squares folded into channels.
        patch: usize,
        /// Channels at the upper resolution.
        channels: usize,
        /// Residual blocks a resolution and direction.
        blocks: usize,
        /// Attention heads.
        heads: usize,
        /// Groups of every norm.
        groups: usize,
    },
    /// [`crate::unet_guided`].
    GuidedUnet(GuidedUnetConfig),
    /// [`crate::unet_ddim`].
    DdimUnet(DdimUnetConfig),
    /// [`crate::unet_iddpm`].
    IddpmUnet(IddpmUnetConfig),
    /// [`crate::latent_diffusion`].
    LatentDiffusion(LatentDiffusionConfig),
}

fn twenty_eight() -> usize {
    28
}

/// The configuration of each family.
enum DiffusionConfig<'a> {
    QuickUnet(QuickUnetConfig),
    GuidedUnet(&'a GuidedUnetConfig),
    DdimUnet(&'a DdimUnetConfig),
    IddpmUnet(&'a IddpmUnetConfig),
    LatentDiffusion(&'a LatentDiffusionConfig),
}

impl DiffusionNetwork {
    /// The family's own configuration.
    fn config(&self) -> DiffusionConfig<'_> {
        match self {
            Self::QuickUnet {
                image_size,
                image_channels,
                num_classes,
                patch,
                channels,
                blocks,
                heads,
                groups,
            } => DiffusionConfig::QuickUnet(
                QuickUnetConfig::new(*num_classes)
                    .with_image_size(*image_size)
                    .with_image_channels(*image_channels)
                    .with_patch(*patch)
                    .with_channels(*channels)
                    .with_blocks(*blocks)
                    .with_heads(*heads)
                    .with_groups(*groups),
            ),
            Self::GuidedUnet(config) => DiffusionConfig::GuidedUnet(config),
            Self::DdimUnet(config) => DiffusionConfig::DdimUnet(config),
            Self::IddpmUnet(config) => DiffusionConfig::IddpmUnet(config),
            Self::LatentDiffusion(config) => DiffusionConfig::LatentDiffusion(config),
        }
    }

    /// The quick U-Net of this description; `None` when it is of another family.
    pub fn quick_unet(&self) -> Option<QuickUnetConfig> {
        match self.config() {
            DiffusionConfig::QuickUnet(config) => Some(config),
            _ => None,
        }
    }

    /// What the network costs, for images of the size that it was trained on.
    ///
    /// # Errors
    /// As [`Summary::summary`].
    pub fn summary(&self) -> Result<NetworkSummary, Error> {
        match self.config() {
            DiffusionConfig::QuickUnet(config) => config.summary(),
            DiffusionConfig::GuidedUnet(config) => config.summary(),
            DiffusionConfig::DdimUnet(config) => config.summary(),
            DiffusionConfig::IddpmUnet(config) => config.summary(),
            DiffusionConfig::LatentDiffusion(config) => config.summary(),
        }
    }

    /// Shape `[channel, height, width]` of what the network predicts the noise in: images of the size that it was
    /// trained on, latent images of a latent diffusion model.
    pub fn input_shape(&self) -> [usize; 3] {
        let (channels, side) = match self.config() {
            DiffusionConfig::QuickUnet(config) => (config.image_channels, config.image_size),
            DiffusionConfig::GuidedUnet(config) => (config.in_channels, config.image_size),
            DiffusionConfig::DdimUnet(config) => (config.in_channels, config.image_size),
            DiffusionConfig::IddpmUnet(config) => (config.in_channels, config.image_size),
            DiffusionConfig::LatentDiffusion(config) => {
                (config.unet.in_channels, config.unet.image_size)
            }
        };
        [channels, side, side]
    }

    /// Refuses images `[channel, height, width]` of another size than the network, with its first stage where it has one,
    /// was trained on.
    ///
    /// # Errors
    /// Names the layer, what it expects and what was found.
    pub fn check_images(&self, shape: [usize; 3]) -> Result<(), Error> {
        let (layer, expected) = match self {
            Self::QuickUnet { .. } => ("stem", self.input_shape()),
            Self::GuidedUnet(_) | Self::IddpmUnet(_) => ("input_blocks.0", self.input_shape()),
            Self::DdimUnet(_) => ("conv_in", self.input_shape()),
            Self::LatentDiffusion(config) => {
                let first_stage = &config.first_stage.ddconfig;
                let side = first_stage.resolution;
                ("encoder.conv_in", [first_stage.in_channels, side, side])
            }
        };
        same_images(layer, expected, shape)
    }

    /// One prediction of a network of this description, measured.
    pub fn step(&self, network: &dyn NoisePredictor, device: &Device) -> Step {
        let [channels, side, _] = self.input_shape();
        step::noise_predictor(network, channels, side, device)
    }

    /// The table from the names of the family's published files; the quick U-Net's are our own.
    pub fn key_map(&self) -> KeyMap {
        match self {
            Self::QuickUnet { .. } => KeyMap::native(),
            Self::GuidedUnet(_) => crate::unet_guided::key_map(),
            Self::DdimUnet(_) => crate::unet_ddim::key_map(),
            Self::IddpmUnet(_) => crate::unet_iddpm::key_map(),
            Self::LatentDiffusion(_) => crate::unet_latent::key_map(),
        }
    }

    /// Loads weights under the names of [`key_map`](Self::key_map), for inference (outside autodiff). Of a latent
    /// diffusion model this is the noise predictor in latent space; see [`load_first_stage`](Self::load_first_stage).
    ///
    /// # Errors
    /// As [`open_verified`] and [`load`]; [`Error::Configuration`] for a network that cannot be built.
    pub fn load(
        &self,
        path: &Path,
        sha256: Option<&str>,
        device: &Device,
    ) -> Result<Box<dyn NoisePredictor>, Error> {
        self.load_from(&open_verified(path, sha256)?, &self.key_map(), device)
    }

    /// Loads the weights of an opened file, for inference (outside autodiff).
    ///
    /// # Errors
    /// As [`load`]; [`Error::Configuration`] for a network that cannot be built.
    pub fn load_from(
        &self,
        source: &Source,
        map: &KeyMap,
        device: &Device,
    ) -> Result<Box<dyn NoisePredictor>, Error> {
        fn filled<M: Module + NoisePredictor + 'static>(
            network: M,
            source: &Source,
            map: &KeyMap,
        ) -> Result<Box<dyn NoisePredictor>, Error> {
            Ok(Box::new(load(network, source, map)?.valid()))
        }
        match self.config() {
            DiffusionConfig::QuickUnet(config) => {
                config.check()?;
                filled(config.init(device), source, map)
            }
            DiffusionConfig::GuidedUnet(config) => filled(config.init(device)?, source, map),
            DiffusionConfig::DdimUnet(config) => filled(config.init(device)?, source, map),
            DiffusionConfig::IddpmUnet(config) => filled(config.init(device)?, source, map),
            DiffusionConfig::LatentDiffusion(config) => {
                let network = load(config.unet.init(device)?, source, map)?;
                Ok(Box::new(network.valid().labelled()))
            }
        }
    }

    /// Loads the first stage of a latent diffusion model from the model's own file; `None` for a network that works
    /// on images.
    ///
    /// # Errors
    /// As [`load_from`](Self::load_from).
    pub fn load_first_stage(
        &self,
        source: &Source,
        device: &Device,
    ) -> Result<Option<Box<dyn FirstStage>>, Error> {
        let Self::LatentDiffusion(config) = self else {
            return Ok(None);
        };
        let map = crate::latent_diffusion::first_stage_key_map();
        let network = load(config.first_stage.init(device)?, source, &map)?;
        Ok(Some(Box::new(network.valid())))
    }
}
