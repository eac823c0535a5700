//! CPU kernels behind burn's extension point, for the shapes on which a small U-Net spends its time.
//!
//! Each kernel is one function of tensors that works on every device: on the `flex` CPU backend it runs the
//! fused code of this crate, forward and backward; elsewhere it is composed of burn's own operations, so a
//! network is written once. Results do not depend on the number of threads: work is cut into fixed units and
//! sums are taken in a fixed order.

#[cfg(target_arch = "x86_64")]
mod amx;
mod around;
mod attention;
mod bf16;
mod channel_norm;
mod conv2d;
mod conv3x3;
mod direct;
mod extension;
mod filled;
mod join;
mod lanes;
mod linear_rows;
mod matmul;
mod norm_silu;
mod pointwise;
mod products;
mod simd;
mod subsample;
mod transformed;
mod upsample;
mod winograd;

use burn::backend::DispatchDevice;
use burn::tensor::Device;

pub use attention::attention;
pub use bf16::with_bf16;
pub use channel_norm::channel_norm;
pub use conv2d::{conv2d, conv2d_affine};
pub use conv3x3::{conv3x3, norm_silu_conv3x3};
pub use join::join_channels;
pub use linear_rows::{ROWS, linear_rows};
pub use norm_silu::{Norm, group_norm, norm_silu};
#[doc(hidden)]
pub use simd::{Instructions, limit_instructions};
pub use subsample::subsample2;
pub use upsample::upsample2;

/// Whether the fused CPU code serves this device.
fn is_flex(device: &Device) -> bool {
    matches!(
        device.clone().inner().as_dispatch(),
        DispatchDevice::Flex(_)
    )
}
