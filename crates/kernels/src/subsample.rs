//! The parameter-free shortcut of residual networks (He et al. 2016, option A), forward and backward.

use std::mem::MaybeUninit;

use burn::backend::Dispatch;
use burn::tensor::Tensor;

use crate::extension::KernelOps;
use crate::filled::filled;
use crate::is_flex;

/// Every second pixel of `x` `[batch, channel, height, width]`, both ways, between `padding` channels of zeros in front and as
/// many behind: `[batch, channel + 2 padding, ceil(height / 2), ceil(width / 2)]`.
pub fn subsample2(x: Tensor<4>, padding: usize) -> Tensor<4> {
    if is_flex(&x.device()) {
        let x = x.into_dispatch();
        return Tensor::from_dispatch(<Dispatch as KernelOps>::subsample2(x, padding));
    }
    let [batch, _, height, width] = x.dims();
    let x = x.slice(burn::tensor::s![.., .., 0..;2, 0..;2]);
    if padding == 0 {
        return x;
    }
    let size = [batch, padding, height.div_ceil(2), width.div_ceil(2)];
    let zeros = Tensor::zeros(size, &x.device());
    Tensor::cat(vec![zeros.clone(), x, zeros], 1)
}

/// Sizes of one subsampling.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    /// `[batch, channel, height, width]` of the larger image.
    pub dims: [usize; 4],
    /// Channels of zeros on either side.
    pub padding: usize,
}

impl Shape {
    /// `[batch, channel, height, width]` of the result.
    pub fn output(&self) -> [usize; 4] {
        let [batch, channels, height, width] = self.dims;
        let channels = channels + 2 * self.padding;
        [batch, channels, height.div_ceil(2), width.div_ceil(2)]
    }

    /// Values of one image: of the larger one, and of the result.
    fn image(&self) -> (usize, usize) {
        let of = |dims: [usize; 4]| dims[1..].iter().product();
        (of(self.dims), of(self.output()))
    }
}

pub(crate) fn forward(x: &[f32], shape: Shape) -> Vec<f32> {
    let [.., height, width] = shape.dims;
    let [batch, _, small_height, small_width] = shape.output();
    let (image, small) = shape.image();
    let ahead = shape.padding * small_height * small_width;
    let write = |n: usize, y: &mut [MaybeUninit<f32>]| {
        let (front, y) = y.split_at_mut(ahead);
        let (y, behind) = y.split_at_mut(small - 2 * ahead);
        front.fill(MaybeUninit::new(0.0));
        behind.fill(MaybeUninit::new(0.0));
        let planes = x[n * image..][..image].chunks_exact(height * width);
        let lines = planes.flat_map(|plane| plane.chunks_exact(width).step_by(2));
        for (y, x) in y.chunks_exact_mut(small_width).zip(lines) {
            for (y, pair) in y.iter_mut().zip(x.chunks(2)) {
                y.write(pair[0]);
            }
        }
    };
    // SAFETY: the channels of zeros on either side and every pixel between them are written.
    unsafe { filled(batch * small, small, write) }
}

/// The result's gradient at every second pixel, zero between them.
pub(crate) fn backward(dy: &[f32], shape: Shape) -> Vec<f32> {
    let [batch, _, height, width] = shape.dims;
    let [.., small_height, small_width] = shape.output();
    let (image, small) = shape.image();
    let ahead = shape.padding * small_height * small_width;
    let write = |n: usize, dx: &mut [MaybeUninit<f32>]| {
        let dy = &dy[n * small + ahead..(n + 1) * small - ahead];
        let mut rows = dy.chunks_exact(small_width);
        for plane in dx.chunks_exact_mut(height * width) {
            for pair in plane.chunks_mut(2 * width) {
                let (line, between) = pair.split_at_mut(width);
                let dy = rows.next().unwrap_or_default();
                for (dx, dy) in line.chunks_mut(2).zip(dy) {
                    dx.fill(MaybeUninit::new(0.0));
                    dx[0].write(*dy);
                }
                between.fill(MaybeUninit::new(0.0));
            }
        }
    };
    // SAFETY: both lines of every pair are written, and a last line without another.
    unsafe { filled(batch * image, image, write) }
}
