//! The U-Net of improved DDPM (Nichol & Dhariwal 2021) as DiffNB trains it for CIFAR-10: the ancestor of the
//! guided-diffusion U-Net, with one more row in its label embedding that stands for "no label".

use burn::config::Config;
use burn::module::Module;
use burn::tensor::{Device, Int, Tensor};
use serde::{Deserialize, Serialize};

use crate::blocks::trunk::{self, AttentionKind, Trunk, TrunkConfig};
use crate::blocks::{CHANNELS, CLASSES, Embedding, HeadOrder, SIDE, check_sizes};
use crate::checkpoint::KeyMap;
use crate::keys::keys;
use crate::step::{self, Step};
use crate::summary::{NetworkSummary, Summary, Trace};
use crate::{Error, NoisePredictor};

/// Configuration of an [`IddpmUnet`]; fields are called as in the published code.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IddpmUnetConfig {
    /// Side of the images it was trained on, in pixels.
    pub image_size: usize,
    /// Channels of the image.
    pub in_channels: usize,
    /// Channels that `channel_mult` multiplies.
    pub model_channels: usize,
    /// Channels of the output; twice those of the image where the variance is learned.
    pub out_channels: usize,
    /// Residual blocks a level on the way down.
    pub num_res_blocks: usize,
    /// Downsampling factors at which there is attention.
    pub attention_resolutions: Vec<usize>,
    /// Channels of each level, in units of `model_channels`.
    pub channel_mult: Vec<usize>,
    /// Heads of every attention.
    pub num_heads: usize,
    /// Whether the embedding scales and shifts the second norm (otherwise it is added before it).
    pub use_scale_shift_norm: bool,
    /// Classes, the null label not counted.
    pub num_classes: usize,
}

impl Config for IddpmUnetConfig {}

/// The network; see the module's documentation.
#[derive(Module, Debug)]
pub struct IddpmUnet {
    trunk: Trunk,
    label_emb: Embedding,
    in_channels: usize,
}

impl IddpmUnetConfig {
    /// DiffNB's class-conditional model of CIFAR-10 (`iddpm_cifar10_cond.yml`).
    pub fn cifar10() -> Self {
        Self {
            image_size: 32,
            in_channels: 3,
            model_channels: 128,
            out_channels: 6,
            num_res_blocks: 3,
            attention_resolutions: vec![2, 4],
            channel_mult: vec![1, 2, 2, 2],
            num_heads: 4,
            use_scale_shift_norm: true,
            num_classes: 10,
        }
    }

    /// Builds the network; its parameters are drawn when they are first asked for.
    ///
    /// # Errors
    /// [`Error::Configuration`] names the layer that the sizes do not fit.
    pub fn init(&self, device: &Device) -> Result<IddpmUnet, Error> {
        let network = "improved-DDPM U-Net";
        check_sizes(
            network,
            &[
                ("image_size", self.image_size, SIDE),
                ("in_channels", self.in_channels, CHANNELS),
                ("num_classes", self.num_classes, CLASSES),
            ],
        )?;
        if self.out_channels < self.in_channels {
            return Err(Error::Configuration {
                network,
                what: format!(
                    "out.2 has to give eps, at least {} channels, found {}",
                    self.in_channels, self.out_channels
                ),
            });
        }
        let trunk = TrunkConfig {
            network,
            in_channels: self.in_channels,
            model_channels: self.model_channels,
            stem_channels: self.model_channels,
            out_channels: self.out_channels,
            num_res_blocks: self.num_res_blocks,
            attention_factors: self.attention_resolutions.clone(),
            channel_mult: self.channel_mult.clone(),
            scale_shift: self.use_scale_shift_norm,
            resblock_updown: false,
            attention: AttentionKind::Heads(self.num_heads, HeadOrder::HeadFirst),
        }
        .init(device)?;
        Ok(IddpmUnet {
            trunk,
            label_emb: Embedding::new(self.num_classes + 1, 4 * self.model_channels, device),
            in_channels: self.in_channels,
        })
    }
}

/// The names of the published files.
pub fn key_map() -> KeyMap {
    KeyMap::published()
        .with_renames(trunk::NAMES)
        .with_renames(trunk::PLACES)
}

impl Summary for IddpmUnetConfig {
    fn summary(&self) -> Result<NetworkSummary, Error> {
        let network = self.init(&Device::flex())?;
        let mut trace = Trace::default();
        network.trunk.trace(self.image_size, &mut trace);
        Ok(trace.summary(keys(&network, &key_map())))
    }

    fn steps(&self, device: &Device) -> Result<Vec<Step>, Error> {
        let network = step::drawn(self.init(device)?);
        let (channels, side) = (self.in_channels, self.image_size);
        Ok(vec![step::noise_predictor(
            &network, channels, side, device,
        )])
    }
}

impl IddpmUnet {
    /// The U-Net without its labels: sinusoid, time embedding and the activations between its halves.
    pub fn trunk(&self) -> &Trunk {
        &self.trunk
    }
}

impl NoisePredictor for IddpmUnet {
    /// # Panics
    /// On a label beyond the null label, and as [`Trunk::encode`].
    fn eps(&self, x_t: Tensor<4>, t: Tensor<1>, label: Option<Tensor<1, Int>>) -> Tensor<4> {
        let rows = match label {
            Some(label) => self.label_emb.forward(label),
            None => self.label_emb.last(x_t.dims()[0]),
        };
        let embedding = self.trunk.time_embedding(t) + rows;
        self.trunk
            .forward(x_t, embedding, None)
            .narrow(1, 0, self.in_channels)
    }

    fn check_input(&self, shape: [usize; 3]) -> Result<(), Error> {
        self.trunk.check_input(shape)
    }

    fn num_classes(&self) -> usize {
        self.label_emb.rows() - 1
    }

    fn null_label(&self) -> Option<usize> {
        Some(self.num_classes())
    }
}
