//! A small class-conditional diffusion U-Net for small grey images (DDPM, Ho et al. 2020, with adaptive group
//! normalisation, Dhariwal & Nichol 2021, and a null label for classifier-free guidance, Ho & Salimans 2022).
//!
//! The image is folded into channels first (space-to-depth), so that a 28 x 28 picture is worked on at 14 x 14 and
//! 7 x 7: the size at which two CPU cores train it in under an hour.

use burn::config::Config;
use burn::module::Module;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::{Embedding, EmbeddingConfig, Linear, LinearConfig, PaddingConfig2d};
use burn::tensor::activation::silu;
use burn::tensor::{Device, Int, Tensor};
use diffguard_kernels::{join_channels, upsample2};

use crate::Error;
use crate::checkpoint::KeyMap;
use crate::error::check_images;
use crate::keys::keys;
use crate::layers::{
    Conv3x3, NormSilu, SelfAttention, convolve, depth_to_space, sinusoid_cos_first, space_to_depth,
};
use crate::step::{self, Step};
use crate::summary::{NetworkSummary, Summary, Trace};
use crate::traits::NoisePredictor;

/// Configuration of a [`QuickUnet`].
#[derive(Config, Debug)]
pub struct QuickUnetConfig {
    /// Side of the images it is trained on, in pixels; other multiples of `2 * patch` work too.
    #[config(default = 28)]
    pub image_size: usize,
    /// Channels of the image.
    #[config(default = 1)]
    pub image_channels: usize,
    /// Classes; the label after the last one is the null label.
    pub num_classes: usize,
    /// Side of the squares that are folded into channels.
    #[config(default = 2)]
    pub patch: usize,
    /// Channels at the upper resolution; twice as many at the lower one.
    #[config(default = 48)]
    pub channels: usize,
    /// Residual blocks of each resolution, on the way down as on the way up.
    #[config(default = 2)]
    pub blocks: usize,
    /// Heads of the self-attention at the lower resolution.
    #[config(default = 4)]
    pub heads: usize,
    /// Groups of every group normalisation.
    #[config(default = 8)]
    pub groups: usize,
}

/// The network; see the module's documentation.
#[derive(Module, Debug)]
pub struct QuickUnet {
    time1: Linear,
    time2: Linear,
    label: Embedding,
    stem: Conv3x3,
    down_high: Vec<ResBlock>,
    reduce: Conv2d,
    down_low: Vec<ResBlock>,
    down_attention: SelfAttention,
    middle1: ResBlock,
    middle_attention: SelfAttention,
    middle2: ResBlock,
    up_low: Vec<ResBlock>,
    up_attention: SelfAttention,
    enlarge: Conv3x3,
    up_high: Vec<ResBlock>,
    out_norm: NormSilu,
    out: Conv3x3,
    channels: usize,
    patch: usize,
    num_classes: usize,
}

impl QuickUnetConfig {
    /// Initialises the network; every residual branch starts as zero.
    pub fn init(&self, device: &Device) -> QuickUnet {
        let (high, low) = (self.channels, 2 * self.channels);
        let embedding = 4 * self.channels;
        let folded = self.image_channels * self.patch * self.patch;
        let block = |channels_in, channels_out| {
            ResBlock::new(channels_in, channels_out, embedding, self.groups, device)
        };
        let attention = || SelfAttention::new(low, self.heads, device);
        let widen = |i: usize, first: usize, width: usize| if i == 0 { first } else { width };
        QuickUnet {
            time1: LinearConfig::new(self.channels, embedding).init(device),
            time2: LinearConfig::new(embedding, embedding).init(device),
            label: EmbeddingConfig::new(self.num_classes + 1, embedding).init(device),
            stem: Conv3x3::new(folded, high, device),
            down_high: (0..self.blocks).map(|_| block(high, high)).collect(),
            reduce: Conv2dConfig::new([high, high], [3, 3])
                .with_stride([2, 2])
                .with_padding(PaddingConfig2d::Explicit(1, 1, 1, 1))
                .init(device),
            down_low: (0..self.blocks)
                .map(|i| block(widen(i, high, low), low))
                .collect(),
            down_attention: attention(),
            middle1: block(low, low),
            middle_attention: attention(),
            middle2: block(low, low),
            up_low: (0..self.blocks).map(|_| block(2 * low, low)).collect(),
            up_attention: attention(),
            enlarge: Conv3x3::new(low, low, device),
            up_high: (0..self.blocks)
                .map(|i| block(widen(i, low, high) + high, high))
                .collect(),
            out_norm: NormSilu::new(self.groups, high, device),
            out: Conv3x3::new(high, folded, device).zeroed(),
            channels: self.channels,
            patch: self.patch,
            num_classes: self.num_classes,
        }
    }
}

impl QuickUnetConfig {
    /// Refuses images that cannot be folded and halved, and sizes that do not divide each other.
    ///
    /// # Errors
    /// [`Error::Configuration`] names the key.
    pub fn check(&self) -> Result<(), Error> {
        let fault = |what: String| {
            Err(Error::Configuration {
                network: "quick U-Net",
                what,
            })
        };
        let multiple = |name: &str, value: usize, of: &str, unit: usize| match unit > 0
            && value > 0
            && value.is_multiple_of(unit)
        {
            true => Ok(()),
            false => fault(format!(
                "`{name}` has to be a multiple of {of} = {unit}, found {value}"
            )),
        };
        multiple("image_size", self.image_size, "2 * patch", 2 * self.patch)?;
        multiple("channels", self.channels, "groups", self.groups)?;
        multiple("channels", self.channels, "two", 2)?;
        multiple("2 * channels", 2 * self.channels, "heads", self.heads)?;
        match [self.image_channels, self.num_classes, self.blocks].contains(&0) {
            true => {
                fault("`image_channels`, `num_classes` and `blocks` have to be 1 at least".into())
            }
            false => Ok(()),
        }
    }
}

impl Summary for QuickUnetConfig {
    fn summary(&self) -> Result<NetworkSummary, Error> {
        self.check()?;
        let network = self.init(&Device::flex());
        let mut trace = Trace::default();
        network.trace(self.image_size, &mut trace);
        Ok(trace.summary(keys(&network, &KeyMap::native())))
    }

    fn steps(&self, device: &Device) -> Result<Vec<Step>, Error> {
        self.check()?;
        let network = step::drawn(self.init(device));
        let (channels, side) = (self.image_channels, self.image_size);
        Ok(vec![step::noise_predictor(
            &network, channels, side, device,
        )])
    }
}

impl QuickUnet {
    /// Counts the work on an image of `side` x `side`.
    fn trace(&self, side: usize, trace: &mut Trace) {
        let (high, low) = (side / self.patch, side / self.patch / 2);
        let conv = |conv: &Conv3x3, side: usize, trace: &mut Trace| {
            let [to, from, _, _] = conv.weight.lazy_shape().dims();
            trace.convolution(3, from, to, side * side);
        };
        let pixels = low * low;
        let attention = |trace: &mut Trace| {
            let channels = 2 * self.channels;
            trace.convolution(1, channels, 4 * channels, pixels);
            trace.attention(self.heads(), pixels, pixels, channels);
        };
        let m = self.channels;
        trace.layer(20 * m * m, 8 * m);
        conv(&self.stem, high, trace);
        let skip = m * high * high;
        for block in &self.down_high {
            block.trace(high, trace);
            trace.hold(skip);
        }
        trace.layer(9 * m * m * pixels, m * (high * high + pixels));
        for block in &self.down_low {
            block.trace(low, trace);
            trace.hold(2 * m * pixels);
        }
        attention(trace);
        self.middle1.trace(low, trace);
        attention(trace);
        self.middle2.trace(low, trace);
        for block in &self.up_low {
            trace.release(2 * m * pixels);
            block.trace(low, trace);
        }
        attention(trace);
        conv(&self.enlarge, high, trace);
        for block in &self.up_high {
            trace.release(skip);
            block.trace(high, trace);
        }
        conv(&self.out, high, trace);
    }

    fn heads(&self) -> usize {
        self.middle_attention.heads()
    }

    /// eps `[batch, channel, height, width]` of `x_t` (same shape, sides multiples of `2 * patch`), steps `t` `[batch]`
    /// and labels `[batch]` (the null label included).
    pub fn forward(&self, x_t: Tensor<4>, t: Tensor<1>, label: Tensor<1, Int>) -> Tensor<4> {
        let time = sinusoid_cos_first(t, self.channels);
        let time = self.time2.forward(silu(self.time1.forward(time)));
        let label: Tensor<2> = self
            .label
            .forward(label.unsqueeze_dim::<2>(1))
            .squeeze_dim::<2>(1);
        let embedding = silu(time + label);

        let mut h = self.stem.forward(space_to_depth(x_t, self.patch));
        let mut skips = Vec::new();
        for block in &self.down_high {
            h = block.forward(h, embedding.clone());
            skips.push(h.clone());
        }
        h = convolve(&self.reduce, h, 1);
        for block in &self.down_low {
            h = block.forward(h, embedding.clone());
            skips.push(h.clone());
        }
        h = self.down_attention.forward(h);

        h = self.middle1.forward(h, embedding.clone());
        h = self.middle_attention.forward(h);
        h = self.middle2.forward(h, embedding.clone());

        for block in &self.up_low {
            let skip = skips.pop().expect("as many skips as blocks");
            h = block.forward(join_channels(h, skip), embedding.clone());
        }
        h = self.up_attention.forward(h);
        h = self.enlarge.forward(upsample2(h));
        for block in &self.up_high {
            let skip = skips.pop().expect("as many skips as blocks");
            h = block.forward(join_channels(h, skip), embedding.clone());
        }
        let norm = self.out_norm.plain(h.dims()[0]);
        depth_to_space(self.out.forward_normed(h, norm, None, None), self.patch)
    }
}

impl NoisePredictor for QuickUnet {
    fn eps(&self, x_t: Tensor<4>, t: Tensor<1>, label: Option<Tensor<1, Int>>) -> Tensor<4> {
        let batch = x_t.dims()[0];
        let label =
            label.unwrap_or_else(|| Tensor::full([batch], self.num_classes as i64, &x_t.device()));
        self.forward(x_t, t, label)
    }

    fn check_input(&self, shape: [usize; 3]) -> Result<(), Error> {
        let [_, folded, _, _] = self.stem.weight.lazy_shape().dims();
        let channels = folded / (self.patch * self.patch);
        check_images("stem", channels, (2 * self.patch, true), shape)
    }

    fn num_classes(&self) -> usize {
        self.num_classes
    }

    fn null_label(&self) -> Option<usize> {
        Some(self.num_classes)
    }
}

/// Residual block: norm, SiLU, convolution, twice; the second norm is scaled and shifted by the embedding.
#[derive(Module, Debug)]
struct ResBlock {
    norm1: NormSilu,
    conv1: Conv3x3,
    embed: Linear,
    norm2: NormSilu,
    conv2: Conv3x3,
    skip: Option<Conv2d>,
    channels_out: usize,
}

impl ResBlock {
    fn new(
        channels_in: usize,
        channels_out: usize,
        embedding: usize,
        groups: usize,
        device: &Device,
    ) -> Self {
        Self {
            norm1: NormSilu::new(groups, channels_in, device),
            conv1: Conv3x3::new(channels_in, channels_out, device),
            embed: LinearConfig::new(embedding, 2 * channels_out).init(device),
            norm2: NormSilu::new(groups, channels_out, device),
            conv2: Conv3x3::new(channels_out, channels_out, device).zeroed(),
            skip: (channels_in != channels_out)
                .then(|| Conv2dConfig::new([channels_in, channels_out], [1, 1]).init(device)),
            channels_out,
        }
    }

    fn trace(&self, side: usize, trace: &mut Trace) {
        let [to, from, _, _] = self.conv1.weight.lazy_shape().dims();
        let pixels = side * side;
        trace.hold(from * pixels);
        trace.convolution(3, from, to, pixels);
        trace.convolution(3, to, to, pixels);
        if self.skip.is_some() {
            trace.convolution(1, from, to, pixels);
        }
        trace.layer(self.embed.weight.lazy_shape().num_elements(), 0);
        trace.release(from * pixels);
    }

    fn forward(&self, x: Tensor<4>, embedding: Tensor<2>) -> Tensor<4> {
        let modulation = self.embed.forward(embedding);
        let [scale, shift]: [Tensor<2>; 2] = modulation
            .split(self.channels_out, 1)
            .try_into()
            .expect("the projection has 2 * channels_out columns");
        let norm = self.norm1.plain(x.dims()[0]);
        let h = self.conv1.forward_normed(x.clone(), norm, None, None);
        let residual = match &self.skip {
            Some(skip) => convolve(skip, x, 0),
            None => x,
        };
        let norm = self.norm2.modulated(scale, shift);
        self.conv2.forward_normed(h, norm, None, Some(residual))
    }
}
