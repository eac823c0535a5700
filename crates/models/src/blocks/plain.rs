//! Levels of the DDPM code base as DDIM's U-Net and the first stage of latent diffusion use them (Ho et al. 2020,
//! appendix B; Esser et al. 2021): group norms with epsilon 1e-6, attention with one head.

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use diffguard_kernels::{attention, upsample2};

use super::{Conv1x1, Dense, Downsample, Edge, GroupNorm};
use crate::layers::Conv3x3;
use crate::summary::Trace;

const EPSILON: f64 = 1e-6;

/// A group norm of this family.
pub fn norm(channels: usize, device: &Device) -> GroupNorm {
    GroupNorm::new(channels, EPSILON, device)
}

/// Counts a 3x3 convolution on an image of `side` x `side`.
pub fn trace_conv3x3(conv: &Conv3x3, side: usize, trace: &mut Trace) {
    let [to, from, _, _] = conv.weight.lazy_shape().dims();
    trace.convolution(3, from, to, side * side);
}

/// Residual block, conditioned on an embedding where it has a projection for one.
#[derive(Module, Debug)]
pub struct ResnetBlock {
    norm1: GroupNorm,
    conv1: Conv3x3,
    temb_proj: Option<Dense>,
    norm2: GroupNorm,
    conv2: Conv3x3,
    nin_shortcut: Option<Conv1x1>,
}

impl ResnetBlock {
    /// From `from` to `to` channels, with a projection of an embedding of `embedding` channels.
    pub fn new(from: usize, to: usize, embedding: Option<usize>, device: &Device) -> Self {
        Self {
            norm1: norm(from, device),
            conv1: Conv3x3::new(from, to, device),
            temb_proj: embedding.map(|embedding| Dense::new(embedding, to, device)),
            norm2: norm(to, device),
            conv2: Conv3x3::new(to, to, device),
            nin_shortcut: (from != to).then(|| Conv1x1::new(from, to, device)),
        }
    }

    /// `x`: `[batch, in, h, w]`; `embedding`: `[batch, embedding]`, after its SiLU, where the block has a projection.
    pub fn forward(&self, x: Tensor<4>, embedding: Option<&Tensor<2>>) -> Tensor<4> {
        let batch = x.dims()[0];
        let projected = self.temb_proj.as_ref().map(|projection| {
            let embedding = embedding.expect("a conditioned block is given an embedding");
            projection.forward(embedding.clone())
        });
        let norm = self.norm1.plain(batch);
        let h = self.conv1.forward_normed(x.clone(), norm, projected, None);
        let residual = match &self.nin_shortcut {
            Some(shortcut) => shortcut.forward(x),
            None => x,
        };
        let norm = self.norm2.plain(batch);
        self.conv2.forward_normed(h, norm, None, Some(residual))
    }

    /// Counts the work on an image of `side` x `side`; the channels of the output.
    pub fn trace(&self, side: usize, trace: &mut Trace) -> usize {
        let [to, from, _, _] = self.conv1.weight.lazy_shape().dims();
        let pixels = side * side;
        trace.hold(from * pixels);
        trace_conv3x3(&self.conv1, side, trace);
        trace_conv3x3(&self.conv2, side, trace);
        if self.nin_shortcut.is_some() {
            trace.convolution(1, from, to, pixels);
        }
        trace.layer(self.temb_proj.as_ref().map_or(0, Dense::size), 0);
        trace.release(from * pixels);
        to
    }
}

/// Residual self-attention over pixels with one head, on a group-normalised input.
#[derive(Module, Debug)]
pub struct AttnBlock {
    norm: GroupNorm,
    q: Conv1x1,
    k: Conv1x1,
    v: Conv1x1,
    proj_out: Conv1x1,
}

impl AttnBlock {
    /// `channels` must be a multiple of 32.
    pub fn new(channels: usize, device: &Device) -> Self {
        let conv = || Conv1x1::new(channels, channels, device);
        Self {
            norm: norm(channels, device),
            q: conv(),
            k: conv(),
            v: conv(),
            proj_out: conv(),
        }
    }

    /// `x + proj_out(attention(norm(x)))`, `x`: `[batch, channel, height, width]`.
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let [batch, channels, height, width] = x.dims();
        let pixels = x.reshape([batch, channels, height * width]);
        let h = self.norm.forward_tokens(pixels.clone());
        let part = |conv: &Conv1x1| -> Tensor<4> {
            // In this order nothing is copied: [batch, 1, token, channel] is a view.
            conv.forward_tokens(h.clone())
                .unsqueeze_dim::<4>(1)
                .swap_dims(2, 3)
        };
        let h = attention(part(&self.q), part(&self.k), part(&self.v))
            .swap_dims(2, 3)
            .squeeze_dim::<3>(1);
        (pixels + self.proj_out.forward_tokens(h)).reshape([batch, channels, height, width])
    }

    /// Counts the work on an image of `side` x `side` with `channels`.
    pub fn trace(channels: usize, side: usize, trace: &mut Trace) {
        let pixels = side * side;
        trace.hold(channels * pixels);
        for _ in 0..4 {
            trace.convolution(1, channels, channels, pixels);
        }
        trace.attention(1, pixels, pixels, channels);
        trace.release(channels * pixels);
    }
}

/// A halving convolution.
#[derive(Module, Debug)]
pub struct DownSample {
    conv: Downsample,
}

/// Enlargement by two, and a convolution.
#[derive(Module, Debug)]
pub struct UpSample {
    conv: Conv3x3,
}

/// The blocks at one size of the image on the way down: after each residual block its attention, where it has one.
#[derive(Module, Debug)]
pub struct DownLevel {
    block: Vec<ResnetBlock>,
    attn: Vec<AttnBlock>,
    downsample: Option<DownSample>,
}

/// The blocks at one size of the image on the way up.
#[derive(Module, Debug)]
pub struct UpLevel {
    block: Vec<ResnetBlock>,
    attn: Vec<AttnBlock>,
    upsample: Option<UpSample>,
}

/// Sizes of a level.
#[derive(Debug, Clone, Copy)]
pub struct LevelConfig {
    /// Channels after each residual block.
    pub channels: usize,
    /// Whether each residual block is followed by attention.
    pub attention: bool,
    /// Channels of the embedding, where there is one.
    pub embedding: Option<usize>,
    /// Whether the level changes the size of the image at its end.
    pub resample: bool,
}

impl LevelConfig {
    fn blocks(&self, inputs: &[usize], device: &Device) -> (Vec<ResnetBlock>, Vec<AttnBlock>) {
        let block = |from: &usize| ResnetBlock::new(*from, self.channels, self.embedding, device);
        let attentions = if self.attention { inputs.len() } else { 0 };
        (
            inputs.iter().map(block).collect(),
            (0..attentions)
                .map(|_| AttnBlock::new(self.channels, device))
                .collect(),
        )
    }

    /// A level of the way down; `inputs`: the channels that each of its residual blocks is given.
    pub fn down(&self, inputs: &[usize], device: &Device) -> DownLevel {
        let (block, attn) = self.blocks(inputs, device);
        DownLevel {
            block,
            attn,
            downsample: self.resample.then(|| DownSample {
                conv: Downsample::new(self.channels, Edge::RightBottom, device),
            }),
        }
    }

    /// A level of the way up; `inputs` as in [`down`](Self::down).
    pub fn up(&self, inputs: &[usize], device: &Device) -> UpLevel {
        let (block, attn) = self.blocks(inputs, device);
        UpLevel {
            block,
            attn,
            upsample: self.resample.then(|| UpSample {
                conv: Conv3x3::new(self.channels, self.channels, device),
            }),
        }
    }
}

impl DownLevel {
    /// The output, after every step of which `keep` is called.
    pub fn forward(
        &self,
        x: Tensor<4>,
        embedding: Option<&Tensor<2>>,
        mut keep: impl FnMut(&Tensor<4>),
    ) -> Tensor<4> {
        let mut h = x;
        for (i, block) in self.block.iter().enumerate() {
            h = block.forward(h, embedding);
            if let Some(attention) = self.attn.get(i) {
                h = attention.forward(h);
            }
            keep(&h);
        }
        if let Some(downsample) = &self.downsample {
            h = downsample.conv.forward(h);
            keep(&h);
        }
        h
    }

    /// Counts the work; `at` is (channels, side), moved along, and given to `keep` after every step.
    pub fn trace(
        &self,
        at: &mut (usize, usize),
        trace: &mut Trace,
        mut keep: impl FnMut((usize, usize), &mut Trace),
    ) {
        for i in 0..self.block.len() {
            at.0 = self.block[i].trace(at.1, trace);
            if i < self.attn.len() {
                AttnBlock::trace(at.0, at.1, trace);
            }
            keep(*at, trace);
        }
        if self.downsample.is_some() {
            let before = at.1 * at.1;
            at.1 /= 2;
            let pixels = at.1 * at.1;
            trace.layer(9 * at.0 * at.0 * pixels, at.0 * (before + pixels));
            keep(*at, trace);
        }
    }
}

impl UpLevel {
    /// The output; `widen` adds to each residual block's input what it needs (a skip connection).
    pub fn forward(
        &self,
        x: Tensor<4>,
        embedding: Option<&Tensor<2>>,
        mut widen: impl FnMut(Tensor<4>) -> Tensor<4>,
    ) -> Tensor<4> {
        let mut h = x;
        for (i, block) in self.block.iter().enumerate() {
            h = block.forward(widen(h), embedding);
            if let Some(attention) = self.attn.get(i) {
                h = attention.forward(h);
            }
        }
        match &self.upsample {
            Some(upsample) => upsample.conv.forward(upsample2(h)),
            None => h,
        }
    }

    /// Counts the work; `at` is (channels, side) and is moved along; `widen` is called before each block.
    pub fn trace(
        &self,
        at: &mut (usize, usize),
        trace: &mut Trace,
        mut widen: impl FnMut(&mut Trace),
    ) {
        for i in 0..self.block.len() {
            widen(trace);
            at.0 = self.block[i].trace(at.1, trace);
            if i < self.attn.len() {
                AttnBlock::trace(at.0, at.1, trace);
            }
        }
        if let Some(upsample) = &self.upsample {
            at.1 *= 2;
            trace_conv3x3(&upsample.conv, at.1, trace);
        }
    }
}

/// Two residual blocks with attention between them.
#[derive(Module, Debug)]
pub struct Middle {
    block_1: ResnetBlock,
    attn_1: AttnBlock,
    block_2: ResnetBlock,
}

impl Middle {
    /// `channels` in and out.
    pub fn new(channels: usize, embedding: Option<usize>, device: &Device) -> Self {
        Self {
            block_1: ResnetBlock::new(channels, channels, embedding, device),
            attn_1: AttnBlock::new(channels, device),
            block_2: ResnetBlock::new(channels, channels, embedding, device),
        }
    }

    /// `[batch, channel, h, w]`, in and out.
    pub fn forward(&self, x: Tensor<4>, embedding: Option<&Tensor<2>>) -> Tensor<4> {
        let h = self.attn_1.forward(self.block_1.forward(x, embedding));
        self.block_2.forward(h, embedding)
    }

    /// Counts the work on an image of `side` x `side`.
    pub fn trace(&self, side: usize, trace: &mut Trace) {
        let channels = self.block_1.trace(side, trace);
        AttnBlock::trace(channels, side, trace);
        self.block_2.trace(side, trace);
    }
}
