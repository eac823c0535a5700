//! 1x1 convolutions: a matrix product of the filters and the pixels, which stand side by side in memory already.

use rayon::prelude::*;

use crate::around::{Around, Source};
use crate::conv2d::Shape;
use crate::lanes::{Kernel, LANES, Lane, Shared, Vector, widest, with_scratch};

/// Vectors of neighbouring pixels, and channels, whose sums are held in registers.
const VECTORS: usize = 4;
const CHANNELS: usize = 6;

/// Pixels of a block: those of all channels stay in the second-level cache.
const PIXELS: usize = VECTORS * LANES;

/// Terms that are summed before they are added to the rest: a long sum of small terms loses more.
const TERMS: usize = 256;

/// Whether the convolution of `shape` is done here: with AVX-512, whose registers hold all sums.
pub(crate) fn wanted(shape: &Shape) -> bool {
    #[cfg(target_arch = "x86_64")]
    let fits = crate::simd::has_avx512();
    #[cfg(not(target_arch = "x86_64"))]
    let fits = false;
    fits && shape.is_pointwise()
}

/// `y = weight x` `[batch, out, pixel]` with what is `around` it; nothing is done `before`. `weight`: `[out, in]`.
pub(crate) fn forward(
    x: Source<'_>,
    weight: &[f32],
    around: Around<'_>,
    (batch, pixels): (usize, usize),
    (channels_in, channels_out): (usize, usize),
) -> Vec<f32> {
    assert!(around.before.is_none(), "applied by the caller");
    assert_eq!(weight.len(), channels_in * channels_out, "conv2d: filters");
    let count = batch * channels_out * pixels;
    let mut y = Vec::<f32>::with_capacity(count);
    let out = Shared(y.as_mut_ptr());
    let blocks = pixels.div_ceil(PIXELS);
    (0..batch * blocks).into_par_iter().for_each(|block| {
        with_scratch(channels_in * VECTORS, |scratch| {
            widest(Block {
                x,
                weight,
                around,
                image: block / blocks,
                first: block % blocks * PIXELS,
                pixels,
                channels: (channels_in, channels_out),
                scratch,
                out: &out,
            });
        });
    });
    // SAFETY: the blocks are all pixels of all images, and each wrote all of its channels.
    unsafe { y.set_len(count) };
    y
}

/// Gradient with respect to x: the same with the filters' transpose.
pub(crate) fn input_gradient(
    dy: Source<'_>,
    weight: &[f32],
    sizes: (usize, usize),
    (channels_in, channels_out): (usize, usize),
) -> Vec<f32> {
    let mut turned = vec![0f32; weight.len()];
    turned
        .par_chunks_exact_mut(channels_out)
        .enumerate()
        .for_each(|(i, row)| {
            for (value, filter) in row.iter_mut().zip(weight.chunks_exact(channels_in)) {
                *value = filter[i];
            }
        });
    let around = Around::default();
    forward(dy, &turned, around, sizes, (channels_out, channels_in))
}

/// Pixels `first..` of one image.
struct Block<'a> {
    x: Source<'a>,
    weight: &'a [f32],
    around: Around<'a>,
    image: usize,
    first: usize,
    /// Of the whole image.
    pixels: usize,
    channels: (usize, usize),
    /// `[channel in][vector]`.
    scratch: &'a mut [Lane],
    out: &'a Shared<f32>,
}

impl Kernel for Block<'_> {
    // Loops go by index, so that the sums stay in registers.
    #[allow(clippy::needless_range_loop)]
    #[inline(always)]
    fn run<V: Vector>(self) {
        let (channels_in, channels_out) = self.channels;
        let present = (self.pixels - self.first).min(PIXELS);
        for (channel, lanes) in self.scratch.chunks_exact_mut(VECTORS).enumerate() {
            let from = (self.image * channels_in + channel) * self.pixels + self.first;
            for (v, lane) in lanes.iter_mut().enumerate() {
                let count = present.saturating_sub(v * LANES).min(LANES);
                let values = match count {
                    0 => V::zero(),
                    _ => self.x.read::<V>(from + v * LANES, count, channel),
                };
                values.store(lane);
            }
        }
        for channel in (0..channels_out).step_by(CHANNELS) {
            let together = (channels_out - channel).min(CHANNELS);
            // Where there are fewer channels, the last one is summed again.
            let filters: [&[f32]; CHANNELS] = std::array::from_fn(|c| {
                &self.weight[(channel + c.min(together - 1)) * channels_in..][..channels_in]
            });
            let mut total = [[V::zero(); CHANNELS]; VECTORS];
            for (block, lanes) in self.scratch.chunks(TERMS * VECTORS).enumerate() {
                let mut part = [[V::zero(); CHANNELS]; VECTORS];
                for (i, lanes) in lanes.chunks_exact(VECTORS).enumerate() {
                    let values: [V; VECTORS] = std::array::from_fn(|v| V::load(&lanes[v]));
                    let i = block * TERMS + i;
                    for c in 0..CHANNELS {
                        // SAFETY: every filter has as many values as there are channels in the scratch.
                        let weight = V::splat(unsafe { *filters[c].get_unchecked(i) });
                        for v in 0..VECTORS {
                            part[v][c] = values[v].times_plus(weight, part[v][c]);
                        }
                    }
                }
                for v in 0..VECTORS {
                    for c in 0..CHANNELS {
                        total[v][c] = total[v][c] + part[v][c];
                    }
                }
            }
            for c in 0..together {
                let plane = self.image * channels_out + channel + c;
                let parameters = self
                    .around
                    .of_channel(self.image, channel + c, channels_out)
                    .map(V::splat);
                for v in 0..present.div_ceil(LANES) {
                    let count = (present - v * LANES).min(LANES);
                    let at = plane * self.pixels + self.first + v * LANES;
                    let value = self.around.affine(total[v][c], parameters);
                    let residual = self.around.residual_at(at, count);
                    let value = self.around.add_residual(value, residual);
                    // SAFETY: pixels of this block alone.
                    unsafe { self.out.write_values(at, value, count) }
                }
            }
        }
    }
}
