//! Attention over the pixels of an image.

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use diffguard_kernels::attention;

use super::{GroupNorm, TokenConv};

/// How the channels of a joint projection to query, key and value are grouped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeadOrder {
    /// `[head][q, k, v][channel]` (guided-diffusion's default).
    HeadFirst,
    /// `[q, k, v][head][channel]` (`use_new_attention_order`).
    QkvFirst,
}

/// Residual self-attention over pixels, on a group-normalised input (Dhariwal & Nichol 2021).
#[derive(Module, Debug)]
pub struct QkvAttention {
    norm: GroupNorm,
    qkv: TokenConv,
    proj_out: TokenConv,
    heads: usize,
    #[module(skip)]
    order: HeadOrder,
}

impl QkvAttention {
    /// `channels` must be a multiple of `heads` and of 32.
    pub fn new(channels: usize, heads: usize, order: HeadOrder, device: &Device) -> Self {
        Self {
            norm: GroupNorm::new(channels, 1e-5, device),
            qkv: TokenConv::new(channels, 3 * channels, device),
            proj_out: TokenConv::new(channels, channels, device),
            heads,
            order,
        }
    }

    /// Number of heads.
    pub fn heads(&self) -> usize {
        self.heads
    }

    /// `x + proj_out(attention(norm(x)))`, `x`: `[batch, channel, height, width]`.
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let [batch, channels, height, width] = x.dims();
        let (tokens, depth) = (height * width, channels / self.heads);
        let pixels = x.reshape([batch, channels, tokens]);
        let qkv = self.qkv.forward(self.norm.forward_tokens(pixels.clone()));
        // [batch, head, token, depth], three times; views, not copies
        let parts = |i: usize| -> Tensor<4> {
            match self.order {
                HeadOrder::HeadFirst => qkv
                    .clone()
                    .reshape([batch, self.heads, 3, depth, tokens])
                    .narrow(2, i, 1)
                    .squeeze_dim::<4>(2),
                HeadOrder::QkvFirst => qkv
                    .clone()
                    .reshape([batch, 3, self.heads, depth, tokens])
                    .narrow(1, i, 1)
                    .squeeze_dim::<4>(1),
            }
            .swap_dims(2, 3)
        };
        let h = attention(parts(0), parts(1), parts(2))
            .swap_dims(2, 3)
            .reshape([batch, channels, tokens]);
        (pixels + self.proj_out.forward(h)).reshape([batch, channels, height, width])
    }
}
