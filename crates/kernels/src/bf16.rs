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
    around::Around,
    lanes::{Kernel, LANES, Vector, widest},
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

    /// The pixels of the tile at `start`, as runs.
    fn runs(&self, start: usize) -> Vec<Run> {
        let ([height, width], line) = (self.size, self.line);
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

/// `y = conv(x, weight)` on the tiles with what is `around` it, all row-major.
#[cfg(target_arch = "x86_64")]
pub(crate) fn forward(x: &[f32], packed: &Packed, around: Around<'_>, shape: &Shape) -> Vec<f32> {
    let layout = Layout::of(shape);
    let offsets = layout.offsets(shape.kernel);
    let tiles: Vec<(usize, Vec<Run>)> = layout
        .tiles()
        .into_iter()
        .map(|start| (start, layout.runs(start)))
        .collect();
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
                    vec![0u32; layout.pairs * layout.row],
                    [vec![0f32; channels_in], vec![0f32; channels_in]],
                )
            },
            |(words, [a, b]), (n, (y, x))| {
                if let Some(before) = around.before {
                    before.affine(n, x, (a, b));
                }
                widest(Pack {
                    layout: &layout,
                    image: x,
                    words,
                    affine: around.before.map(|_| (a.as_slice(), b.as_slice())),
                });
                let tile_registers = Tiles::new().expect("only called where there are tiles");
                let mut sums = [0f32; BLOCK * BLOCK];
                for pair in tiles.chunks(2) {
                    // An odd last tile is computed twice.
                    let halves = [&pair[0], &pair[pair.len() - 1]];
                    let weights = packed.values.chunks_exact(offsets.len() * BLOCK * DEPTH);
                    for (block, weights) in weights.enumerate() {
                        let starts = halves.map(|(start, _)| *start);
                        tile_registers.product(
                            weights,
                            words,
                            (layout.row, &offsets, starts),
                            &mut sums,
                        );
                        let first = block * BLOCK;
                        widest(Store {
                            sums: &sums,
                            runs: halves.map(|(_, runs)| runs.as_slice()),
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

/// Writes an image into words whose border stays as it is, as `silu(x * a + b)` where there is an affine map.
#[cfg(target_arch = "x86_64")]
struct Pack<'a> {
    layout: &'a Layout,
    image: &'a [f32],
    words: &'a mut [u32],
    /// `[channel]` each.
    affine: Option<(&'a [f32], &'a [f32])>,
}

#[cfg(target_arch = "x86_64")]
impl Pack<'_> {
    #[inline(always)]
    fn each<V: Vector>(self, map: impl Fn(usize, V) -> V) {
        let Layout {
            border, line, row, ..
        } = *self.layout;
        let [height, width] = self.layout.size;
        let pixels = height * width;
        let channels = self.image.len() / pixels;
        for (pair, plane) in self.words.chunks_exact_mut(row).enumerate() {
            let (c, d) = (2 * pair, 2 * pair + 1);
            if c >= channels {
                break;
            }
            for y in 0..height {
                for x in (0..width).step_by(LANES) {
                    let (at, count) = (y * width + x, (width - x).min(LANES));
                    let read = |c: usize| V::read(&self.image[c * pixels + at..][..count]);
                    let low = map(c, read(c));
                    // A channel that is not there is zero.
                    let high = if d < channels {
                        map(d, read(d))
                    } else {
                        V::zero()
                    };
                    let to = &mut plane[(y + border) * line + border + x..][..count];
                    // SAFETY: the slice has `count` words, sixteen at most.
                    unsafe { V::write_bf16(low, high, to.as_mut_ptr(), count) }
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
    sums: &'a [f32; BLOCK * BLOCK],
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
        for (row, channel) in self.channels.enumerate() {
            let [scale, bias, offset] = around.of_channel(self.number, channel, all);
            let parameters = [V::splat(scale), V::splat(bias), V::splat(offset)];
            for (half, runs) in self.runs.into_iter().enumerate() {
                for run in runs {
                    let at = channel * self.pixels + run.pixel;
                    let sums = &self.sums[row * BLOCK + half * ROWS + run.from..][..run.count];
                    let residual =
                        around.residual_at(self.number * self.image.len() + at, run.count);
                    let values = around.affine(V::read(sums), parameters);
                    let values = around.add_residual(values, residual);
                    let to = &mut self.image[at..][..run.count];
                    // SAFETY: the slice has `count` values, sixteen at most.
                    unsafe { values.write(to.as_mut_ptr().cast(), run.count) }
                }
            }
        }
    }
}
