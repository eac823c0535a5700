//! Winograd's minimal filtering for 3x3 convolutions with stride 1 and padding 1 (Lavin & Gray 2016): tiles of
//! the image and the filters are transformed, multiplied tap by tap, and transformed back.
//!
//! F(4x4, 3x3) needs a quarter of the multiplications of the direct convolution, F(2x2, 3x3) 4/9 of them. The points
//! are 0, ±1, ±2 and infinity, or 0, ±1 and infinity.
//!
//! Layout: inside, sixteen channels stand next to each other ([`Lane`]), so every transform works on whole registers
//! whatever the image's size, and the matrix products find their operands packed. One thread takes one unit of tiles
//! through all three steps, while its transformed data stay in the second-level cache.

use std::cell::RefCell;

use rayon::prelude::*;

use crate::conv3x3::Shape;
use crate::lanes::{LANES, Lane, flat, flat_mut, gather, scatter};
use crate::matmul::matmul_into;
use crate::products::panel;
use crate::simd::vectorised;

/// Rows of a packed panel of transformed weights: the height of the matrix product's widest micro-kernel.
const PANEL: usize = 64;

/// Bytes of transformed tiles that a unit should hold at most: they stay in a core's second-level cache.
const UNIT_BYTES: usize = 768 << 10;

/// Tiles of one unit: fewer would read the transformed weights too often, which are larger than a cache where the channels
/// are many; more gain nothing.
const UNIT_TILES: std::ops::RangeInclusive<usize> = 32..=48;

/// Tiles whose products the weight gradient sums at once.
const GRADIENT_TILES: usize = 512;

/// Output pixels a tile has in one direction, `M`, and its taps, `A = M + 2`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Tile {
    /// F(2x2, 3x3).
    Two,
    /// F(4x4, 3x3).
    Four,
}

/// `B^T d` in one direction.
#[inline(always)]
fn to_taps<const A: usize>(d: [Lane; A]) -> [Lane; A] {
    let mut t = [Lane::ZERO; A];
    if A == 4 {
        t[0] = d[0] - d[2];
        t[1] = d[1] + d[2];
        t[2] = d[2] - d[1];
        t[3] = d[1] - d[3];
    } else {
        let (even, odd) = (d[4] - d[2] * 4.0, d[3] - d[1] * 4.0);
        let (even2, odd2) = (d[4] - d[2], (d[3] - d[1]) * 2.0);
        t[0] = (d[0] - d[2]) * 4.0 + (d[4] - d[2]);
        t[1] = even + odd;
        t[2] = even - odd;
        t[3] = even2 + odd2;
        t[4] = even2 - odd2;
        t[5] = (d[1] - d[3]) * 4.0 + (d[5] - d[3]);
    }
    t
}

/// `G g` in one direction.
#[inline(always)]
fn filter_to_taps<const A: usize>(g: [Lane; 3]) -> [Lane; A] {
    let mut t = [Lane::ZERO; A];
    let even = g[0] + g[2];
    t[0] = g[0];
    t[A - 1] = g[2];
    if A == 4 {
        t[1] = (even + g[1]) * 0.5;
        t[2] = (even - g[1]) * 0.5;
    } else {
        let (even2, odd2) = (g[0] + g[2] * 4.0, g[1] * 2.0);
        t[0] = g[0] * 0.25;
        t[1] = (even + g[1]) * (-1.0 / 6.0);
        t[2] = (even - g[1]) * (-1.0 / 6.0);
        t[3] = (even2 + odd2) * (1.0 / 24.0);
        t[4] = (even2 - odd2) * (1.0 / 24.0);
    }
    t
}

/// `A^T m` in one direction.
#[inline(always)]
fn from_taps<const M: usize, const A: usize>(m: [Lane; A]) -> [Lane; M] {
    let mut y = [Lane::ZERO; M];
    let (sum, difference) = (m[1] + m[2], m[1] - m[2]);
    if A == 4 {
        y[0] = m[0] + sum;
        y[1] = difference - m[3];
    } else {
        let (sum2, difference2) = (m[3] + m[4], m[3] - m[4]);
        y[0] = m[0] + sum + sum2;
        y[1] = difference + difference2 * 2.0;
        y[2] = sum + sum2 * 4.0;
        y[M - 1] = difference + difference2 * 8.0 + m[5];
    }
    y
}

/// F(3x3, 4x4), for the weight gradient: the four output gradients of a tile in one direction, as a filter.
#[inline(always)]
fn gradient_to_taps(g: [Lane; 4]) -> [Lane; 6] {
    let (even, odd) = (g[0] + g[2], g[1] + g[3]);
    let (even2, odd2) = (g[0] + g[2] * 4.0, g[1] * 2.0 + g[3] * 8.0);
    [
        g[0] * 0.25,
        (even + odd) * (-1.0 / 6.0),
        (even - odd) * (-1.0 / 6.0),
        (even2 + odd2) * (1.0 / 24.0),
        (even2 - odd2) * (1.0 / 24.0),
        g[3],
    ]
}

/// F(3x3, 4x4): the three taps of the weight's gradient in one direction.
#[inline(always)]
fn weight_from_taps(m: [Lane; 6]) -> [Lane; 3] {
    let (sum, difference) = (m[1] + m[2], m[1] - m[2]);
    let (sum2, difference2) = (m[3] + m[4], m[3] - m[4]);
    [
        m[0] + sum + sum2,
        difference + difference2 * 2.0,
        sum + sum2 * 4.0 + m[5],
    ]
}

/// Applies `f` to the columns and then to the rows of a square.
#[inline(always)]
fn both<const I: usize, const O: usize>(
    square: &[[Lane; I]; I],
    f: impl Fn([Lane; I]) -> [Lane; O],
) -> [[Lane; O]; O] {
    let mut half = [[Lane::ZERO; I]; O];
    for j in 0..I {
        let column = f(std::array::from_fn(|i| square[i][j]));
        for i in 0..O {
            half[i][j] = column[i];
        }
    }
    let mut out = [[Lane::ZERO; O]; O];
    for i in 0..O {
        out[i] = f(half[i]);
    }
    out
}

/// Transformed weights, packed for the matrix product: `[tap][panel][in][channels of the panel]`.
#[derive(Debug)]
pub(crate) struct Weights {
    tile: Tile,
    values: Vec<Lane>,
    channels_in: usize,
    channels_out: usize,
}

impl Weights {
    /// Transforms `weight` `[out, in, 3, 3]` with (in, out) `channels`, for the forward pass or (`turned`) for the input
    /// gradient.
    pub fn of(weight: &[f32], (i, o): (usize, usize), tile: Tile, turned: bool) -> Self {
        if turned {
            Self::turned(weight, i, o, tile)
        } else {
            Self::forward(weight, i, o, tile)
        }
    }

    /// Bytes that the transformed weights take.
    pub fn bytes(&self) -> usize {
        self.values.len() * size_of::<Lane>()
    }

    /// Transforms `weight` `[out, in, 3, 3]`.
    pub fn forward(weight: &[f32], channels_in: usize, channels_out: usize, tile: Tile) -> Self {
        Self::new(tile, channels_in, channels_out, |group, count, filters| {
            let from = group * LANES * channels_in * 9;
            gather(
                &weight[from..],
                channels_in * 9,
                count,
                (0, channels_in * 9),
                |k, lane| filters[k] = lane,
            );
        })
    }

    /// Transforms `weight` `[out, in, 3, 3]` for the input gradient: turned by 180 degrees, channels swapped.
    pub fn turned(weight: &[f32], channels_in: usize, channels_out: usize, tile: Tile) -> Self {
        Self::new(tile, channels_out, channels_in, |group, count, filters| {
            for o in 0..channels_out {
                let from = (o * channels_in + group * LANES) * 9;
                let values = &weight[from..][..count * 9];
                let filter = &mut filters[o * 9..(o + 1) * 9];
                for (l, values) in values.chunks_exact(9).enumerate() {
                    for (k, value) in values.iter().enumerate() {
                        filter[8 - k].0[l] = *value;
                    }
                }
            }
        })
    }

    /// Lanes from one tap to the next: one more than the data, so that the taps of a filter do not all fall into one
    /// set of the cache.
    fn tap(channels_in: usize, groups: usize) -> usize {
        groups * channels_in + 1
    }

    /// `read` fills the filters `[in * 9]` of one group of output channels.
    fn new(
        tile: Tile,
        channels_in: usize,
        channels_out: usize,
        read: impl Fn(usize, usize, &mut [Lane]) + Sync,
    ) -> Self {
        match tile {
            Tile::Two => Self::transform::<4>(tile, channels_in, channels_out, read),
            Tile::Four => Self::transform::<6>(tile, channels_in, channels_out, read),
        }
    }

    fn transform<const A: usize>(
        tile: Tile,
        channels_in: usize,
        channels_out: usize,
        read: impl Fn(usize, usize, &mut [Lane]) + Sync,
    ) -> Self {
        let groups = channels_out.div_ceil(LANES);
        let tap = Self::tap(channels_in, groups);
        let mut values = vec![Lane::ZERO; A * A * tap];
        let shared = Shared(values.as_mut_ptr());
        (0..groups).into_par_iter().for_each(|group| {
            let shared = &shared;
            vectorised(
                #[inline(always)]
                || {
                    let count = (channels_out - group * LANES).min(LANES);
                    let mut filters = vec![Lane::ZERO; channels_in * 9];
                    read(group, count, &mut filters);
                    let panel = group / (PANEL / LANES);
                    let first = panel * (PANEL / LANES);
                    let width = (groups - first).min(PANEL / LANES);
                    for i in 0..channels_in {
                        let filter: &[Lane; 9] = filters[i * 9..(i + 1) * 9]
                            .try_into()
                            .expect("nine values a filter");
                        let square =
                            std::array::from_fn(|y| std::array::from_fn(|x| filter[3 * y + x]));
                        let taps = both::<3, A>(&square, filter_to_taps);
                        let at = first * channels_in + i * width + group - first;
                        for (y, row) in taps.iter().enumerate() {
                            for (x, value) in row.iter().enumerate() {
                                // SAFETY: below A * A * tap; each group writes its own lanes alone.
                                unsafe { shared.write((y * A + x) * tap + at, *value) }
                            }
                        }
                    }
                },
            );
        });
        Self {
            tile,
            values,
            channels_in,
            channels_out,
        }
    }
}

/// A buffer that several threads write at places of their own.
struct Shared<T>(*mut T);

// SAFETY: `write` is unsafe and asks for disjoint places.
unsafe impl<T: Send> Sync for Shared<T> {}

impl<T> Shared<T> {
    /// # Safety
    /// `at` is inside the buffer, and no other thread reads or writes it.
    #[inline(always)]
    unsafe fn write(&self, at: usize, value: T) {
        // SAFETY: the caller's promise.
        unsafe { self.0.add(at).write(value) }
    }
}

impl Shared<f32> {
    /// # Safety
    /// `at .. at + values.len()` is inside the buffer, and no other thread reads or writes it.
    #[inline(always)]
    unsafe fn copy(&self, at: usize, values: &[f32]) {
        // SAFETY: the caller's promise; `values` is borrowed, so it cannot overlap.
        unsafe { std::ptr::copy_nonoverlapping(values.as_ptr(), self.0.add(at), values.len()) }
    }
}

/// How the images of one convolution are cut into tiles.
#[derive(Clone, Copy, Debug)]
struct Grid {
    side: usize,
    rows: usize,
    columns: usize,
    height: usize,
    width: usize,
}

/// Rows of tiles `from..to` of one image, whose first tile is number `first` of its unit.
#[derive(Clone, Copy, Debug)]
struct Span {
    image: usize,
    from: usize,
    to: usize,
    first: usize,
}

impl Grid {
    fn new(shape: &Shape, side: usize) -> Self {
        Self {
            side,
            rows: shape.height.div_ceil(side),
            columns: shape.width.div_ceil(side),
            height: shape.height,
            width: shape.width,
        }
    }

    /// The spans of the rows of tiles `from..to`, counted through all images.
    fn spans(self, from: usize, to: usize) -> impl Iterator<Item = Span> {
        let mut row = from;
        std::iter::from_fn(move || {
            (row < to).then(|| {
                let image = row / self.rows;
                let start = row % self.rows;
                let end = (start + to - row).min(self.rows);
                let first = (row - from) * self.columns;
                row += end - start;
                Span {
                    image,
                    from: start,
                    to: end,
                    first,
                }
            })
        })
    }

    /// Width of a patch: a row of tiles and the pixel to the left and right of it.
    fn patch_width(self) -> usize {
        self.columns * self.side + 2
    }

    /// Lanes of the patch under `rows` rows of tiles.
    fn patch(self, rows: usize) -> usize {
        (rows * self.side + 2) * self.patch_width()
    }

    /// Copies up to sixteen channels of the pixels under a span, with a border of one pixel, into `patch`.
    #[inline(always)]
    fn read(self, image: &[f32], count: usize, span: Span, patch: &mut [Lane]) {
        let pitch = self.patch_width();
        let top = span.from * self.side;
        let rows = (span.to - span.from) * self.side + 2;
        let first = top.max(1) - 1;
        let last = (top + rows - 1).min(self.height);
        patch[..rows * pitch].fill(Lane::ZERO);
        let (mut at, mut column) = ((first + 1 - top) * pitch + 1, 0);
        gather(
            image,
            self.height * self.width,
            count,
            (first * self.width, last * self.width),
            |_, lane| {
                patch[at + column] = lane;
                column += 1;
                if column == self.width {
                    column = 0;
                    at += pitch;
                }
            },
        );
    }
}

/// `A x A` values of `patch` from `at` on.
#[inline(always)]
fn square<const A: usize>(patch: &[Lane], at: usize, pitch: usize) -> [[Lane; A]; A] {
    std::array::from_fn(|y| {
        let row = &patch[at + y * pitch..][..A];
        std::array::from_fn(|x| row[x])
    })
}

thread_local! {
    static SCRATCH: RefCell<Vec<Lane>> = const { RefCell::new(Vec::new()) };
}

/// Lends `f` a buffer of this thread, whose contents are what the last user left.
fn with_scratch<R>(lanes: usize, f: impl FnOnce(&mut [Lane]) -> R) -> R {
    let mut buffer = SCRATCH.take();
    if buffer.len() < lanes {
        buffer.resize(lanes, Lane::ZERO);
    }
    let result = f(&mut buffer[..lanes]);
    SCRATCH.set(buffer);
    result
}

/// `y = conv(x, weight) + bias`; `x` and the result row-major.
pub(crate) fn forward(
    x: &[f32],
    weights: &Weights,
    bias: Option<&[f32]>,
    shape: Shape,
) -> Vec<f32> {
    assert_eq!(
        (weights.channels_in, weights.channels_out),
        (shape.channels_in, shape.channels_out)
    );
    match weights.tile {
        Tile::Two => forward_by::<2, 4>(x, weights, bias, shape),
        Tile::Four => forward_by::<4, 6>(x, weights, bias, shape),
    }
}

fn forward_by<const M: usize, const A: usize>(
    x: &[f32],
    weights: &Weights,
    bias: Option<&[f32]>,
    shape: Shape,
) -> Vec<f32> {
    let grid = Grid::new(&shape, M);
    let pixels = shape.height * shape.width;
    let groups_in = shape.channels_in.div_ceil(LANES);
    let groups_out = shape.channels_out.div_ceil(LANES);
    let rows = shape.batch * grid.rows;

    let tile_bytes = A * A * (groups_in + groups_out) * size_of::<Lane>();
    let tiles = (UNIT_BYTES / tile_bytes).clamp(*UNIT_TILES.start(), *UNIT_TILES.end());
    let unit_rows = (tiles / grid.columns).clamp(1, rows.div_ceil(rayon::current_num_threads()));
    let unit_tiles = unit_rows * grid.columns;

    // One lane more than the data, as in `Weights::tap`.
    let tap_in = unit_tiles * groups_in + 1;
    let tap_out = unit_tiles * groups_out + 1;
    let span_rows = unit_rows.min(grid.rows);
    let patch = grid.patch(span_rows);

    let mut y = Vec::<f32>::with_capacity(shape.batch * shape.channels_out * pixels);
    let out = Shared(y.as_mut_ptr());
    let work = |unit: usize| {
        let (from, to) = (unit * unit_rows, ((unit + 1) * unit_rows).min(rows));
        let count = (to - from) * grid.columns;
        with_scratch(A * A * (tap_in + tap_out) + patch, |scratch| {
            let (transformed, scratch) = scratch.split_at_mut(A * A * tap_in);
            let (products, patch) = scratch.split_at_mut(A * A * tap_out);
            vectorised(
                #[inline(always)]
                || {
                    for span in grid.spans(from, to) {
                        let image = &x[span.image * shape.channels_in * pixels..];
                        for group in 0..groups_in {
                            let planes = &image[group * LANES * pixels..];
                            let present = (shape.channels_in - group * LANES).min(LANES);
                            grid.read(planes, present, span, patch);
                            let mut tile = span.first;
                            for row in 0..span.to - span.from {
                                for column in 0..grid.columns {
                                    let at = row * M * grid.patch_width() + column * M;
                                    let values = square::<A>(patch, at, grid.patch_width());
                                    let taps = both(&values, to_taps::<A>);
                                    let to = tile * groups_in + group;
                                    for (i, taps) in taps.iter().enumerate() {
                                        for (j, value) in taps.iter().enumerate() {
                                            transformed[(i * A + j) * tap_in + to] = *value;
                                        }
                                    }
                                    tile += 1;
                                }
                            }
                        }
                    }
                },
            );
            multiply(
                &weights.values,
                transformed,
                products,
                (A * A, count),
                &shape,
                (tap_in, tap_out),
            );
            vectorised(
                #[inline(always)]
                || {
                    let pitch = grid.columns * M;
                    for span in grid.spans(from, to) {
                        for group in 0..groups_out {
                            let present = (shape.channels_out - group * LANES).min(LANES);
                            let mut offset = Lane::ZERO;
                            if let Some(bias) = bias {
                                offset.0[..present]
                                    .copy_from_slice(&bias[group * LANES..][..present]);
                            }
                            let mut tile = span.first;
                            for row in 0..span.to - span.from {
                                for column in 0..grid.columns {
                                    let from = tile * groups_out + group;
                                    let taps: [[Lane; A]; A] = std::array::from_fn(|i| {
                                        std::array::from_fn(|j| {
                                            products[(i * A + j) * tap_out + from]
                                        })
                                    });
                                    let values = both(&taps, from_taps::<M, A>);
                                    let at = row * M * pitch + column * M;
                                    for (i, values) in values.iter().enumerate() {
                                        for (j, value) in values.iter().enumerate() {
                                            patch[at + i * pitch + j] = *value + offset;
                                        }
                                    }
                                    tile += 1;
                                }
                            }
                            let top = span.from * M;
                            let bottom = (span.to * M).min(shape.height);
                            let first = (span.image * shape.channels_out + group * LANES) * pixels;
                            let (mut at, mut column) = (0, 0);
                            scatter(
                                present,
                                (top * shape.width, bottom * shape.width),
                                |_| {
                                    let lane = patch[at + column];
                                    column += 1;
                                    if column == shape.width {
                                        column = 0;
                                        at += pitch;
                                    }
                                    lane
                                },
                                // SAFETY: inside the plane of this image and channel; no other unit has these rows.
                                |plane, p, values| unsafe {
                                    out.copy(first + plane * pixels + p, values)
                                },
                            );
                        }
                    }
                },
            );
        });
    };
    (0..rows.div_ceil(unit_rows)).into_par_iter().for_each(work);
    // SAFETY: the units cover every row of every plane of every image, and each wrote all of its values.
    unsafe { y.set_len(shape.batch * shape.channels_out * pixels) };
    y
}

/// The products of all taps of one unit: `products[tap][tile][out] = sum over in of weights * transformed`.
fn multiply(
    weights: &[Lane],
    transformed: &[Lane],
    products: &mut [Lane],
    (taps, tiles): (usize, usize),
    shape: &Shape,
    (tap_in, tap_out): (usize, usize),
) {
    let groups_in = shape.channels_in.div_ceil(LANES);
    let groups_out = shape.channels_out.div_ceil(LANES);
    let depth = shape.channels_in;
    let tap_weights = Weights::tap(depth, groups_out);
    for tap in 0..taps {
        let tiles_in = &transformed[tap * tap_in..(tap + 1) * tap_in];
        let weights = &weights[tap * tap_weights..(tap + 1) * tap_weights];
        let out = &mut products[tap * tap_out..(tap + 1) * tap_out];
        for first in (0..groups_out).step_by(PANEL / LANES) {
            let width = (groups_out - first).min(PANEL / LANES);
            panel(
                &weights[first * depth..(first + width) * depth],
                (width, depth),
                (tiles_in, groups_in),
                (&mut out[first..], groups_out),
                tiles,
            );
        }
    }
}

/// Gradient with respect to weight `[out, in, 3, 3]`.
pub(crate) fn weight_gradient(x: &[f32], dy: &[f32], shape: Shape) -> Vec<f32> {
    const M: usize = 4;
    const A: usize = 6;
    const TAPS: usize = A * A;
    let grid = Grid::new(&shape, M);
    let pixels = shape.height * shape.width;
    let groups_in = shape.channels_in.div_ceil(LANES);
    let groups_out = shape.channels_out.div_ceil(LANES);
    let rows = shape.batch * grid.rows;
    let chunk_rows = (GRADIENT_TILES / grid.columns).clamp(1, rows);
    let chunk_tiles = chunk_rows * grid.columns;
    let tap_in = chunk_tiles * groups_in + 1;
    let tap_out = chunk_tiles * groups_out + 1;
    // One row of tiles a work item: rows share no tiles.
    let patch = grid.patch(1);

    let mut transformed = vec![Lane::ZERO; TAPS * tap_in];
    let mut gradients = vec![Lane::ZERO; TAPS * tap_out];
    let tap_sums = Weights::tap(shape.channels_in, groups_out);
    let mut sums = vec![Lane::ZERO; TAPS * tap_sums];
    for start in (0..rows).step_by(chunk_rows) {
        let end = (start + chunk_rows).min(rows);
        let count = (end - start) * grid.columns;
        let (to_x, to_dy) = (
            Shared(transformed.as_mut_ptr()),
            Shared(gradients.as_mut_ptr()),
        );
        (start..end).into_par_iter().for_each(|row| {
            let (to_x, to_dy) = (&to_x, &to_dy);
            let span = Span {
                image: row / grid.rows,
                from: row % grid.rows,
                to: row % grid.rows + 1,
                first: (row - start) * grid.columns,
            };
            with_scratch(patch, |patch| {
                vectorised(
                    #[inline(always)]
                    || {
                        let pitch = grid.patch_width();
                        for group in 0..groups_in {
                            let from = (span.image * shape.channels_in + group * LANES) * pixels;
                            let present = (shape.channels_in - group * LANES).min(LANES);
                            grid.read(&x[from..], present, span, patch);
                            for column in 0..grid.columns {
                                let taps =
                                    both(&square::<A>(patch, column * M, pitch), to_taps::<A>);
                                let at = (span.first + column) * groups_in + group;
                                for (i, taps) in taps.iter().enumerate() {
                                    for (j, value) in taps.iter().enumerate() {
                                        // SAFETY: the places of this row's tiles are its own.
                                        unsafe { to_x.write((i * A + j) * tap_in + at, *value) }
                                    }
                                }
                            }
                        }
                        for group in 0..groups_out {
                            let from = (span.image * shape.channels_out + group * LANES) * pixels;
                            let present = (shape.channels_out - group * LANES).min(LANES);
                            grid.read(&dy[from..], present, span, patch);
                            for column in 0..grid.columns {
                                let inside = square::<M>(patch, pitch + 1 + column * M, pitch);
                                let taps = both(&inside, gradient_to_taps);
                                let at = (span.first + column) * groups_out + group;
                                for (i, taps) in taps.iter().enumerate() {
                                    for (j, value) in taps.iter().enumerate() {
                                        // SAFETY: as above.
                                        unsafe { to_dy.write((i * A + j) * tap_out + at, *value) }
                                    }
                                }
                            }
                        }
                    },
                );
            });
        });
        sums.par_chunks_exact_mut(tap_sums)
            .enumerate()
            .for_each(|(tap, sums)| {
                matmul_into(
                    (groups_out * LANES, shape.channels_in, count),
                    flat_mut(sums),
                    (1, groups_out * LANES),
                    start > 0,
                    flat(&gradients[tap * tap_out..(tap + 1) * tap_out]),
                    (1, groups_out * LANES),
                    flat(&transformed[tap * tap_in..(tap + 1) * tap_in]),
                    (groups_in * LANES, 1),
                );
            });
    }

    let mut dw = vec![0f32; shape.channels_out * shape.channels_in * 9];
    dw.par_chunks_mut(LANES * shape.channels_in * 9)
        .enumerate()
        .for_each(|(group, dw)| {
            vectorised(
                #[inline(always)]
                || {
                    let mut filters = vec![Lane::ZERO; shape.channels_in * 9];
                    for i in 0..shape.channels_in {
                        let taps: [[Lane; A]; A] = std::array::from_fn(|y| {
                            std::array::from_fn(|x| {
                                sums[(y * A + x) * tap_sums + i * groups_out + group]
                            })
                        });
                        for (y, row) in both(&taps, weight_from_taps).iter().enumerate() {
                            for (x, value) in row.iter().enumerate() {
                                filters[i * 9 + 3 * y + x] = *value;
                            }
                        }
                    }
                    let depth = shape.channels_in * 9;
                    scatter(
                        dw.len() / depth,
                        (0, depth),
                        |k| filters[k],
                        |o, k, values| {
                            dw[o * depth + k..][..values.len()].copy_from_slice(values);
                        },
                    );
                },
            );
        });
    dw
}
