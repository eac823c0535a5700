//! The spatial transformer of latent diffusion (Rombach et al. 2022, appendix E.2.1).

use burn::module::Module;
use burn::tensor::activation::gelu;
use burn::tensor::{Device, Tensor};
use diffguard_kernels::attention;

use super::{Conv1x1, Dense, GroupNorm, LayerNorm};
use crate::summary::Trace;

/// Sizes of a [`SpatialTransformer`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TransformerConfig {
    /// Channels of the image.
    pub channels: usize,
    /// Attention heads.
    pub heads: usize,
    /// Transformer blocks.
    pub depth: usize,
    /// Channels of a context token.
    pub context: usize,
    /// Place of its first block among all of the network.
    pub first: usize,
}

/// What the cross-attentions of a network look at.
#[derive(Debug, Clone, Copy)]
pub enum Context<'a> {
    /// Tokens, `[batch, token, context]`.
    Tokens(&'a Tensor<3>),
    /// A single token an image, of which every block has been asked before: what it made of it, `[batch, channel]` a block
    /// in the blocks' order.
    Seen(&'a [Tensor<2>]),
}

/// Transformer blocks over the pixels of an image, conditioned on context tokens.
#[derive(Module, Debug)]
pub struct SpatialTransformer {
    norm: GroupNorm,
    proj_in: Conv1x1,
    transformer_blocks: Vec<TransformerBlock>,
    proj_out: Conv1x1,
    heads: usize,
    context: usize,
}

impl SpatialTransformer {
    /// `config.channels` must be a multiple of 32 and of `config.heads`.
    pub fn new(config: TransformerConfig, device: &Device) -> Self {
        let channels = config.channels;
        Self {
            norm: GroupNorm::new(channels, 1e-6, device),
            proj_in: Conv1x1::new(channels, channels, device),
            transformer_blocks: (config.first..config.first + config.depth)
                .map(|place| TransformerBlock::new(config, place, device))
                .collect(),
            proj_out: Conv1x1::new(channels, channels, device),
            heads: config.heads,
            context: config.context,
        }
    }

    /// What each block makes of contexts of one token, `[batch, 1, context]`: its place and `[batch, channel]`.
    pub fn seen(&self, context: &Tensor<3>) -> Vec<(usize, Tensor<2>)> {
        let see = |block: &TransformerBlock| {
            let vectors = block.attn2.of_one_token(context.clone());
            (block.place, vectors.squeeze_dim::<2>(1))
        };
        self.transformer_blocks.iter().map(see).collect()
    }

    /// `x` `[batch, channel, height, width]` and what it is conditioned on.
    pub fn forward(&self, x: Tensor<4>, context: Context<'_>) -> Tensor<4> {
        let [batch, channels, height, width] = x.dims();
        let pixels = x.reshape([batch, channels, height * width]);
        let h = self
            .proj_in
            .forward_tokens(self.norm.forward_tokens(pixels.clone()));
        let mut h = h.swap_dims(1, 2);
        for block in &self.transformer_blocks {
            h = block.forward(h, context);
        }
        let h = self.proj_out.forward_tokens(h.swap_dims(1, 2));
        (pixels + h).reshape([batch, channels, height, width])
    }

    /// Counts the work on an image of `pixels`, with one context token.
    pub fn trace(&self, channels: usize, pixels: usize, trace: &mut Trace) {
        let held = channels * pixels;
        trace.hold(held);
        trace.convolution(1, channels, channels, pixels);
        for _ in &self.transformer_blocks {
            for _ in 0..4 {
                trace.convolution(1, channels, channels, pixels);
            }
            trace.attention(self.heads, pixels, pixels, channels);
            trace.layer((self.context + channels) * channels, channels);
            trace.convolution(1, channels, 8 * channels, pixels);
            trace.convolution(1, 4 * channels, channels, pixels);
        }
        trace.convolution(1, channels, channels, pixels);
        trace.release(held);
    }
}

/// Self-attention, cross-attention and feed-forward, each on a layer-normalised input and added to it.
#[derive(Module, Debug)]
struct TransformerBlock {
    attn1: Attention,
    ff: FeedForward,
    attn2: Attention,
    norm1: LayerNorm,
    norm2: LayerNorm,
    norm3: LayerNorm,
    place: usize,
}

impl TransformerBlock {
    fn new(config: TransformerConfig, place: usize, device: &Device) -> Self {
        let channels = config.channels;
        let attention = |context| Attention::new(channels, context, config.heads, device);
        let norm = || LayerNorm::new(channels, device);
        Self {
            attn1: attention(channels),
            ff: FeedForward::new(channels, device),
            attn2: attention(config.context),
            norm1: norm(),
            norm2: norm(),
            norm3: norm(),
            place,
        }
    }

    /// `x`: `[batch, token, channel]`.
    fn forward(&self, x: Tensor<3>, context: Context<'_>) -> Tensor<3> {
        let normed = self.norm1.forward(x.clone());
        let x = self.attn1.general(normed.clone(), normed) + x;
        // With one context token every softmax is 1: neither the query nor the key is needed.
        let crossed = match context {
            Context::Seen(vectors) => vectors[self.place].clone().unsqueeze_dim(1),
            Context::Tokens(tokens) if tokens.dims()[1] == 1 => {
                self.attn2.of_one_token(tokens.clone())
            }
            Context::Tokens(tokens) => self
                .attn2
                .general(self.norm2.forward(x.clone()), tokens.clone()),
        };
        let x = x + crossed;
        self.ff.forward(self.norm3.forward(x.clone())) + x
    }
}

/// Multi-head attention of tokens over a context; heads are contiguous slices of channels.
#[derive(Module, Debug)]
struct Attention {
    to_q: Dense,
    to_k: Dense,
    to_v: Dense,
    to_out: Vec<Dense>,
    heads: usize,
}

impl Attention {
    fn new(channels: usize, context: usize, heads: usize, device: &Device) -> Self {
        Self {
            to_q: Dense::without_bias(channels, channels, device),
            to_k: Dense::without_bias(context, channels, device),
            to_v: Dense::without_bias(context, channels, device),
            to_out: vec![Dense::new(channels, channels, device)],
            heads,
        }
    }

    fn out(&self, x: Tensor<3>) -> Tensor<3> {
        self.to_out.iter().fold(x, |x, layer| layer.forward(x))
    }

    /// `x` `[batch, token, channel]` over `context` `[batch, other token, context]`.
    fn general(&self, x: Tensor<3>, context: Tensor<3>) -> Tensor<3> {
        let [batch, tokens, channels] = x.dims();
        let split = |x: Tensor<3>| -> Tensor<4> {
            let tokens = x.dims()[1];
            x.reshape([batch, tokens, self.heads, channels / self.heads])
                .swap_dims(1, 2)
        };
        let q = split(self.to_q.forward(x));
        let k = split(self.to_k.forward(context.clone()));
        let v = split(self.to_v.forward(context));
        let h = attention(q, k, v)
            .swap_dims(1, 2)
            .reshape([batch, tokens, channels]);
        self.out(h)
    }

    /// What [`general`](Self::general) gives at every token when the context is a single one: `[batch, 1, channel]`.
    fn of_one_token(&self, context: Tensor<3>) -> Tensor<3> {
        #[cfg(test)]
        counted::add(context.dims()[0]);
        self.out(self.to_v.forward(context))
    }
}

/// A gated linear unit with GELU (Shazeer 2020), and a linear layer back.
#[derive(Module, Debug)]
struct FeedForward {
    proj: Dense,
    out: Dense,
    inner: usize,
}

impl FeedForward {
    fn new(channels: usize, device: &Device) -> Self {
        let inner = 4 * channels;
        Self {
            proj: Dense::new(channels, 2 * inner, device),
            out: Dense::new(inner, channels, device),
            inner,
        }
    }

    fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        let h = self.proj.forward(x);
        let value = h.clone().narrow(2, 0, self.inner);
        let gate = h.narrow(2, self.inner, self.inner);
        self.out.forward(value * gelu(gate))
    }
}

/// Context tokens that went through cross-attentions on this thread.
#[cfg(test)]
pub(crate) mod counted {
    use std::cell::Cell;

    thread_local! {
        static TOKENS: Cell<usize> = const { Cell::new(0) };
    }

    pub(super) fn add(tokens: usize) {
        TOKENS.set(TOKENS.get() + tokens);
    }

    pub(crate) fn tokens() -> usize {
        TOKENS.get()
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Distribution, Tolerance};

    use super::*;

    #[test]
    fn one_context_token_needs_neither_query_nor_key() {
        let device = Device::flex();
        let attention = Attention::new(64, 24, 4, &device);
        let noise = |shape| Tensor::<3>::random(shape, Distribution::Normal(0.0, 1.0), &device);
        let (x, context) = (noise([2, 9, 64]), noise([2, 1, 24]));
        let general = attention.general(x, context.clone());
        let short = attention.of_one_token(context).expand([2, 9, 64]);
        short
            .into_data()
            .assert_approx_eq::<f32>(&general.into_data(), Tolerance::absolute(1e-6));
    }
}
