//! Convolution by its definition: for filters that step over pixels, and for so few channels that Winograd's lanes would stand
//! empty. Sixteen output channels stand side by side, and eight pixels are summed at once; or, where there are fewer channels
//! and the filter moves pixel by pixel, sixteen neighbouring pixels.

use rayon::prelude::*;

use crate::around::{Around, Source};
use crate::conv2d::Shape;
use crate::lanes::{Kernel, LANES, Lane, Vector, flat, flat_mut, scatter, widest, with_scratch};
use crate::transformed::Filters;

/// Pixels whose sums are held in registers, for two groups of channels.
const PIXELS: usize = 8;

/// Groups of channels that are summed together.
const GROUPS: usize = 2;

/// Vectors of neighbouring pixels whose sums are held in registers, for three channels.
const VECTORS: usize = 8;

/// Channels that are summed together over neighbouring pixels.
const CHANNELS: usize = 3;

/// Terms that are summed before they are added to the rest: a long sum of small terms loses more.
const TERMS: usize = 256;

/// Whether the convolution of `shape`, or its input gradient (`turned`), is done here: with AVX-512, whose registers hold all
/// sums, and where the lanes do not stand empty.
pub(crate) fn wanted(shape: &Shape, turned: bool) -> bool {
    let channels = match turned {
        false => shape.channels_out,
        true => shape.channels_in,
    };
    #[cfg(target_arch = "x86_64")]
    let fits = crate::simd::has_avx512();
    #[cfg(not(target_arch = "x86_64"))]
    let fits = false;
    let filled = channels >= LANES || shape.stride == [1, 1];
    fits && filled && !shape.is_pointwise()
}

/// `y = conv(x, weight)` with what is `around` it, all row-major; nothing is done `before`.
pub(crate) fn forward(
    x: &[f32],
    filters: Filters<'_>,
    around: Around<'_>,
    shape: &Shape,
) -> Vec<f32> {
    let plan = filters.direct(shape, false);
    plan.run(Source::Plain(x), around, shape.batch)
}

/// Gradient with respect to x.
pub(crate) fn input_gradient(dy: Source<'_>, filters: Filters<'_>, shape: &Shape) -> Vec<f32> {
    let plan = filters.direct(shape, true);
    plan.run(dy, Around::default(), shape.batch)
}

/// Outputs that see the same taps: all of them, or, in an input gradient, every pixel at the same place between two steps of
/// the filter.
struct Phase {
    /// How far behind an output's first value the value of each tap is.
    taps: Vec<usize>,
    weights: Weights,
    /// The first value of each output in a padded plane, and the output's place in its own plane.
    outputs: Vec<(usize, usize)>,
}

enum Weights {
    /// `[pair of groups][channel in][tap][group of the pair]`.
    Channels(Vec<Lane>),
    /// `[channel out][channel in][tap]`, where pixels stand side by side.
    Pixels(Vec<f32>),
}

/// A convolution as sums over padded planes.
pub(crate) struct Plan {
    channels_in: usize,
    channels_out: usize,
    /// Height and width of what comes in.
    input: [usize; 2],
    /// Zeros above and to the left.
    before: [usize; 2],
    /// Height and width with the zeros around.
    padded: [usize; 2],
    pixels_out: usize,
    phases: Vec<Phase>,
}

impl Plan {
    /// That of `shape`, whatever its batch.
    pub fn forward(shape: &Shape, weight: &[f32]) -> Self {
        let [high, wide] = shape.output();
        let padded: [usize; 2] = std::array::from_fn(|d| shape.input[d] + 2 * shape.padding[d]);
        let outputs = (0..high * wide).map(|place| {
            let (y, x) = (place / wide, place % wide);
            let first = y * shape.stride[0] * padded[1] + x * shape.stride[1];
            (first, place)
        });
        let tap = |ky: usize, kx: usize| ky * padded[1] + kx;
        let [kh, kw] = shape.kernel;
        let taps = (0..kh).flat_map(|ky| (0..kw).map(move |kx| tap(ky, kx)));
        let filter = kh * kw;
        let all: Vec<usize> = (0..filter).collect();
        let channels = (shape.channels_in, shape.channels_out);
        Self {
            channels_in: shape.channels_in,
            channels_out: shape.channels_out,
            input: shape.input,
            before: shape.padding,
            padded,
            pixels_out: high * wide,
            phases: vec![Phase {
                taps: taps.collect(),
                weights: pack(channels, &all, |o, i, k| {
                    weight[(o * channels.0 + i) * filter + k]
                }),
                outputs: outputs.collect(),
            }],
        }
    }

    /// The input gradient as a convolution of `dy`: pixel `stride * a + p` takes from output `a + (p + padding - k) / stride`
    /// for every tap `k` for which that is a whole number.
    pub fn turned(shape: &Shape, weight: &[f32]) -> Self {
        let input = shape.output();
        // For each place between two steps: the taps, and the distance of the outputs that they take from.
        let reach: [Vec<Vec<(usize, isize)>>; 2] = std::array::from_fn(|d| {
            let (stride, padding) = (shape.stride[d] as isize, shape.padding[d] as isize);
            let of = |p: isize| {
                let taps = (0..shape.kernel[d]).map(|k| (k, p + padding - k as isize));
                taps.filter(|(_, from)| from % stride == 0)
                    .map(|(k, from)| (k, from / stride))
                    .collect()
            };
            (0..stride).map(of).collect()
        });
        let before: [usize; 2] = std::array::from_fn(|d| {
            let distances = reach[d].iter().flatten().map(|(_, distance)| -distance);
            distances.max().unwrap_or(0).max(0) as usize
        });
        let padded: [usize; 2] = std::array::from_fn(|d| {
            let last = (shape.input[d] - 1) / shape.stride[d];
            let distances = reach[d].iter().flatten().map(|(_, distance)| *distance);
            let reached = last + distances.max().unwrap_or(0).max(0) as usize + 1;
            before[d] + reached.max(input[d])
        });
        let filter = shape.kernel[0] * shape.kernel[1];
        let channels = (shape.channels_out, shape.channels_in);
        let mut phases = Vec::new();
        for (py, rows) in reach[0].iter().enumerate() {
            for (px, columns) in reach[1].iter().enumerate() {
                let least = |taps: &[(usize, isize)]| taps.iter().map(|(_, d)| *d).min();
                let top = least(rows).unwrap_or(0);
                let left = least(columns).unwrap_or(0);
                let pairs = || {
                    rows.iter()
                        .flat_map(|row| columns.iter().map(move |c| (row, c)))
                };
                let taps = pairs().map(|((_, dy), (_, dx))| {
                    (dy - top) as usize * padded[1] + (dx - left) as usize
                });
                let filters: Vec<usize> = pairs()
                    .map(|((ky, _), (kx, _))| ky * shape.kernel[1] + kx)
                    .collect();
                let first = |a: usize, before: usize, least: isize| {
                    (a + before).checked_add_signed(least).unwrap_or(0)
                };
                let outputs = (py..shape.input[0]).step_by(shape.stride[0]).enumerate();
                let outputs = outputs.flat_map(|(a, y)| {
                    let row = first(a, before[0], top) * padded[1];
                    let along = (px..shape.input[1]).step_by(shape.stride[1]).enumerate();
                    along.map(move |(b, x)| {
                        (row + first(b, before[1], left), y * shape.input[1] + x)
                    })
                });
                phases.push(Phase {
                    taps: taps.collect(),
                    weights: pack(channels, &filters, |i, o, k| {
                        weight[(o * channels.1 + i) * filter + k]
                    }),
                    outputs: outputs.collect(),
                });
            }
        }
        Self {
            channels_in: channels.0,
            channels_out: channels.1,
            input,
            before,
            padded,
            pixels_out: shape.input[0] * shape.input[1],
            phases,
        }
    }

    /// Memory that it takes.
    pub fn bytes(&self) -> usize {
        let of = |phase: &Phase| {
            size_of_val(&*phase.taps)
                + size_of_val(&*phase.outputs)
                + match &phase.weights {
                    Weights::Channels(lanes) => size_of_val(&**lanes),
                    Weights::Pixels(values) => size_of_val(&**values),
                }
        };
        self.phases.iter().map(of).sum()
    }

    /// The sums of `batch` images with what is `around` them, all row-major; nothing is done `before`.
    fn run(&self, x: Source<'_>, around: Around<'_>, batch: usize) -> Vec<f32> {
        assert!(around.before.is_none(), "applied by the caller");
        let plane = self.padded[0] * self.padded[1];
        for phase in &self.phases {
            let reach = phase.taps.iter().max();
            let fits = |(first, place): &(usize, usize)| {
                reach.is_none_or(|reach| first + reach < plane) && *place < self.pixels_out
            };
            // What the sums below rely on.
            assert!(phase.outputs.iter().all(fits), "conv2d: outside the image");
        }
        let image_out = self.channels_out * self.pixels_out;
        let mut y = Vec::with_capacity(batch * image_out);
        let out = &mut y.spare_capacity_mut()[..batch * image_out];
        // Vectors of pixels are read past the last plane's end.
        let lanes = (self.channels_in * plane).div_ceil(LANES) + VECTORS;
        let sums = (GROUPS * self.pixels_out).max(CHANNELS * (plane.div_ceil(LANES) + VECTORS));
        out.par_chunks_exact_mut(image_out)
            .enumerate()
            .for_each(|(image, out)| {
                with_scratch(lanes + sums, |scratch| {
                    let (padded, sums) = scratch.split_at_mut(lanes);
                    widest(Image {
                        plan: self,
                        around,
                        image,
                        x,
                        padded: flat_mut(padded),
                        sums,
                        out: out.as_mut_ptr().cast(),
                    });
                });
            });
        // SAFETY: every image wrote all of its values: the outputs of the phases are all pixels, of all channels.
        unsafe { y.set_len(batch * image_out) };
        y
    }
}

/// Weights for [`Phase`]: of output channel, input channel and tap.
fn pack(
    (channels_in, channels_out): (usize, usize),
    taps: &[usize],
    weight: impl Fn(usize, usize, usize) -> f32,
) -> Weights {
    let depth = channels_in * taps.len();
    if channels_out < LANES {
        let of = |o: usize| (0..channels_in).map(move |i| (o, i));
        let filters = (0..channels_out).flat_map(of);
        let values = filters.flat_map(|(o, i)| taps.iter().map(move |tap| (o, i, *tap)));
        return Weights::Pixels(values.map(|(o, i, tap)| weight(o, i, tap)).collect());
    }
    let groups = channels_out.div_ceil(LANES);
    let mut packed = vec![Lane::ZERO; groups * depth];
    for o in 0..channels_out {
        let (group, lane) = (o / LANES, o % LANES);
        let pair = group / GROUPS * GROUPS;
        let together = (groups - pair).min(GROUPS);
        for i in 0..channels_in {
            for (t, tap) in taps.iter().enumerate() {
                let at = pair * depth + (i * taps.len() + t) * together + group - pair;
                packed[at].0[lane] = weight(o, i, *tap);
            }
        }
    }
    Weights::Channels(packed)
}

/// One image.
struct Image<'a> {
    plan: &'a Plan,
    around: Around<'a>,
    /// Its number in the batch.
    image: usize,
    x: Source<'a>,
    /// `[channel in, padded height, padded width]`, and some more.
    padded: &'a mut [f32],
    /// `[pixel out][group of the pair]`, or `[channel, padded pixel]`.
    sums: &'a mut [Lane],
    out: *mut f32,
}

impl Kernel for Image<'_> {
    #[inline(always)]
    fn run<V: Vector>(self) {
        let plan = self.plan;
        let plane = plan.padded[0] * plan.padded[1];
        let [high, wide] = plan.input;
        self.padded.fill(0.0);
        let first = self.image * plan.channels_in * high * wide;
        let planes = self.padded.chunks_exact_mut(plane).take(plan.channels_in);
        for (channel, padded) in planes.enumerate() {
            let rows = padded.chunks_exact_mut(plan.padded[1]).skip(plan.before[0]);
            for (y, row) in rows.take(high).enumerate() {
                let from = first + (channel * high + y) * wide;
                let row = &mut row[plan.before[1]..][..wide];
                for (i, to) in row.chunks_mut(LANES).enumerate() {
                    let values = self.x.read::<V>(from + i * LANES, to.len(), channel);
                    // SAFETY: the chunk has so many values.
                    unsafe { values.write(to.as_mut_ptr(), to.len()) }
                }
            }
        }
        match plan.channels_out < LANES {
            true => self.by_pixels::<V>(),
            false => self.by_channels::<V>(),
        }
    }
}

impl Image<'_> {
    /// Sixteen channels side by side.
    #[inline(always)]
    fn by_channels<V: Vector>(self) {
        let (plan, around) = (self.plan, self.around);
        let plane = plan.padded[0] * plan.padded[1];
        let padded = &self.padded[..plan.channels_in * plane];
        let groups = plan.channels_out.div_ceil(LANES);
        for pair in (0..groups).step_by(GROUPS) {
            let together = (groups - pair).min(GROUPS);
            for phase in &plan.phases {
                let Weights::Channels(weights) = &phase.weights else {
                    continue;
                };
                let depth = plan.channels_in * phase.taps.len();
                let weights = &weights[pair * depth..][..together * depth];
                match together {
                    GROUPS => phase.sum::<V, GROUPS>(padded, plane, weights, self.sums),
                    _ => phase.sum::<V, 1>(padded, plane, weights, self.sums),
                }
            }
            for group in 0..together {
                let first = (pair + group) * LANES;
                let present = (plan.channels_out - first).min(LANES);
                let own = |values: Option<&[f32]>, image: usize| match values {
                    Some(values) => {
                        V::read(&values[image * plan.channels_out + first..][..present])
                    }
                    None => V::zero(),
                };
                let parameters = [
                    own(around.scale, 0),
                    own(around.bias, 0),
                    own(around.offset, self.image),
                ];
                let mut pixel = 0;
                scatter::<V>(
                    present,
                    (0, plan.pixels_out),
                    #[inline(always)]
                    || {
                        let value = V::load(&self.sums[pixel * together + group]);
                        pixel += 1;
                        around.affine(value, parameters)
                    },
                    #[inline(always)]
                    |channel, p, values, count| {
                        // SAFETY: inside the image's own values.
                        unsafe {
                            self.write((first + channel) * plan.pixels_out + p, values, count)
                        }
                    },
                );
            }
        }
    }

    /// Sixteen neighbouring pixels side by side, of filters that move pixel by pixel: so there is one phase, and outputs that
    /// are neighbours take from neighbours.
    #[inline(always)]
    fn by_pixels<V: Vector>(self) {
        let (plan, around) = (self.plan, self.around);
        let Some(Phase {
            taps,
            weights: Weights::Pixels(weights),
            outputs,
        }) = plan.phases.first()
        else {
            return;
        };
        let (Some((first, _)), Some((last, _))) = (outputs.first(), outputs.last()) else {
            return;
        };
        let plane = plan.padded[0] * plan.padded[1];
        let depth = plan.channels_in * taps.len();
        let high = (last - first) / plan.padded[1] + 1;
        let wide = plan.pixels_out / high;
        let pitch = (last - first + 1).div_ceil(LANES) + VECTORS;
        for channel in (0..plan.channels_out).step_by(CHANNELS) {
            let together = (plan.channels_out - channel).min(CHANNELS);
            let weights = &weights[channel * depth..][..together * depth];
            let (from, to) = ((*first, *last), &mut *self.sums);
            match together {
                CHANNELS => {
                    along::<V, CHANNELS>(self.padded, plane, taps, weights, from, (to, pitch))
                }
                2 => along::<V, 2>(self.padded, plane, taps, weights, from, (to, pitch)),
                _ => along::<V, 1>(self.padded, plane, taps, weights, from, (to, pitch)),
            }
            for c in 0..together {
                let sums = &flat(self.sums)[c * pitch * LANES..];
                let parameters = around.of_channel(self.image, channel + c, plan.channels_out);
                let parameters = parameters.map(V::splat);
                for y in 0..high {
                    let row = &sums[y * plan.padded[1]..][..wide];
                    for (i, values) in row.chunks(LANES).enumerate() {
                        let at = (channel + c) * plan.pixels_out + y * wide + i * LANES;
                        let value = around.affine(V::read(values), parameters);
                        // SAFETY: inside the image's own values.
                        unsafe { self.write(at, value, values.len()) }
                    }
                }
            }
        }
    }

    /// Adds the residual, and writes the first `count` of `values` to the place `at` of the image.
    ///
    /// # Safety
    /// They are inside the image.
    #[inline(always)]
    unsafe fn write<V: Vector>(&self, at: usize, values: V, count: usize) {
        let whole = self.image * self.plan.channels_out * self.plan.pixels_out + at;
        let residual = self.around.residual_at(whole, count);
        let values = self.around.add_residual(values, residual);
        // SAFETY: the caller's promise.
        unsafe { values.write(self.out.add(at), count) }
    }
}

/// The sums of `C` channels at all values `from.0..=from.1` of a padded plane, `[channel][value]`, `to.1` lanes a channel.
// Loops go by index, so that the sums stay in registers.
#[allow(clippy::needless_range_loop)]
#[inline(always)]
fn along<V: Vector, const C: usize>(
    padded: &[f32],
    plane: usize,
    taps: &[usize],
    weights: &[f32],
    from: (usize, usize),
    to: (&mut [Lane], usize),
) {
    let depth = weights.len() / C;
    let channels = depth / taps.len().max(1);
    for (block, start) in (from.0..=from.1).step_by(VECTORS * LANES).enumerate() {
        let mut total = [[V::zero(); C]; VECTORS];
        let together = (TERMS / taps.len().max(1)).max(1);
        for first in (0..channels).step_by(together) {
            let mut part = [[V::zero(); C]; VECTORS];
            for channel in first..channels.min(first + together) {
                for (t, tap) in taps.iter().enumerate() {
                    let weight: [V; C] = std::array::from_fn(|c| {
                        V::splat(weights[c * depth + channel * taps.len() + t])
                    });
                    let values = &padded[channel * plane + start + tap..][..VECTORS * LANES];
                    for v in 0..VECTORS {
                        let value = V::read(&values[v * LANES..][..LANES]);
                        for c in 0..C {
                            part[v][c] = value.times_plus(weight[c], part[v][c]);
                        }
                    }
                }
            }
            for v in 0..VECTORS {
                for c in 0..C {
                    total[v][c] = total[v][c] + part[v][c];
                }
            }
        }
        for v in 0..VECTORS {
            for c in 0..C {
                total[v][c].store(&mut to.0[c * to.1 + block * VECTORS + v]);
            }
        }
    }
}

impl Phase {
    /// The sums of `G` groups at every output of the phase, `[pixel][group]`.
    #[inline(always)]
    fn sum<V: Vector, const G: usize>(
        &self,
        padded: &[f32],
        plane: usize,
        weights: &[Lane],
        sums: &mut [Lane],
    ) {
        for outputs in self.outputs.chunks(PIXELS) {
            // Where there are fewer, the last one is done again.
            let from: [usize; PIXELS] =
                std::array::from_fn(|p| outputs[p.min(outputs.len() - 1)].0);
            let mut total = [[V::zero(); G]; PIXELS];
            let mut weights = weights.chunks_exact(G);
            let together = (TERMS / self.taps.len().max(1)).max(1) * plane;
            for planes in padded.chunks(together) {
                let mut part = [[V::zero(); G]; PIXELS];
                for plane in planes.chunks_exact(plane) {
                    for (tap, weight) in self.taps.iter().zip(&mut weights) {
                        let weight: [V; G] = std::array::from_fn(|g| V::load(&weight[g]));
                        // By index, so that the sums stay in registers.
                        for p in 0..PIXELS {
                            // SAFETY: `Plan::run` looked that every output's taps are inside a plane.
                            let value = V::splat(unsafe { *plane.get_unchecked(from[p] + tap) });
                            for g in 0..G {
                                part[p][g] = value.times_plus(weight[g], part[p][g]);
                            }
                        }
                    }
                }
                for p in 0..PIXELS {
                    for g in 0..G {
                        total[p][g] = total[p][g] + part[p][g];
                    }
                }
            }
            for (p, (_, place)) in outputs.iter().enumerate() {
                for g in 0..G {
                    total[p][g].store(&mut sums[place * G + g]);
                }
            }
        }
    }
}
