//! Convolutions of networks that do not learn on bfloat16 values, summed in f32: an option, since it moves results.
//!
//! Where the processor has matrix tiles ([`crate::amx`]), 3x3 and 1x1 convolutions run on them; elsewhere images and
//! weights are rounded to the same values and go the way of f32, so that results differ by the rounding of sums alone.
//!
//! An image becomes `[block of 32 channels, position]`, a cache line for the channels of a position, with a border of zeros
//! that is as wide as the filter needs. A tap of the filter is then an offset into the positions, and nothing is copied for
//! it; the positions that lie on the border are computed and dropped. The tiles want the weights' depth in pairs beside each
//! other, and give the result by positions: images are transposed on their way in and out, sixteen by sixteen values.

use std::cell::Cell;

use rayon::prelude::*;

use crate::conv2d::Shape;
use crate::simd::vectorised;
#[cfg(target_arch = "x86_64")]
use crate::{
    amx::{BLOCK, DEPTH, Line, ROWS, Tiles, available},
    around::Around,
    lanes::{Kernel, LANES, Lane, Vector, widest},
    simd::{Instructions, allowed},
};
#[cfg(target_arch = "x86_64")]
use std::mem::MaybeUninit;

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
pub(crate) fn rounded_bits(value: f32) -> u32 {
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
    /// `[block of 32 output channels, step, half of the block, pair of input channels of the step]`, pairs of 16 output
    /// channels each; a step is a tap and 32 input channels.
    lines: Vec<Line>,
}

#[cfg(target_arch = "x86_64")]
impl Packed {
    /// Of a row-major `weight` `[out, in, taps]`.
    pub fn of(weight: &[f32], channels_in: usize, channels_out: usize) -> Self {
        let taps = weight.len() / (channels_in * channels_out);
        let depths = channels_in.div_ceil(DEPTH);
        let mut lines = vec![Line::ZERO; channels_out.div_ceil(BLOCK) * taps * depths * BLOCK];
        for o in 0..channels_out {
            for i in 0..channels_in {
                for tap in 0..taps {
                    let step = (o / BLOCK * taps + tap) * depths + i / DEPTH;
                    let half = step * 2 + o % BLOCK / ROWS;
                    let line = &mut lines[half * ROWS + i % DEPTH / 2];
                    let value = weight[(o * channels_in + i) * taps + tap];
                    line.0[o % ROWS] |= rounded_bits(value) << (i % 2 * 16);
                }
            }
        }
        Self { lines }
    }

    /// Memory that it takes.
    pub fn bytes(&self) -> usize {
        size_of_val(self.lines.as_slice())
    }
}

/// Where the positions of an image and its border are.
#[cfg(target_arch = "x86_64")]
struct Layout {
    /// Positions from one line of the image to the next.
    line: usize,
    /// Positions of a block of channels.
    positions: usize,
    /// Blocks of 32 channels.
    blocks: usize,
    /// Where each pixel is.
    pixels: Vec<usize>,
    /// Sixteen neighbouring positions each.
    tiles: Vec<Positions>,
}

/// Positions that a tile computes.
#[cfg(target_arch = "x86_64")]
struct Positions {
    /// The first one, under the filter's first tap.
    start: usize,
    /// Those of them that are pixels.
    runs: Vec<Run>,
}

/// Pixels beside each other in a tile and in the image.
#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy)]
struct Run {
    /// The first one's position in the tile.
    from: usize,
    /// The first one's number in the image.
    pixel: usize,
    count: usize,
}

#[cfg(target_arch = "x86_64")]
impl Layout {
    fn of(shape: &Shape) -> Self {
        let border = border(shape).expect("only asked for convolutions that `wanted` accepts");
        let [height, width] = shape.input;
        let line = width + 2 * border;
        // Where lines are made of whole tiles, none reaches beyond its line; elsewhere they run through all positions, over
        // the border.
        let starts: Vec<usize> = match width.is_multiple_of(ROWS) {
            true => (0..height)
                .flat_map(|y| (0..width).step_by(ROWS).map(move |x| y * line + x))
                .collect(),
            false => (0..height * line).step_by(ROWS).collect(),
        };
        let last = starts.last().copied().unwrap_or_default() + ROWS;
        Self {
            line,
            positions: last + 2 * border * (line + 1),
            blocks: shape.channels_in.div_ceil(DEPTH),
            pixels: (0..height * width)
                .map(|pixel| (pixel / width + border) * line + border + pixel % width)
                .collect(),
            tiles: starts
                .into_iter()
                .map(|start| Positions {
                    start,
                    runs: runs(start, [height, width], line),
                })
                .collect(),
        }
    }

    /// The start of every step: a tap's offset, and a block of channels.
    fn offsets(&self, [kernel_height, kernel_width]: [usize; 2]) -> Vec<usize> {
        let mut offsets = Vec::new();
        for y in 0..kernel_height {
            for x in 0..kernel_width {
                let tap = y * self.line + x;
                offsets.extend((0..self.blocks).map(|block| block * self.positions + tap));
            }
        }
        offsets
    }
}

/// The pixels among sixteen positions from `start` on.
#[cfg(target_arch = "x86_64")]
fn runs(start: usize, [height, width]: [usize; 2], line: usize) -> Vec<Run> {
    let (mut runs, mut from) = (Vec::new(), 0);
    while from < ROWS {
        let (y, x) = ((start + from) / line, (start + from) % line);
        if x < width && y < height {
            runs.push(Run {
                from,
                pixel: y * width + x,
                count: (width - x).min(ROWS - from),
            });
        }
        from += (line - x).min(ROWS - from);
    }
    runs
}

/// `y = conv(x, weight)` on the tiles with what is `around` it, all row-major.
#[cfg(target_arch = "x86_64")]
pub(crate) fn forward(x: &[f32], packed: &Packed, around: Around<'_>, shape: &Shape) -> Vec<f32> {
    let layout = Layout::of(shape);
    let offsets = layout.offsets(shape.kernel);
    let pixels = shape.input[0] * shape.input[1];
    let (channels_in, channels_out) = (shape.channels_in, shape.channels_out);
    let size = channels_out * pixels;
    let mut y = Vec::with_capacity(shape.batch * size);
    y.spare_capacity_mut()[..shape.batch * size]
        .par_chunks_exact_mut(size)
        .zip(x.par_chunks_exact(channels_in * pixels))
        .enumerate()
        .for_each_init(
            || {
                (
                    vec![Line::ZERO; layout.blocks * layout.positions],
                    [vec![0f32; channels_in], vec![0f32; channels_in]],
                )
            },
            |(lines, [a, b]), (n, (y, x))| {
                if let Some(before) = around.before {
                    before.affine(n, x, (a, b));
                }
                widest(Pack {
                    layout: &layout,
                    image: x,
                    lines,
                    affine: around.before.map(|_| (a.as_slice(), b.as_slice())),
                });
                let tile_registers = Tiles::new().expect("only called where there are tiles");
                let mut sums = [Lane::ZERO; BLOCK * 2];
                for pair in layout.tiles.chunks(2) {
                    // An odd last tile is computed twice.
                    let halves = [&pair[0], &pair[pair.len() - 1]];
                    let weights = packed.lines.chunks_exact(offsets.len() * BLOCK);
                    for (block, weights) in weights.enumerate() {
                        let first = block * BLOCK;
                        let starts = halves.map(|half| half.start);
                        tile_registers.product((lines, starts), &offsets, weights, &mut sums);
                        widest(Store {
                            sums: &sums,
                            runs: halves.map(|half| half.runs.as_slice()),
                            image: &mut *y,
                            number: n,
                            pixels,
                            channels: first..(first + BLOCK).min(channels_out),
                            around: &around,
                        });
                    }
                }
            },
        );
    // SAFETY: the runs of the tiles cover every pixel, the blocks every channel, and each was written.
    unsafe { y.set_len(shape.batch * size) };
    y
}

/// Vectors of a plane that are read together.
#[cfg(target_arch = "x86_64")]
const RUN: usize = 8;

/// Writes an image into lines whose border stays as it is, as `silu(x * a + b)` where there is an affine map.
#[cfg(target_arch = "x86_64")]
struct Pack<'a> {
    layout: &'a Layout,
    image: &'a [f32],
    lines: &'a mut [Line],
    /// `[channel]` each.
    affine: Option<(&'a [f32], &'a [f32])>,
}

#[cfg(target_arch = "x86_64")]
impl Pack<'_> {
    #[inline(always)]
    fn each<V: Vector>(self, map: impl Fn(usize, V) -> V) {
        let pixels = self.layout.pixels.len();
        let channels = self.image.len() / pixels;
        let blocks = self.lines.chunks_exact_mut(self.layout.positions);
        for (block, lines) in blocks.enumerate() {
            let first = block * DEPTH;
            let planes = &self.image[first * pixels..channels.min(first + DEPTH) * pixels];
            // Planes may lie a multiple of 4 KiB apart, where sixteen of them push each other out of the first-level cache: a
            // few neighbouring vectors of one are read at once.
            let mut words = [[Lane::ZERO; LANES]; RUN];
            for (part, places) in self.layout.pixels.chunks(RUN * LANES).enumerate() {
                let from = part * RUN * LANES;
                for (pair, planes) in planes.chunks(2 * pixels).enumerate() {
                    let (low, high) = planes.split_at(pixels);
                    for (i, at) in (from..from + places.len()).step_by(LANES).enumerate() {
                        let at = at..(at + LANES).min(from + places.len());
                        let low = map(first + 2 * pair, V::read(&low[at.clone()]));
                        // A channel that is not there is zero.
                        let high = match high.get(at) {
                            Some(high) => map(first + 2 * pair + 1, V::read(high)),
                            None => V::zero(),
                        };
                        V::pairs_of_bf16(low, high).store(&mut words[i][pair]);
                    }
                }
                for (words, places) in words.iter().zip(places.chunks(LANES)) {
                    let mut rows = [V::zero(); LANES];
                    for (row, words) in rows.iter_mut().zip(words) {
                        *row = V::load(words);
                    }
                    for (row, place) in V::transpose(rows).into_iter().zip(places) {
                        let line = &mut lines[*place];
                        // SAFETY: a line is sixteen words.
                        unsafe { row.write(line.0.as_mut_ptr().cast(), LANES) }
                    }
                }
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
impl Kernel for Pack<'_> {
    #[inline(always)]
    fn run<V: Vector>(self) {
        match self.affine {
            Some((a, b)) => self.each::<V>(
                #[inline(always)]
                |c, x| x.affine_silu(V::splat(a[c]), V::splat(b[c])),
            ),
            None => self.each::<V>(
                #[inline(always)]
                |_, x| x,
            ),
        }
    }
}

/// Writes the sums of a block of channels and two tiles to their pixels.
#[cfg(target_arch = "x86_64")]
struct Store<'a> {
    /// `[position, half of the channels]`.
    sums: &'a [Lane; BLOCK * 2],
    runs: [&'a [Run]; 2],
    /// The result of image `number`.
    image: &'a mut [MaybeUninit<f32>],
    number: usize,
    pixels: usize,
    channels: std::ops::Range<usize>,
    around: &'a Around<'a>,
}

#[cfg(target_arch = "x86_64")]
impl Kernel for Store<'_> {
    #[inline(always)]
    fn run<V: Vector>(self) {
        let (around, all) = (self.around, self.image.len() / self.pixels);
        for (channels, first) in self.channels.clone().step_by(ROWS).enumerate() {
            let count = (self.channels.end - first).min(ROWS);
            let parameters = around.of_channels::<V>(self.number, first..first + count, all);
            for (half, runs) in self.runs.into_iter().enumerate() {
                let mut rows = [V::zero(); ROWS];
                for (position, row) in rows.iter_mut().enumerate() {
                    let sums = &self.sums[(half * ROWS + position) * 2 + channels];
                    *row = around.affine(V::load(sums), parameters);
                }
                for (channel, row) in V::transpose(rows).into_iter().enumerate().take(count) {
                    let plane = (first + channel) * self.pixels;
                    for run in runs {
                        let at = plane + run.pixel;
                        let residual =
                            around.residual_at(self.number * self.image.len() + at, run.count);
                        let values = match run.count {
                            LANES => row,
                            count => {
                                let mut lane = Lane::ZERO;
                                row.store(&mut lane);
                                V::read(&lane.0[run.from..][..count])
                            }
                        };
                        let values = around.add_residual(values, residual);
                        let to = &mut self.image[at..][..run.count];
                        // SAFETY: the slice has `count` values, sixteen at most.
                        unsafe { values.write(to.as_mut_ptr().cast(), run.count) }
                    }
                }
            }
        }
    }
}
