//! Convolutions of networks that do not learn on bfloat16 values, summed in f32: an option, since it moves results.
//!
//! Where the processor has matrix tiles ([`crate::amx`]), 3x3 and 1x1 convolutions run on them; elsewhere images and
//! weights are rounded to the same values and go the way of f32, so that results differ by the rounding of sums alone.
//!
//! The tiles want the depth of a product in pairs beside each other. An image becomes `[channel / 2, position]`, a
//! word for a pair of channels, with a border of zeros that is as wide as the filter needs. A tap of the filter is then
//! an offset into the positions, and nothing is copied for it; the positions that lie on the border are computed and
//! dropped.

use std::cell::Cell;

use rayon::prelude::*;

use crate::conv2d::Shape;
use crate::simd::vectorised;
#[cfg(target_arch = "x86_64")]
use crate::{
    amx::{BLOCK, DEPTH, ROWS, Tiles, available},
    simd::{Instructions, allowed},
};

thread_local! {
    static WANTED: Cell<bool> = const { Cell::new(false) };
}

/// Runs `body` with bfloat16 in the convolutions, on the `flex` backend, whose weights are not being learnt and that
/// have at least 32 channels on either side; those with fewer (the first and the last of a U-Net), and every other
/// operation, stay in f32. Holds for this thread.
pub fn with_bf16<R>(body: impl FnOnce() -> R) -> R {
    struct Restore(bool);
    impl Drop for Restore {
        fn drop(&mut self) {
            WANTED.set(self.0);
        }
    }
    let _restore = Restore(WANTED.replace(true));
    body()
}

/// Whether a convolution is to be computed on bfloat16.
pub(crate) fn wanted(shape: &Shape) -> bool {
    WANTED.get() && shape.channels_in.min(shape.channels_out) >= 32 && border(shape).is_some()
}

/// The border of zeros of the convolutions that keep an image's size.
fn border(shape: &Shape) -> Option<usize> {
    match (shape.is_pointwise(), shape.as_conv3x3()) {
        (true, _) => Some(0),
        (_, Some(_)) => Some(1),
        _ => None,
    }
}

/// The nearest bfloat16, ties to even, as its 16 bits.
#[inline(always)]
fn rounded_bits(value: f32) -> u32 {
    let bits = value.to_bits();
    let nearest = bits.wrapping_add(0x7fff + ((bits >> 16) & 1)) >> 16;
    // Rounding up would carry a NaN into the sign.
    if value.is_nan() { 0x7fc0 } else { nearest }
}

/// Each value rounded to bfloat16.
pub(crate) fn rounded(values: &[f32]) -> Vec<f32> {
    let mut rounded = values.to_vec();
    vectorised(
        #[inline(always)]
        || {
            for value in &mut rounded {
                *value = f32::from_bits(rounded_bits(*value) << 16);
            }
        },
    );
    rounded
}

/// Whether the processor's matrix tiles are to be used.
pub(crate) fn has_tiles() -> bool {
    #[cfg(target_arch = "x86_64")]
    {
        allowed(Instructions::Amx) && available()
    }
    #[cfg(not(target_arch = "x86_64"))]
    {
        false
    }
}

/// Weights as the tiles take them.
#[cfg(target_arch = "x86_64")]
pub(crate) struct Packed {
    /// `[block of output channels, step, output channel of the block, input channel of the step]`; a step is a tap and
    /// 32 input channels.
    values: Vec<u16>,
}

#[cfg(target_arch = "x86_64")]
impl Packed {
    /// Of a row-major `weight` `[out, in, taps]`.
    pub fn of(weight: &[f32], channels_in: usize, channels_out: usize) -> Self {
        let taps = weight.len() / (channels_in * channels_out);
        let depths = channels_in.div_ceil(DEPTH);
        let mut values = vec![0u16; channels_out.div_ceil(BLOCK) * taps * depths * BLOCK * DEPTH];
        for o in 0..channels_out {
            for i in 0..channels_in {
                for tap in 0..taps {
                    let step = (o / BLOCK * taps + tap) * depths + i / DEPTH;
                    let place = (step * BLOCK + o % BLOCK) * DEPTH + i % DEPTH;
                    let value = weight[(o * channels_in + i) * taps + tap];
                    values[place] = rounded_bits(value) as u16;
                }
            }
        }
        Self { values }
    }

    /// Memory that it takes.
    pub fn bytes(&self) -> usize {
        self.values.len() * size_of::<u16>()
    }
}

/// Where the positions of an image and its border are.
#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy)]
struct Layout {
    border: usize,
    /// Height and width of the image.
    size: [usize; 2],
    /// Positions from one line of the image to the next.
    line: usize,
    /// Words from one pair of channels to the next.
    row: usize,
    /// Pairs of channels, a multiple of [`ROWS`].
    pairs: usize,
}

#[cfg(target_arch = "x86_64")]
impl Layout {
    fn of(shape: &Shape) -> Self {
        let border = border(shape).expect("only asked for convolutions that `wanted` accepts");
        let [height, width] = shape.input;
        let line = width + 2 * border;
        let positions = (height * line).next_multiple_of(BLOCK);
        Self {
            border,
            size: [height, width],
            line,
            row: (positions + 2 * border * (line + 1)).next_multiple_of(ROWS),
            pairs: shape.channels_in.div_ceil(DEPTH) * ROWS,
        }
    }

    /// Writes the image into `words`, whose border stays as it is.
    fn pack(&self, image: &[f32], words: &mut [u32]) {
        let [height, width] = self.size;
        let pixels = height * width;
        let channels = image.len() / pixels;
        vectorised(
            #[inline(always)]
            || {
                for pair in 0..channels.div_ceil(2) {
                    let even = &image[2 * pair * pixels..][..pixels];
                    let odd = image.get((2 * pair + 1) * pixels..(2 * pair + 2) * pixels);
                    let plane = &mut words[pair * self.row..][..self.row];
                    for y in 0..height {
                        let to = &mut plane[(y + self.border) * self.line + self.border..][..width];
                        let even = &even[y * width..][..width];
                        for (word, even) in to.iter_mut().zip(even) {
                            *word = rounded_bits(*even);
                        }
                        // A channel that is not there is zero.
                        if let Some(odd) = odd {
                            for (word, odd) in to.iter_mut().zip(&odd[y * width..][..width]) {
                                *word |= rounded_bits(*odd) << 16;
                            }
                        }
                    }
                }
            },
        );
    }

    /// The start of every step in the words: a tap's offset, and 16 pairs of channels.
    fn offsets(&self, [kernel_height, kernel_width]: [usize; 2]) -> Vec<usize> {
        let mut offsets = Vec::new();
        for y in 0..kernel_height {
            for x in 0..kernel_width {
                let tap = y * self.line + x;
                offsets.extend(
                    (0..self.pairs)
                        .step_by(ROWS)
                        .map(|pair| pair * self.row + tap),
                );
            }
        }
        offsets
    }

    /// Where tiles of 16 positions start. Where lines are made of whole tiles, none reaches beyond its line; elsewhere
    /// they run through all positions, over the border.
    fn tiles(&self) -> Vec<usize> {
        let [height, width] = self.size;
        match width.is_multiple_of(ROWS) {
            true => (0..height)
                .flat_map(|y| (0..width).step_by(ROWS).map(move |x| (y, x)))
                .map(|(y, x)| y * self.line + x)
                .collect(),
            false => (0..height * self.line).step_by(ROWS).collect(),
        }
    }

    /// The pixels of the tile at `start`, as runs: the first position in the tile, the first pixel, and how many.
    fn runs(&self, start: usize) -> impl Iterator<Item = (usize, usize, usize)> {
        let ([height, width], line) = (self.size, self.line);
        let mut done = 0;
        std::iter::from_fn(move || {
            while done < ROWS {
                let (from, y, x) = (done, (start + done) / line, (start + done) % line);
                done += (line - x).min(ROWS - done);
                if x < width && y < height {
                    return Some((from, y * width + x, (width - x).min(ROWS - from)));
                }
            }
            None
        })
    }
}

/// `y = conv(x, weight) + bias` on the tiles, all row-major.
#[cfg(target_arch = "x86_64")]
pub(crate) fn forward(x: &[f32], packed: &Packed, bias: &[f32], shape: &Shape) -> Vec<f32> {
    let layout = Layout::of(shape);
    let (offsets, starts) = (layout.offsets(shape.kernel), layout.tiles());
    let pixels = shape.input[0] * shape.input[1];
    let mut y = vec![0f32; shape.batch * shape.channels_out * pixels];
    y.par_chunks_exact_mut(shape.channels_out * pixels)
        .zip(x.par_chunks_exact(shape.channels_in * pixels))
        .for_each_init(
            || vec![0u32; layout.pairs * layout.row],
            |words, (y, x)| {
                layout.pack(x, words);
                let tiles = Tiles::new().expect("only called where there are tiles");
                let mut sums = [0f32; BLOCK * BLOCK];
                for starts in starts.chunks(2) {
                    // An odd last tile is computed twice.
                    let halves = [starts[0], starts[starts.len() - 1]];
                    let weights = packed.values.chunks_exact(offsets.len() * BLOCK * DEPTH);
                    let planes = y.chunks_mut(BLOCK * pixels).zip(bias.chunks(BLOCK));
                    for (weights, (planes, bias)) in weights.zip(planes) {
                        tiles.product(weights, words, (layout.row, &offsets, halves), &mut sums);
                        for (half, start) in halves.into_iter().enumerate() {
                            for (from, to, count) in layout.runs(start) {
                                scatter(
                                    &sums,
                                    half * ROWS + from,
                                    planes,
                                    (pixels, to),
                                    count,
                                    bias,
                                );
                            }
                        }
                    }
                }
            },
        );
    y
}

#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn add(pixels: &mut [f32], sums: &[f32], bias: f32) {
    for (pixel, sum) in pixels.iter_mut().zip(sums) {
        *pixel = sum + bias;
    }
}

/// Adds the bias to `count` sums of every channel, and writes them to its pixels from `to` on.
#[cfg(target_arch = "x86_64")]
fn scatter(
    sums: &[f32; BLOCK * BLOCK],
    from: usize,
    planes: &mut [f32],
    (pixels, to): (usize, usize),
    count: usize,
    bias: &[f32],
) {
    vectorised(
        #[inline(always)]
        || {
            for (channel, bias) in bias.iter().enumerate() {
                let sums = &sums[channel * BLOCK + from..][..count];
                let plane = &mut planes[channel * pixels + to..][..count];
                // A whole tile, whose length the compiler knows.
                match (plane.first_chunk_mut::<ROWS>(), sums.first_chunk::<ROWS>()) {
                    (Some(plane), Some(sums)) => add(plane, sums, *bias),
                    _ => add(plane, sums, *bias),
                }
            }
        },
    );
}
