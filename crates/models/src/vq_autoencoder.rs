//! The first stage of latent diffusion: an autoencoder with a codebook (Esser et al. 2021, "Taming Transformers";
//! Rombach et al. 2022, section 3.1 and appendix G). Encoding does NOT quantise, decoding does, first of all.

use burn::config::Config;
use burn::module::Module;
use burn::tensor::{Device, Int, Tensor};
use serde::{Deserialize, Serialize};

use crate::blocks::plain::{self, DownLevel, LevelConfig, Middle, UpLevel, trace_conv3x3};
use crate::blocks::{
    BLOCKS, CHANNELS, CLASSES, Conv1x1, Embedding, GroupNorm, SIDE, check_levels, check_sizes,
};
use crate::checkpoint::KeyMap;
use crate::keys::keys;
use crate::layers::Conv3x3;
use crate::step::{self, Step};
use crate::summary::{NetworkSummary, Summary, Trace};
use crate::{Error, FirstStage};

/// Configuration of a [`VqAutoencoder`]; fields are called as in the published code.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VqAutoencoderConfig {
    /// Channels of the codes, which are those of the latent image.
    pub embed_dim: usize,
    /// Codes of the codebook.
    pub n_embed: usize,
    /// Encoder and decoder.
    pub ddconfig: AutoencoderConfig,
}

/// Sizes of the encoder and of the decoder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AutoencoderConfig {
    /// Channels between the encoder and the codes.
    pub z_channels: usize,
    /// Side of the images it was trained on, in pixels: `attn_resolutions` count from it.
    pub resolution: usize,
    /// Channels of the image.
    pub in_channels: usize,
    /// Channels of the decoded image.
    pub out_ch: usize,
    /// Channels that `ch_mult` multiplies.
    pub ch: usize,
    /// Channels of each level, in units of `ch`.
    pub ch_mult: Vec<usize>,
    /// Residual blocks a level of the encoder; the decoder has one more.
    pub num_res_blocks: usize,
    /// SIDES of the feature maps at which there is attention, beside the middle.
    #[serde(default)]
    pub attn_resolutions: Vec<usize>,
}

impl Config for VqAutoencoderConfig {}

/// The network; see the module's documentation.
#[derive(Module, Debug)]
pub struct VqAutoencoder {
    encoder: Encoder,
    decoder: Decoder,
    quantize: Codebook,
    quant_conv: Conv1x1,
    post_quant_conv: Conv1x1,
    in_channels: usize,
}

/// The codes.
#[derive(Module, Debug)]
struct Codebook {
    embedding: Embedding,
}

/// Image to latent image.
#[derive(Module, Debug)]
struct Encoder {
    conv_in: Conv3x3,
    down: Vec<DownLevel>,
    mid: Middle,
    norm_out: GroupNorm,
    conv_out: Conv3x3,
}

/// Latent image to image.
#[derive(Module, Debug)]
struct Decoder {
    conv_in: Conv3x3,
    mid: Middle,
    up: Vec<UpLevel>,
    norm_out: GroupNorm,
    conv_out: Conv3x3,
}

impl VqAutoencoderConfig {
    /// The published first stage of `cin256-v2` (`vq-f4`): 256 x 256 pixels to 64 x 64 codes.
    pub fn vq_f4() -> Self {
        Self {
            embed_dim: 3,
            n_embed: 8192,
            ddconfig: AutoencoderConfig {
                z_channels: 3,
                resolution: 256,
                in_channels: 3,
                out_ch: 3,
                ch: 128,
                ch_mult: vec![1, 2, 4],
                num_res_blocks: 2,
                attn_resolutions: Vec::new(),
            },
        }
    }

    fn check(&self) -> Result<(), Error> {
        let network = "VQ autoencoder";
        let fault = |what: String| Err(Error::Configuration { network, what });
        let sizes = &self.ddconfig;
        check_sizes(
            network,
            &[
                ("embed_dim", self.embed_dim, CHANNELS),
                ("n_embed", self.n_embed, CLASSES),
                ("z_channels", sizes.z_channels, CHANNELS),
                ("resolution", sizes.resolution, SIDE),
                ("in_channels", sizes.in_channels, CHANNELS),
                ("out_ch", sizes.out_ch, CHANNELS),
                ("num_res_blocks", sizes.num_res_blocks, BLOCKS),
            ],
        )?;
        check_levels(network, "ch", sizes.ch, &[1])?;
        check_levels(network, "ch_mult", sizes.ch, &sizes.ch_mult)?;
        let halvings = sizes.ch_mult.len() - 1;
        if !sizes.resolution.is_multiple_of(1 << halvings) {
            return fault(format!(
                "resolution {} cannot be halved {halvings} times",
                sizes.resolution
            ));
        }
        let sides: Vec<usize> = (0..=halvings).map(|i| sizes.resolution >> i).collect();
        let mut attention = sizes.attn_resolutions.iter();
        if let Some(side) = attention.find(|side| !sides.contains(side)) {
            return fault(format!(
                "attn_resolutions are sides of feature maps, here of {sides:?}, found {side}"
            ));
        }
        Ok(())
    }

    /// Builds the network; its parameters are drawn when they are first asked for.
    ///
    /// # Errors
    /// [`Error::Configuration`] names the layer that the sizes do not fit.
    pub fn init(&self, device: &Device) -> Result<VqAutoencoder, Error> {
        self.check()?;
        let sizes = &self.ddconfig;
        Ok(VqAutoencoder {
            encoder: sizes.encoder(device),
            decoder: sizes.decoder(device),
            quantize: Codebook {
                embedding: Embedding::new(self.n_embed, self.embed_dim, device),
            },
            quant_conv: Conv1x1::new(sizes.z_channels, self.embed_dim, device),
            post_quant_conv: Conv1x1::new(self.embed_dim, sizes.z_channels, device),
            in_channels: sizes.in_channels,
        })
    }
}

impl AutoencoderConfig {
    fn level(&self, index: usize, resample: bool) -> LevelConfig {
        LevelConfig {
            channels: self.ch * self.ch_mult[index],
            attention: self.attn_resolutions.contains(&(self.resolution >> index)),
            embedding: None,
            resample,
        }
    }

    fn encoder(&self, device: &Device) -> Encoder {
        let last = self.ch_mult.len() - 1;
        let mut channels = self.ch;
        let mut down = Vec::new();
        for index in 0..=last {
            let level = self.level(index, index != last);
            let mut inputs = vec![level.channels; self.num_res_blocks];
            inputs[0] = channels;
            channels = level.channels;
            down.push(level.down(&inputs, device));
        }
        Encoder {
            conv_in: Conv3x3::new(self.in_channels, self.ch, device),
            down,
            mid: Middle::new(channels, None, device),
            norm_out: plain::norm(channels, device),
            conv_out: Conv3x3::new(channels, self.z_channels, device),
        }
    }

    fn decoder(&self, device: &Device) -> Decoder {
        let last = self.ch_mult.len() - 1;
        let widest = self.ch * self.ch_mult[last];
        let mut channels = widest;
        let mut up = Vec::new();
        for index in (0..=last).rev() {
            let level = self.level(index, index != 0);
            let mut inputs = vec![level.channels; self.num_res_blocks + 1];
            inputs[0] = channels;
            channels = level.channels;
            up.push(level.up(&inputs, device));
        }
        up.reverse();
        Decoder {
            conv_in: Conv3x3::new(self.z_channels, widest, device),
            mid: Middle::new(widest, None, device),
            up,
            norm_out: plain::norm(channels, device),
            conv_out: Conv3x3::new(channels, self.out_ch, device),
        }
    }
}

/// The names of the first stage's own published file, which holds its training loss beside it.
pub fn key_map() -> KeyMap {
    let mut map = KeyMap::published();
    map.ignore.push("loss.*".to_owned());
    map
}

impl Summary for VqAutoencoderConfig {
    /// One encoding and one decoding.
    fn summary(&self) -> Result<NetworkSummary, Error> {
        let network = self.init(&Device::flex())?;
        let mut trace = Trace::default();
        network.trace(self.ddconfig.resolution, &mut trace);
        Ok(trace.summary(keys(&network, &key_map())))
    }

    fn steps(&self, device: &Device) -> Result<Vec<Step>, Error> {
        let network = step::drawn(self.init(device)?);
        let (channels, side) = (self.ddconfig.in_channels, self.ddconfig.resolution);
        Ok(step::first_stage(&network, channels, side, device).into())
    }
}

impl Encoder {
    fn forward(&self, image: Tensor<4>) -> Tensor<4> {
        let mut h = self.conv_in.forward(image);
        for level in &self.down {
            h = level.forward(h, None, |_| ());
        }
        let h = self.mid.forward(h, None);
        let norm = self.norm_out.plain(h.dims()[0]);
        self.conv_out.forward_normed(h, norm, None, None)
    }
}

impl Decoder {
    fn forward(&self, z: Tensor<4>) -> Tensor<4> {
        let mut h = self.mid.forward(self.conv_in.forward(z), None);
        for level in self.up.iter().rev() {
            h = level.forward(h, None, |h| h);
        }
        let norm = self.norm_out.plain(h.dims()[0]);
        self.conv_out.forward_normed(h, norm, None, None)
    }
}

impl VqAutoencoder {
    /// Codes looked at in one matrix product: 1024 vectors against 8192 codes are 32 MiB.
    const VECTORS: usize = 1024;

    /// Index `[batch, h, w]` of the code that is nearest (Euclidean) to each vector of `latent` `[batch, c, h, w]`.
    pub fn nearest_codes(&self, latent: Tensor<4>) -> Tensor<3, Int> {
        let [batch, channels, height, width] = latent.dims();
        let codes = self.quantize.embedding.table();
        // |z - e|^2 without |z|^2, which is the same for every code
        let squares: Tensor<2> = codes.clone().square().sum_dim(1).swap_dims(0, 1);
        let vectors = latent
            .permute([0, 2, 3, 1])
            .reshape([batch, height * width, channels]);
        // Image by image: a product's last bits, and with them the nearest of two codes, depend on its number of rows.
        let nearest = vectors
            .split(1, 0)
            .into_iter()
            .flat_map(|image| image.squeeze_dim::<2>(0).split(Self::VECTORS, 0))
            .map(|z| (squares.clone() - z.matmul(codes.clone().transpose()) * 2.0).argmin(1))
            .collect();
        Tensor::cat(nearest, 0).reshape([batch, height, width])
    }

    /// The codes at `indices` `[batch, h, w]`: `[batch, c, h, w]`.
    pub fn codes(&self, indices: Tensor<3, Int>) -> Tensor<4> {
        let [batch, height, width] = indices.dims();
        let rows = self
            .quantize
            .embedding
            .forward(indices.reshape([batch * height * width]));
        let channels = rows.dims()[1];
        rows.reshape([batch, height, width, channels])
            .permute([0, 3, 1, 2])
    }

    /// Decodes `latent` `[batch, embed_dim, h, w]` as it is, without quantising it.
    pub fn decode_unquantised(&self, latent: Tensor<4>) -> Tensor<4> {
        self.decoder.forward(self.post_quant_conv.forward(latent))
    }

    fn trace(&self, side: usize, trace: &mut Trace) {
        let encoder = &self.encoder;
        trace_conv3x3(&encoder.conv_in, side, trace);
        let mut at = (encoder.conv_in.weight.lazy_shape()[0], side);
        for level in &encoder.down {
            level.trace(&mut at, trace, |_, _| ());
        }
        encoder.mid.trace(at.1, trace);
        trace_conv3x3(&encoder.conv_out, at.1, trace);
        let [codes, channels] = self.quantize.embedding.table_shape();
        let vectors = at.1 * at.1;
        trace.layer(
            codes * channels * vectors,
            codes * vectors.min(Self::VECTORS),
        );
        let decoder = &self.decoder;
        trace_conv3x3(&decoder.conv_in, at.1, trace);
        at.0 = decoder.conv_in.weight.lazy_shape()[0];
        decoder.mid.trace(at.1, trace);
        for level in decoder.up.iter().rev() {
            level.trace(&mut at, trace, |_| ());
        }
        trace_conv3x3(&decoder.conv_out, at.1, trace);
    }
}

impl FirstStage for VqAutoencoder {
    /// # Panics
    /// When `image` has another number of channels or a side that [`factor`](FirstStage::factor) does not divide.
    fn encode(&self, image: Tensor<4>) -> Tensor<4> {
        let [_, channels, height, width] = image.dims();
        assert_eq!(
            channels, self.in_channels,
            "encoder.conv_in expects {} channels, found {channels}",
            self.in_channels
        );
        let factor = self.factor();
        assert!(
            height.is_multiple_of(factor) && width.is_multiple_of(factor),
            "the encoder needs sides that are multiples of {factor}, found {height} x {width}"
        );
        self.quant_conv.forward(self.encoder.forward(image))
    }

    fn decode(&self, latent: Tensor<4>) -> Tensor<4> {
        let quantised = self.codes(self.nearest_codes(latent));
        self.decode_unquantised(quantised)
    }

    fn latent_channels(&self) -> usize {
        self.quantize.embedding.table_shape()[1]
    }

    fn factor(&self) -> usize {
        1 << (self.encoder.down.len() - 1)
    }
}
