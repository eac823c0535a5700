//! The U-Net that guided diffusion, improved DDPM and latent diffusion share (Dhariwal & Nichol 2021, section 3): they
//! differ in their attention, in how they are conditioned and in the names of their files.

use std::cell::Cell;

use burn::module::Module;
use burn::tensor::activation::silu;
use burn::tensor::{Device, Tensor};
use diffguard_kernels::{join_channels, upsample2};

use super::plain::trace_conv3x3;
use super::{
    BLOCKS, CHANNELS, Context, Conv1x1, Dense, Downsample, Edge, GROUPS, GroupNorm, HeadOrder,
    QkvAttention, Resample, SpatialTransformer, TimeMlp, TransformerConfig, check_levels,
    check_sizes,
};
use crate::Error;
use crate::error::check_images;
use crate::layers::{Conv3x3, sinusoid_cos_first};
use crate::summary::Trace;

/// Published names of what is inside a [`Trunk`], and ours.
pub const NAMES: [(&str, &str); 11] = [
    ("time_embed.0", "time_embed.first"),
    ("time_embed.2", "time_embed.second"),
    ("in_layers.0", "first_norm"),
    ("in_layers.2", "first_conv"),
    ("emb_layers.1", "projection"),
    ("out_layers.0", "second_norm"),
    ("out_layers.3", "second_conv"),
    ("out.0", "last_norm"),
    ("out.2", "last_conv"),
    ("ff.net.0.proj", "ff.proj"),
    ("ff.net.2", "ff.out"),
];

/// Published names at the top of a network whose [`Trunk`] is its field `trunk`, and ours.
pub const PLACES: [(&str, &str); 6] = [
    ("time_embed", "trunk.time_embed"),
    ("input_blocks", "trunk.input_blocks"),
    ("middle_block", "trunk.middle_block"),
    ("output_blocks", "trunk.output_blocks"),
    ("last_norm", "trunk.last_norm"),
    ("last_conv", "trunk.last_conv"),
];

/// What sits between the residual blocks of a level with attention.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AttentionKind {
    /// Self-attention with a number of heads.
    Heads(usize, HeadOrder),
    /// Self-attention with heads of a number of channels.
    HeadChannels(usize, HeadOrder),
    /// A spatial transformer.
    Transformer {
        /// Heads.
        heads: usize,
        /// Transformer blocks.
        depth: usize,
        /// Channels of a context token.
        context: usize,
    },
}

/// Sizes of a [`Trunk`].
#[derive(Debug, Clone)]
pub struct TrunkConfig {
    /// The family, for errors.
    pub network: &'static str,
    /// Channels of the input.
    pub in_channels: usize,
    /// Channels that `channel_mult` multiplies.
    pub model_channels: usize,
    /// Channels after the first convolution.
    pub stem_channels: usize,
    /// Channels of the output.
    pub out_channels: usize,
    /// Residual blocks a level on the way down; one more on the way up.
    pub num_res_blocks: usize,
    /// Downsampling factors at which there is attention.
    pub attention_factors: Vec<usize>,
    /// Channels of each level, in units of `model_channels`.
    pub channel_mult: Vec<usize>,
    /// Whether the embedding scales and shifts the second norm (otherwise it is added before).
    pub scale_shift: bool,
    /// Whether residual blocks change the size (otherwise convolutions).
    pub resblock_updown: bool,
    /// The attention.
    pub attention: AttentionKind,
}

impl TrunkConfig {
    fn fault(&self, what: String) -> Error {
        Error::Configuration {
            network: self.network,
            what,
        }
    }

    /// Refuses sizes that do not fit together.
    fn check(&self) -> Result<(), Error> {
        let sizes = [
            ("in_channels", self.in_channels, CHANNELS),
            ("out_channels", self.out_channels, CHANNELS),
            ("model_channels", self.model_channels, CHANNELS),
            ("num_res_blocks", self.num_res_blocks, BLOCKS),
        ];
        check_sizes(self.network, &sizes)?;
        let name = "channel_mult";
        check_levels(self.network, name, self.model_channels, &self.channel_mult)?;
        if !self.stem_channels.is_multiple_of(GROUPS) {
            return Err(self.fault(format!(
                "the group norm of input_blocks.1 needs a multiple of {GROUPS} channels, found {}",
                self.stem_channels
            )));
        }
        let levels = self
            .channel_mult
            .iter()
            .map(|mult| mult * self.model_channels);
        let factors: Vec<usize> = (0..self.channel_mult.len())
            .map(|level| 1 << level)
            .collect();
        if let Some(factor) = self.attention_factors.iter().find(|f| !factors.contains(f)) {
            return Err(self.fault(format!(
                "attention_resolutions are downsampling factors, here of {factors:?}, found {factor}"
            )));
        }
        let last = factors.len() - 1;
        for (level, channels) in levels.enumerate() {
            if level == last || self.attention_factors.contains(&factors[level]) {
                self.check_heads(level, channels)?;
            }
        }
        Ok(())
    }

    fn check_heads(&self, level: usize, channels: usize) -> Result<(), Error> {
        let (name, divisor) = match self.attention {
            AttentionKind::Heads(heads, _) => ("num_heads", heads),
            AttentionKind::HeadChannels(each, _) => ("num_head_channels", each),
            AttentionKind::Transformer { heads, .. } => ("num_heads", heads),
        };
        match channels.is_multiple_of(divisor) {
            true => Ok(()),
            false => Err(self.fault(format!(
                "the attention of level {level} has {channels} channels, which {name} must divide, found {divisor}"
            ))),
        }
    }

    /// Builds the network; its parameters are drawn when they are first asked for.
    ///
    /// # Errors
    /// [`Error::Configuration`] names the layer that the sizes do not fit.
    pub fn init(&self, device: &Device) -> Result<Trunk, Error> {
        self.check()?;
        let embedding = 4 * self.model_channels;
        let res = |from: usize, to: usize, resample: Resample| {
            Layer::Res(ResBlock::new(
                from,
                to,
                embedding,
                self.scale_shift,
                resample,
                device,
            ))
        };
        let transformers = Cell::new(0);
        let attention = |channels: usize| match self.attention {
            AttentionKind::Heads(heads, order) => {
                Layer::Attention(QkvAttention::new(channels, heads, order, device))
            }
            AttentionKind::HeadChannels(each, order) => {
                Layer::Attention(QkvAttention::new(channels, channels / each, order, device))
            }
            AttentionKind::Transformer {
                heads,
                depth,
                context,
            } => Layer::Transformer(SpatialTransformer::new(
                TransformerConfig {
                    channels,
                    heads,
                    depth,
                    context,
                    first: transformers.replace(transformers.get() + depth),
                },
                device,
            )),
        };
        let down = |channels: usize| match self.resblock_updown {
            true => res(channels, channels, Resample::Halve),
            false => Layer::Down(Down {
                op: Downsample::new(channels, Edge::Around, device),
            }),
        };
        let up = |channels: usize| match self.resblock_updown {
            true => res(channels, channels, Resample::Double),
            false => Layer::Up(Up {
                conv: Conv3x3::new(channels, channels, device),
            }),
        };

        let mut channels = self.stem_channels;
        let mut input_blocks = vec![vec![Layer::Conv(Conv3x3::new(
            self.in_channels,
            channels,
            device,
        ))]];
        let mut skips = vec![channels];
        let last = self.channel_mult.len() - 1;
        for (level, mult) in self.channel_mult.iter().enumerate() {
            let attends = self.attention_factors.contains(&(1 << level));
            for _ in 0..self.num_res_blocks {
                let to = mult * self.model_channels;
                let mut layers = vec![res(channels, to, Resample::Keep)];
                channels = to;
                layers.extend(attends.then(|| attention(channels)));
                input_blocks.push(layers);
                skips.push(channels);
            }
            if level != last {
                input_blocks.push(vec![down(channels)]);
                skips.push(channels);
            }
        }
        let middle_block = vec![
            res(channels, channels, Resample::Keep),
            attention(channels),
            res(channels, channels, Resample::Keep),
        ];
        let mut output_blocks = Vec::new();
        for (level, mult) in self.channel_mult.iter().enumerate().rev() {
            let attends = self.attention_factors.contains(&(1 << level));
            for i in 0..=self.num_res_blocks {
                let skip = skips.pop().expect("as many skips as output blocks");
                let to = mult * self.model_channels;
                let mut layers = vec![res(channels + skip, to, Resample::Keep)];
                channels = to;
                layers.extend(attends.then(|| attention(channels)));
                layers.extend((level > 0 && i == self.num_res_blocks).then(|| up(channels)));
                output_blocks.push(layers);
            }
        }
        Ok(Trunk {
            time_embed: TimeMlp::new(self.model_channels, device),
            input_blocks,
            middle_block,
            output_blocks,
            last_norm: GroupNorm::new(channels, 1e-5, device),
            last_conv: Conv3x3::new(channels, self.out_channels, device),
            model_channels: self.model_channels,
            in_channels: self.in_channels,
        })
    }
}

/// The network; see the module's documentation.
#[derive(Module, Debug)]
pub struct Trunk {
    time_embed: TimeMlp,
    input_blocks: Vec<Vec<Layer>>,
    middle_block: Vec<Layer>,
    output_blocks: Vec<Vec<Layer>>,
    last_norm: GroupNorm,
    last_conv: Conv3x3,
    model_channels: usize,
    in_channels: usize,
}

impl Trunk {
    /// The sinusoid of steps `[batch]`: `[batch, model_channels]`.
    pub fn sinusoid(&self, t: Tensor<1>) -> Tensor<2> {
        sinusoid_cos_first(t, self.model_channels)
    }

    /// The embedding of steps `[batch]` before any label is added: `[batch, 4 * model_channels]`.
    pub fn time_embedding(&self, t: Tensor<1>) -> Tensor<2> {
        self.time_embed.forward(self.sinusoid(t))
    }

    /// Refuses images `[channel, height, width]` that [`encode`](Self::encode) does not take.
    ///
    /// # Errors
    /// [`Error::Images`].
    pub fn check_input(&self, shape: [usize; 3]) -> Result<(), Error> {
        let sides = (1 << self.halvings(), true);
        check_images("input_blocks.0", self.in_channels, sides, shape)
    }

    /// Activations after the middle block, and the skip connections, for `x` `[batch, in, h, w]`, an embedding
    /// `[batch, 4 * model_channels]` and, where there are transformers, the context that they look at.
    ///
    /// # Panics
    /// When `x` has another number of channels, a side that the levels do not divide, or another batch than the
    /// embedding.
    pub fn encode(
        &self,
        x: Tensor<4>,
        embedding: Tensor<2>,
        context: Option<Context<'_>>,
    ) -> (Tensor<4>, Vec<Tensor<4>>) {
        let [batch, channels, height, width] = x.dims();
        assert_eq!(
            channels, self.in_channels,
            "input_blocks.0 expects {} channels, found {channels}",
            self.in_channels
        );
        assert_eq!(
            batch,
            embedding.dims()[0],
            "a batch of {batch} images needs as many steps and labels"
        );
        let factor = 1 << self.halvings();
        assert!(
            height.is_multiple_of(factor) && width.is_multiple_of(factor),
            "the levels need sides that are multiples of {factor}, found {height} x {width}"
        );
        let embedding = silu(embedding);
        let mut h = x;
        let mut skips = Vec::with_capacity(self.input_blocks.len());
        for layers in &self.input_blocks {
            h = run(layers, h, &embedding, context);
            skips.push(h.clone());
        }
        (run(&self.middle_block, h, &embedding, context), skips)
    }

    /// The output `[batch, out, h, w]` of what [`encode`](Self::encode) gave.
    pub fn decode(
        &self,
        middle: Tensor<4>,
        mut skips: Vec<Tensor<4>>,
        embedding: Tensor<2>,
        context: Option<Context<'_>>,
    ) -> Tensor<4> {
        let embedding = silu(embedding);
        let mut h = middle;
        for layers in &self.output_blocks {
            let skip = skips.pop().expect("as many skips as output blocks");
            h = run(layers, join_channels(h, skip), &embedding, context);
        }
        let norm = self.last_norm.plain(h.dims()[0]);
        self.last_conv.forward_normed(h, norm, None, None)
    }

    /// Input to output; arguments and panics as [`encode`](Self::encode).
    pub fn forward(
        &self,
        x: Tensor<4>,
        embedding: Tensor<2>,
        context: Option<Context<'_>>,
    ) -> Tensor<4> {
        let (middle, skips) = self.encode(x, embedding.clone(), context);
        self.decode(middle, skips, embedding, context)
    }

    /// What each transformer block's cross-attention makes of contexts of one token, `[batch, 1, context]`: `[batch,
    /// channel]` a block, for [`Context::Seen`].
    pub fn seen(&self, context: &Tensor<3>) -> Vec<Tensor<2>> {
        let blocks = self
            .input_blocks
            .iter()
            .chain(std::iter::once(&self.middle_block))
            .chain(&self.output_blocks);
        let mut seen: Vec<(usize, Tensor<2>)> = blocks
            .flatten()
            .filter_map(|layer| match layer {
                Layer::Transformer(transformer) => Some(transformer.seen(context)),
                _ => None,
            })
            .flatten()
            .collect();
        seen.sort_by_key(|(place, _)| *place);
        seen.into_iter().map(|(_, vectors)| vectors).collect()
    }

    /// How often the image is halved.
    fn halvings(&self) -> usize {
        let halves = |layer: &Layer| match layer {
            Layer::Down(_) => true,
            Layer::Res(block) => block.resample == Resample::Halve,
            _ => false,
        };
        self.input_blocks
            .iter()
            .flatten()
            .filter(|layer| halves(layer))
            .count()
    }

    /// Counts the work on one image of `side` x `side`.
    pub fn trace(&self, side: usize, trace: &mut Trace) {
        let m = self.model_channels;
        trace.layer(4 * m * m + 16 * m * m, 8 * m);
        let mut at = (self.in_channels, side);
        let mut skips = Vec::new();
        for layers in &self.input_blocks {
            layers.iter().for_each(|layer| layer.trace(&mut at, trace));
            let numbers = at.0 * at.1 * at.1;
            trace.hold(numbers);
            skips.push((at.0, numbers));
        }
        let middle = &self.middle_block;
        middle.iter().for_each(|layer| layer.trace(&mut at, trace));
        for layers in &self.output_blocks {
            let (channels, numbers) = skips.pop().expect("as many skips as output blocks");
            trace.release(numbers);
            at.0 += channels;
            layers.iter().for_each(|layer| layer.trace(&mut at, trace));
        }
        trace_conv3x3(&self.last_conv, at.1, trace);
    }
}

fn run(
    layers: &[Layer],
    x: Tensor<4>,
    embedding: &Tensor<2>,
    context: Option<Context<'_>>,
) -> Tensor<4> {
    layers
        .iter()
        .fold(x, |x, layer| layer.forward(x, embedding, context))
}

/// One member of a block, at its place of the published list.
#[derive(Module, Debug)]
#[expect(clippy::large_enum_variant, reason = "a few dozen, built once")]
enum Layer {
    Conv(Conv3x3),
    Res(ResBlock),
    Attention(QkvAttention),
    Transformer(SpatialTransformer),
    Down(Down),
    Up(Up),
}

impl Layer {
    fn forward(
        &self,
        x: Tensor<4>,
        embedding: &Tensor<2>,
        context: Option<Context<'_>>,
    ) -> Tensor<4> {
        match self {
            Self::Conv(conv) => conv.forward(x),
            Self::Res(block) => block.forward(x, embedding),
            Self::Attention(attention) => attention.forward(x),
            Self::Transformer(transformer) => {
                let context = context.expect("a network with transformers is given a context");
                transformer.forward(x, context)
            }
            Self::Down(down) => down.op.forward(x),
            Self::Up(up) => up.conv.forward(upsample2(x)),
        }
    }

    /// Counts the work; `at` is (channels, side) and is moved along.
    fn trace(&self, at: &mut (usize, usize), trace: &mut Trace) {
        let (channels, side) = *at;
        let pixels = side * side;
        match self {
            Self::Conv(conv) => {
                trace_conv3x3(conv, side, trace);
                at.0 = conv.weight.lazy_shape()[0];
            }
            Self::Res(block) => block.trace(at, trace),
            Self::Attention(attention) => {
                trace.hold(channels * pixels);
                trace.convolution(1, channels, 3 * channels, pixels);
                trace.attention(attention.heads(), pixels, pixels, channels);
                trace.convolution(1, channels, channels, pixels);
                trace.release(channels * pixels);
            }
            Self::Transformer(transformer) => transformer.trace(channels, pixels, trace),
            Self::Down(_) => {
                at.1 = side / 2;
                trace.layer(
                    9 * channels * channels * at.1 * at.1,
                    channels * (pixels + at.1 * at.1),
                );
            }
            Self::Up(up) => {
                at.1 = 2 * side;
                trace_conv3x3(&up.conv, at.1, trace);
            }
        }
    }
}

/// A halving convolution.
#[derive(Module, Debug)]
struct Down {
    op: Downsample,
}

/// Enlargement by two, and a convolution.
#[derive(Module, Debug)]
struct Up {
    conv: Conv3x3,
}

/// Residual block conditioned on an embedding, which may change the size of the image.
#[derive(Module, Debug)]
struct ResBlock {
    first_norm: GroupNorm,
    first_conv: Conv3x3,
    projection: Dense,
    second_norm: GroupNorm,
    second_conv: Conv3x3,
    skip_connection: Option<Conv1x1>,
    scale_shift: bool,
    #[module(skip)]
    resample: Resample,
}

impl ResBlock {
    fn new(
        from: usize,
        to: usize,
        embedding: usize,
        scale_shift: bool,
        resample: Resample,
        device: &Device,
    ) -> Self {
        let columns = if scale_shift { 2 * to } else { to };
        Self {
            first_norm: GroupNorm::new(from, 1e-5, device),
            first_conv: Conv3x3::new(from, to, device),
            projection: Dense::new(embedding, columns, device),
            second_norm: GroupNorm::new(to, 1e-5, device),
            second_conv: Conv3x3::new(to, to, device),
            skip_connection: (from != to).then(|| Conv1x1::new(from, to, device)),
            scale_shift,
            resample,
        }
    }

    /// `x`: `[batch, in, h, w]`; `embedding`: `[batch, embedding]`, after its SiLU.
    fn forward(&self, x: Tensor<4>, embedding: &Tensor<2>) -> Tensor<4> {
        let projected = self.projection.forward(embedding.clone());
        let batch = x.dims()[0];
        let offset = (!self.scale_shift).then(|| projected.clone());
        let h = match self.resample {
            Resample::Keep => {
                let norm = self.first_norm.plain(batch);
                self.first_conv
                    .forward_normed(x.clone(), norm, offset, None)
            }
            resample => {
                let h = resample.apply(self.first_norm.forward_silu(x.clone()));
                let h = self.first_conv.forward(h);
                match offset {
                    Some(offset) => h + offset.unsqueeze_dims::<4>(&[2, 3]),
                    None => h,
                }
            }
        };
        let x = self.resample.apply(x);
        let residual = match &self.skip_connection {
            Some(skip) => skip.forward(x),
            None => x,
        };
        let norm = if self.scale_shift {
            let channels = h.dims()[1];
            let scale = projected.clone().narrow(1, 0, channels);
            let shift = projected.narrow(1, channels, channels);
            self.second_norm.modulated(scale, shift)
        } else {
            self.second_norm.plain(batch)
        };
        self.second_conv
            .forward_normed(h, norm, None, Some(residual))
    }

    fn trace(&self, at: &mut (usize, usize), trace: &mut Trace) {
        let (from, before) = *at;
        let side = self.resample.side(before);
        let [to, _, _, _] = self.first_conv.weight.lazy_shape().dims();
        *at = (to, side);
        trace.hold(from * before * before);
        trace_conv3x3(&self.first_conv, side, trace);
        trace_conv3x3(&self.second_conv, side, trace);
        if self.skip_connection.is_some() {
            trace.convolution(1, from, to, side * side);
        }
        trace.layer(self.projection.size(), 0);
        trace.release(from * before * before);
    }
}
