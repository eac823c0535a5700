//! A 3x3 convolution with stride 1, padding 1 and a bias, as many channels out as in.

use diffguard_models::layers::Conv3x3;

use super::{Row, Work, device, normal};
use crate::Result;

pub(super) const C128X32: Row = row::<128, 32, 16>("conv3x3_128x32");
pub(super) const C256X16: Row = row::<256, 16, 16>("conv3x3_256x16");
pub(super) const C256X8: Row = row::<256, 8, 16>("conv3x3_256x8");
pub(super) const C64X32: Row = row::<64, 32, 16>("conv3x3_64x32");
pub(super) const C32X28: Row = row::<32, 28, 32>("conv3x3_32x28");

const fn row<const CHANNELS: usize, const SIDE: usize, const BATCH: usize>(
    name: &'static str,
) -> Row {
    Row {
        name,
        operations: Some(|| {
            2.0 * 9.0 * (CHANNELS * CHANNELS) as f64 * (SIDE * SIDE) as f64 * BATCH as f64
        }),
        prepare: prepare::<CHANNELS, SIDE, BATCH>,
    }
}

fn prepare<const CHANNELS: usize, const SIDE: usize, const BATCH: usize>() -> Result<Work> {
    let device = device();
    let x = normal([BATCH, CHANNELS, SIDE, SIDE], &device);
    let conv = Conv3x3::new(CHANNELS, CHANNELS, &device);
    Ok(Box::new(move || drop(conv.forward(x.clone()))))
}
