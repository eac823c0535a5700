//! The U-Net of guided diffusion (Dhariwal & Nichol 2021, "Diffusion Models Beat GANs on Image Synthesis"; GDM in the
//! paper), with every option of its code: attention by heads or by channels a head and in either order of channels,
//! scale-shift or added embeddings, resampling by residual blocks or by convolutions, classes or none.

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

/// Configuration of a [`GuidedUnet`]; fields are called as in the published code.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GuidedUnetConfig {
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
    /// Downsampling FACTORS at which there is attention (the published flags give sides: 256 / 32 is 8).
    pub attention_resolutions: Vec<usize>,
    /// Channels of each level, in units of `model_channels`.
    pub channel_mult: Vec<usize>,
    /// Classes; none for an unconditional network.
    #[serde(default)]
    pub num_classes: Option<usize>,
    /// Heads of every attention, where `num_head_channels` is not given.
    #[serde(default = "one")]
    pub num_heads: usize,
    /// Channels of every head.
    #[serde(default)]
    pub num_head_channels: Option<usize>,
    /// Whether the embedding scales and shifts the second norm (otherwise it is added before it).
    #[serde(default)]
    pub use_scale_shift_norm: bool,
    /// Whether residual blocks change the image's size (otherwise convolutions).
    #[serde(default)]
    pub resblock_updown: bool,
    /// Whether the channels of query, key and value come before the heads.
    #[serde(default)]
    pub use_new_attention_order: bool,
}

fn one() -> usize {
    1
}

impl Config for GuidedUnetConfig {}

/// The network; see the module's documentation.
#[derive(Module, Debug)]
pub struct GuidedUnet {
    trunk: Trunk,
    label_emb: Option<Embedding>,
    in_channels: usize,
}

impl GuidedUnetConfig {
    /// The published unconditional model of ImageNet at 256 x 256 (`256x256_diffusion_uncond.pt`).
    pub fn imagenet_256_unconditional() -> Self {
        Self {
            image_size: 256,
            in_channels: 3,
            model_channels: 256,
            out_channels: 6,
            num_res_blocks: 2,
            attention_resolutions: vec![8, 16, 32],
            channel_mult: vec![1, 1, 2, 2, 4, 4],
            num_classes: None,
            num_heads: 4,
            num_head_channels: Some(64),
            use_scale_shift_norm: true,
            resblock_updown: true,
            use_new_attention_order: false,
        }
    }

    /// Builds the network; its parameters are drawn when they are first asked for.
    ///
    /// # Errors
    /// [`Error::Configuration`] names the layer that the sizes do not fit.
    pub fn init(&self, device: &Device) -> Result<GuidedUnet, Error> {
        let order = match self.use_new_attention_order {
            true => HeadOrder::QkvFirst,
            false => HeadOrder::HeadFirst,
        };
        let network = "guided-diffusion U-Net";
        check_sizes(
            network,
            &[
                ("image_size", self.image_size, SIDE),
                ("in_channels", self.in_channels, CHANNELS),
                ("num_classes", self.num_classes.unwrap_or(1), CLASSES),
            ],
        )?;
        if ![self.in_channels, 2 * self.in_channels].contains(&self.out_channels) {
            return Err(Error::Configuration {
                network,
                what: format!(
                    "out.2 has to give eps, or eps and a variance: {} or {} channels, found {}",
                    self.in_channels,
                    2 * self.in_channels,
                    self.out_channels
                ),
            });
        }
        let trunk = TrunkConfig {
            network,
            in_channels: self.in_channels,
            model_channels: self.model_channels,
            stem_channels: self
                .model_channels
                .saturating_mul(*self.channel_mult.first().unwrap_or(&0)),
            out_channels: self.out_channels,
            num_res_blocks: self.num_res_blocks,
            attention_factors: self.attention_resolutions.clone(),
            channel_mult: self.channel_mult.clone(),
            scale_shift: self.use_scale_shift_norm,
            resblock_updown: self.resblock_updown,
            attention: match self.num_head_channels {
                Some(channels) => AttentionKind::HeadChannels(channels, order),
                None => AttentionKind::Heads(self.num_heads, order),
            },
        }
        .init(device)?;
        let label_emb = self
            .num_classes
            .map(|classes| Embedding::new(classes, 4 * self.model_channels, device));
        Ok(GuidedUnet {
            trunk,
            label_emb,
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

impl Summary for GuidedUnetConfig {
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

impl GuidedUnet {
    /// The U-Net without its labels: sinusoid, time embedding and the activations between its halves.
    pub fn trunk(&self) -> &Trunk {
        &self.trunk
    }

    /// The embedding that every block is given, `[batch, 4 * model_channels]`, of steps `[batch]` and, for a
    /// class-conditional network, labels `[batch]`. An unconditional network has no use for labels.
    ///
    /// # Panics
    /// When a class-conditional network is given no label, or one that it does not know.
    pub fn embedding(&self, t: Tensor<1>, label: Option<Tensor<1, Int>>) -> Tensor<2> {
        let time = self.trunk.time_embedding(t);
        match &self.label_emb {
            Some(rows) => {
                let label =
                    label.expect("a class-conditional network without a null label needs labels");
                time + rows.forward(label)
            }
            None => time,
        }
    }

    /// All output channels, `[batch, out, h, w]`, of `x_t` `[batch, in, h, w]`, steps `t` `[batch]` and labels.
    ///
    /// # Panics
    /// As [`Self::embedding`] and [`Trunk::encode`].
    pub fn forward(
        &self,
        x_t: Tensor<4>,
        t: Tensor<1>,
        label: Option<Tensor<1, Int>>,
    ) -> Tensor<4> {
        let embedding = self.embedding(t, label);
        self.trunk.forward(x_t, embedding, None)
    }
}

impl NoisePredictor for GuidedUnet {
    fn eps(&self, x_t: Tensor<4>, t: Tensor<1>, label: Option<Tensor<1, Int>>) -> Tensor<4> {
        self.forward(x_t, t, label).narrow(1, 0, self.in_channels)
    }

    fn check_input(&self, shape: [usize; 3]) -> Result<(), Error> {
        self.trunk.check_input(shape)
    }

    fn num_classes(&self) -> usize {
        self.label_emb.as_ref().map_or(0, Embedding::rows)
    }

    fn null_label(&self) -> Option<usize> {
        None
    }
}
