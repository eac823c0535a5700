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

use crate::around::Around;
use crate::conv3x3::Shape;
use crate::lanes::{Kernel, LANES, Lane, Vector, flat, flat_mut, gather, scatter, widest};
use crate::matmul::matmul_into;
use crate::products::panel;

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

/// A transform in one direction, from `I` values to `O`.
trait Transform<const I: usize, const O: usize> {
    fn apply<V: Vector>(values: [V; I]) -> [V; O];
}

/// `B^T d`.
struct ToTaps;

impl Transform<4, 4> for ToTaps {
    #[inline(always)]
    fn apply<V: Vector>(d: [V; 4]) -> [V; 4] {
        [d[0] - d[2], d[1] + d[2], d[2] - d[1], d[1] - d[3]]
    }
}

impl Transform<6, 6> for ToTaps {
    #[inline(always)]
    fn apply<V: Vector>(d: [V; 6]) -> [V; 6] {
        let (even, odd) = (d[4] - d[2] * 4.0, d[3] - d[1] * 4.0);
        let (even2, odd2) = (d[4] - d[2], (d[3] - d[1]) * 2.0);
        [
            (d[0] - d[2]) * 4.0 + (d[4] - d[2]),
            even + odd,
            even - odd,
            even2 + odd2,
            even2 - odd2,
            (d[1] - d[3]) * 4.0 + (d[5] - d[3]),
        ]
    }
}

/// `G g`.
struct FilterToTaps;

impl Transform<3, 4> for FilterToTaps {
    #[inline(always)]
    fn apply<V: Vector>(g: [V; 3]) -> [V; 4] {
        let even = g[0] + g[2];
        [g[0], (even + g[1]) * 0.5, (even - g[1]) * 0.5, g[2]]
    }
}

impl Transform<3, 6> for FilterToTaps {
    #[inline(always)]
    fn apply<V: Vector>(g: [V; 3]) -> [V; 6] {
        let even = g[0] + g[2];
        let (even2, odd2) = (g[0] + g[2] * 4.0, g[1] * 2.0);
        [
            g[0] * 0.25,
            (even + g[1]) * (-1.0 / 6.0),
            (even - g[1]) * (-1.0 / 6.0),
            (even2 + odd2) * (1.0 / 24.0),
            (even2 - odd2) * (1.0 / 24.0),
            g[2],
        ]
    }
}

/// `A^T m`.
struct FromTaps;

impl Transform<4, 2> for FromTaps {
    #[inline(always)]
    fn apply<V: Vector>(m: [V; 4]) -> [V; 2] {
        [m[0] + (m[1] + m[2]), (m[1] - m[2]) - m[3]]
    }
}

impl Transform<6, 4> for FromTaps {
    #[inline(always)]
    fn apply<V: Vector>(m: [V; 6]) -> [V; 4] {
        let (sum, difference) = (m[1] + m[2], m[1] - m[2]);
        let (sum2, difference2) = (m[3] + m[4], m[3] - m[4]);
        [
            m[0] + sum + sum2,
            difference + difference2 * 2.0,
            sum + sum2 * 4.0,
            difference + difference2 * 8.0 + m[5],
        ]
    }
}

/// F(3x3, 4x4), for the weight gradient: the four output gradients of a tile, as a filter.
struct GradientToTaps;

impl Transform<4, 6> for GradientToTaps {
    #[inline(always)]
    fn apply<V: Vector>(g: [V; 4]) -> [V; 6] {
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
}

/// F(3x3, 4x4): the three taps of the weight's gradient.
struct WeightFromTaps;

impl Transform<6, 3> for WeightFromTaps {
    #[inline(always)]
    fn apply<V: Vector>(m: [V; 6]) -> [V; 3] {
        let (sum, difference) = (m[1] + m[2], m[1] - m[2]);
        let (sum2, difference2) = (m[3] + m[4], m[3] - m[4]);
        [
            m[0] + sum + sum2,
            difference + difference2 * 2.0,
            sum + sum2 * 4.0 + m[5],
        ]
    }
}

/// Applies `T` to the columns and then to the rows of the square that `load(row, column)` gives.
#[inline(always)]
fn both<T: Transform<I, O>, V: Vector, const I: usize, const O: usize>(
    load: impl Fn(usize, usize) -> V,
    mut store: impl FnMut(usize, usize, V),
) {
    let mut half = [[V::zero(); I]; O];
    for j in 0..I {
        let mut column = [V::zero(); I];
        for (i, value) in column.iter_mut().enumerate() {
            *value = load(i, j);
        }
        let column = T::apply(column);
        for (half, value) in half.iter_mut().zip(column) {
            half[j] = value;
        }
    }
    for (i, half) in half.into_iter().enumerate() {
        for (j, value) in T::apply(half).into_iter().enumerate() {
            store(i, j, value);
        }
    }
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
    /// Transforms `weight` `[out, in, 3, 3]` with (in, out) `channels`, for the forward pass or (`turned`: by 180 degrees,
    /// channels swapped) for the input gradient.
    pub fn of(weight: &[f32], (i, o): (usize, usize), tile: Tile, turned: bool) -> Self {
        match tile {
            Tile::Two => Self::transform::<4>(weight, (i, o), tile, turned),
            Tile::Four => Self::transform::<6>(weight, (i, o), tile, turned),
        }
    }

    /// Bytes that the transformed weights take.
    pub fn bytes(&self) -> usize {
        self.values.len() * size_of::<Lane>()
    }

    /// Lanes from one tap to the next: one more than the data, so that the taps of a filter do not all fall into one
    /// set of the cache.
    fn tap(channels_in: usize, groups: usize) -> usize {
        groups * channels_in + 1
    }

    fn transform<const A: usize>(
        weight: &[f32],
        (i, o): (usize, usize),
        tile: Tile,
        turned: bool,
    ) -> Self
    where
        FilterToTaps: Transform<3, A>,
    {
        let (channels_in, channels_out) = if turned { (o, i) } else { (i, o) };
        let groups = channels_out.div_ceil(LANES);
        let tap = Self::tap(channels_in, groups);
        let mut values = vec![Lane::ZERO; A * A * tap];
        let shared = Shared(values.as_mut_ptr());
        (0..groups).into_par_iter().for_each(|group| {
            widest(TransformFilters::<A> {
                weight,
                channels: (channels_in, channels_out),
                turned,
                group,
                out: &shared,
            });
        });
        Self {
            tile,
            values,
            channels_in,
            channels_out,
        }
    }
}

/// Transforms the filters of one group of output channels.
struct TransformFilters<'a, const A: usize> {
    weight: &'a [f32],
    /// (in, out) of the transformed weights.
    channels: (usize, usize),
    turned: bool,
    group: usize,
    out: &'a Shared<Lane>,
}

impl<const A: usize> Kernel for TransformFilters<'_, A>
where
    FilterToTaps: Transform<3, A>,
{
    #[inline(always)]
    fn run<V: Vector>(self) {
        let (channels_in, channels_out) = self.channels;
        let (group, groups) = (self.group, channels_out.div_ceil(LANES));
        let count = (channels_out - group * LANES).min(LANES);
        let mut filters = vec![Lane::ZERO; channels_in * 9];
        if self.turned {
            for i in 0..channels_in {
                let from = (i * channels_out + group * LANES) * 9;
                let values = &self.weight[from..][..count * 9];
                let filter = &mut filters[i * 9..(i + 1) * 9];
                for (l, values) in values.chunks_exact(9).enumerate() {
                    for (k, value) in values.iter().enumerate() {
                        filter[8 - k].0[l] = *value;
                    }
                }
            }
        } else {
            let from = group * LANES * channels_in * 9;
            let mut next = filters.iter_mut();
            gather::<V>(
                &self.weight[from..],
                channels_in * 9,
                count,
                (0, channels_in * 9),
                #[inline(always)]
                |value| {
                    if let Some(to) = next.next() {
                        value.store(to);
                    }
                },
            );
        }
        let tap = Weights::tap(channels_in, groups);
        let first = group / (PANEL / LANES) * (PANEL / LANES);
        let width = (groups - first).min(PANEL / LANES);
        for (i, filter) in filters.chunks_exact(9).enumerate() {
            let at = first * channels_in + i * width + group - first;
            both::<FilterToTaps, V, 3, A>(
                #[inline(always)]
                |y, x| V::load(&filter[3 * y + x]),
                #[inline(always)]
                |y, x, value| {
                    let mut lane = Lane::ZERO;
                    value.store(&mut lane);
                    // SAFETY: below A * A * tap; each group writes its own lanes alone.
                    unsafe { self.out.write((y * A + x) * tap + at, lane) }
                },
            );
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
    /// The first `count` of sixteen values from `at` on are inside the buffer, and no other thread reads or writes them.
    #[inline(always)]
    unsafe fn write_values<V: Vector>(&self, at: usize, values: V, count: usize) {
        // SAFETY: the caller's promise.
        unsafe { values.write(self.0.add(at), count) }
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

    /// Copies `map` of up to sixteen channels of the pixels under a span, with a border of one pixel, into `patch`.
    #[inline(always)]
    fn read<V: Vector>(
        self,
        image: &[f32],
        count: usize,
        span: Span,
        patch: &mut [Lane],
        map: impl Fn(V) -> V,
    ) {
        let pitch = self.patch_width();
        let top = span.from * self.side;
        let rows = (span.to - span.from) * self.side + 2;
        let first = top.max(1) - 1;
        let last = (top + rows - 1).min(self.height);
        let patch = &mut patch[..rows * pitch];
        let inside = (first + 1 - top) * pitch..(last + 1 - top) * pitch;
        patch[..inside.start].fill(Lane::ZERO);
        patch[inside.end..].fill(Lane::ZERO);
        for row in patch[inside.clone()].chunks_exact_mut(pitch) {
            row[0] = Lane::ZERO;
            row[self.width + 1..].fill(Lane::ZERO);
        }
        let (mut at, mut column) = (inside.start + 1, 0);
        gather::<V>(
            image,
            self.height * self.width,
            count,
            (first * self.width, last * self.width),
            #[inline(always)]
            |value| {
                map(value).store(&mut patch[at + column]);
                column += 1;
                if column == self.width {
                    column = 0;
                    at += pitch;
                }
            },
        );
    }
}

/// Leaves a pixel as it is.
#[inline(always)]
fn same<V: Vector>(value: V) -> V {
    value
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

/// `y = conv(x, weight)` with what is `around` it; `x` and the result row-major.
pub(crate) fn forward(x: &[f32], weights: &Weights, around: Around<'_>, shape: Shape) -> Vec<f32> {
    assert_eq!(
        (weights.channels_in, weights.channels_out),
        (shape.channels_in, shape.channels_out)
    );
    match weights.tile {
        Tile::Two => forward_by::<2, 4>(x, weights, around, shape),
        Tile::Four => forward_by::<4, 6>(x, weights, around, shape),
    }
}

fn forward_by<const M: usize, const A: usize>(
    x: &[f32],
    weights: &Weights,
    around: Around<'_>,
    shape: Shape,
) -> Vec<f32>
where
    ToTaps: Transform<A, A>,
    FromTaps: Transform<A, M>,
{
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

    let affines = around.before.map(|before| before.affines(x));
    let mut y = Vec::<f32>::with_capacity(shape.batch * shape.channels_out * pixels);
    let out = Shared(y.as_mut_ptr());
    let work = |unit: usize| {
        let rows = (unit * unit_rows, ((unit + 1) * unit_rows).min(rows));
        let count = (rows.1 - rows.0) * grid.columns;
        with_scratch(A * A * (tap_in + tap_out) + patch, |scratch| {
            let (transformed, scratch) = scratch.split_at_mut(A * A * tap_in);
            let (products, patch) = scratch.split_at_mut(A * A * tap_out);
            widest(TransformTiles::<M, A> {
                x,
                before: affines.as_ref(),
                shape: &shape,
                grid,
                rows,
                patch: &mut *patch,
                transformed: &mut *transformed,
            });
            multiply(
                &weights.values,
                transformed,
                products,
                (A * A, count),
                &shape,
                (tap_in, tap_out),
            );
            widest(TransformBack::<M, A> {
                products,
                around,
                shape: &shape,
                grid,
                rows,
                patch,
                out: &out,
            });
        });
    };
    (0..rows.div_ceil(unit_rows)).into_par_iter().for_each(work);
    // SAFETY: the units cover every row of every plane of every image, and each wrote all of its values.
    unsafe { y.set_len(shape.batch * shape.channels_out * pixels) };
    y
}

/// The tiles of a unit, transformed: `[tap][tile][group of channels]`, a lane more than that from tap to tap.
struct TransformTiles<'a, const M: usize, const A: usize> {
    x: &'a [f32],
    /// `silu(x * a + b)` on the way in, `[batch, in]` each.
    before: Option<&'a (Vec<f32>, Vec<f32>)>,
    shape: &'a Shape,
    grid: Grid,
    /// The unit's rows of tiles, from and to.
    rows: (usize, usize),
    patch: &'a mut [Lane],
    transformed: &'a mut [Lane],
}

impl<const M: usize, const A: usize> Kernel for TransformTiles<'_, M, A>
where
    ToTaps: Transform<A, A>,
{
    #[inline(always)]
    fn run<V: Vector>(self) {
        let (grid, shape) = (self.grid, self.shape);
        let pixels = shape.height * shape.width;
        let groups = shape.channels_in.div_ceil(LANES);
        let tap = self.transformed.len() / (A * A);
        let pitch = grid.patch_width();
        for span in grid.spans(self.rows.0, self.rows.1) {
            let image = &self.x[span.image * shape.channels_in * pixels..];
            for group in 0..groups {
                let planes = &image[group * LANES * pixels..];
                let present = (shape.channels_in - group * LANES).min(LANES);
                let own = span.image * shape.channels_in + group * LANES..;
                match self.before {
                    Some((a, b)) => {
                        let (a, b) = (&a[own.clone()][..present], &b[own][..present]);
                        let (a, b) = (V::read(a), V::read(b));
                        grid.read::<V>(
                            planes,
                            present,
                            span,
                            self.patch,
                            #[inline(always)]
                            |x| x.affine_silu(a, b),
                        );
                    }
                    None => grid.read::<V>(planes, present, span, self.patch, same),
                }
                let mut tile = span.first;
                for row in 0..span.to - span.from {
                    for column in 0..grid.columns {
                        let square = &self.patch[(row * pitch + column) * M..];
                        let square = &square[..(A - 1) * pitch + A];
                        let to = tile * groups + group;
                        both::<ToTaps, V, A, A>(
                            #[inline(always)]
                            |i, j| V::load(&square[i * pitch + j]),
                            #[inline(always)]
                            |i, j, value| {
                                value.store(&mut self.transformed[(i * A + j) * tap + to])
                            },
                        );
                        tile += 1;
                    }
                }
            }
        }
    }
}

/// The way back: the products of a unit, laid out as its tiles are, to pixels.
struct TransformBack<'a, const M: usize, const A: usize> {
    products: &'a [Lane],
    around: Around<'a>,
    shape: &'a Shape,
    grid: Grid,
    /// The unit's rows of tiles, from and to.
    rows: (usize, usize),
    patch: &'a mut [Lane],
    out: &'a Shared<f32>,
}

impl<const M: usize, const A: usize> Kernel for TransformBack<'_, M, A>
where
    FromTaps: Transform<A, M>,
{
    #[inline(always)]
    fn run<V: Vector>(self) {
        let (grid, shape, around) = (self.grid, self.shape, self.around);
        let pixels = shape.height * shape.width;
        let groups = shape.channels_out.div_ceil(LANES);
        let tap = self.products.len() / (A * A);
        let pitch = grid.columns * M;
        for span in grid.spans(self.rows.0, self.rows.1) {
            for group in 0..groups {
                let present = (shape.channels_out - group * LANES).min(LANES);
                let own = |values: Option<&[f32]>, image: usize| match values {
                    Some(values) => {
                        V::read(&values[image * shape.channels_out + group * LANES..][..present])
                    }
                    None => V::zero(),
                };
                let (scale, bias) = (own(around.scale, 0), own(around.bias, 0));
                let offset = own(around.offset, span.image);
                let mut tile = span.first;
                for row in 0..span.to - span.from {
                    for column in 0..grid.columns {
                        let from = tile * groups + group;
                        let square = &mut self.patch[(row * pitch + column) * M..];
                        let square = &mut square[..(M - 1) * pitch + M];
                        both::<FromTaps, V, A, M>(
                            #[inline(always)]
                            |i, j| V::load(&self.products[(i * A + j) * tap + from]),
                            #[inline(always)]
                            |i, j, value| {
                                let value = match around.scale {
                                    Some(_) => value.times(scale),
                                    None => value,
                                };
                                (value + bias + offset).store(&mut square[i * pitch + j]);
                            },
                        );
                        tile += 1;
                    }
                }
                let top = span.from * M;
                let bottom = (span.to * M).min(shape.height);
                let first = (span.image * shape.channels_out + group * LANES) * pixels;
                let (mut at, mut column) = (0, 0);
                scatter::<V>(
                    present,
                    (top * shape.width, bottom * shape.width),
                    #[inline(always)]
                    || {
                        let value = V::load(&self.patch[at + column]);
                        column += 1;
                        if column == shape.width {
                            column = 0;
                            at += pitch;
                        }
                        value
                    },
                    #[inline(always)]
                    |plane, p, values, count| {
                        let at = first + plane * pixels + p;
                        let residual = around.residual_at(at, count);
                        let values = around.add_residual(values, residual);
                        // SAFETY: inside the plane of this image and channel; no other unit has these rows.
                        unsafe { self.out.write_values(at, values, count) }
                    },
                );
            }
        }
    }
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
    let panel_of = |tap: usize, first: usize| {
        let width = (groups_out - first).min(PANEL / LANES);
        &weights[tap * tap_weights + first * depth..][..width * depth]
    };
    // The order of the panels: all of a tap, then those of the next one.
    let after = |tap: usize, first: usize| match first + PANEL / LANES {
        first if first < groups_out => panel_of(tap, first),
        _ if tap + 1 < taps => panel_of(tap + 1, 0),
        _ => &[],
    };
    for tap in 0..taps {
        let tiles_in = &transformed[tap * tap_in..(tap + 1) * tap_in];
        let out = &mut products[tap * tap_out..(tap + 1) * tap_out];
        for first in (0..groups_out).step_by(PANEL / LANES) {
            let width = (groups_out - first).min(PANEL / LANES);
            panel(
                panel_of(tap, first),
                after(tap, first),
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
            let span = Span {
                image: row / grid.rows,
                from: row % grid.rows,
                to: row % grid.rows + 1,
                first: (row - start) * grid.columns,
            };
            with_scratch(patch, |patch| {
                widest(TransformRow {
                    x,
                    dy,
                    shape: &shape,
                    grid,
                    span,
                    patch,
                    taps: (tap_in, tap_out),
                    to_x: &to_x,
                    to_dy: &to_dy,
                });
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
            widest(TransformSums {
                sums: &sums,
                shape: &shape,
                group,
                dw,
            });
        });
    dw
}

/// One row of tiles of an image and its gradient, for the weight gradient.
struct TransformRow<'a> {
    x: &'a [f32],
    dy: &'a [f32],
    shape: &'a Shape,
    grid: Grid,
    span: Span,
    patch: &'a mut [Lane],
    /// Lanes from one tap to the next, of x and dy.
    taps: (usize, usize),
    to_x: &'a Shared<Lane>,
    to_dy: &'a Shared<Lane>,
}

impl Kernel for TransformRow<'_> {
    #[inline(always)]
    fn run<V: Vector>(self) {
        const M: usize = 4;
        const A: usize = 6;
        let (grid, span, shape) = (self.grid, self.span, self.shape);
        let pixels = shape.height * shape.width;
        let (groups_in, groups_out) = (
            shape.channels_in.div_ceil(LANES),
            shape.channels_out.div_ceil(LANES),
        );
        let pitch = grid.patch_width();
        for group in 0..groups_in {
            let from = (span.image * shape.channels_in + group * LANES) * pixels;
            let present = (shape.channels_in - group * LANES).min(LANES);
            grid.read::<V>(&self.x[from..], present, span, self.patch, same);
            for column in 0..grid.columns {
                let square = &self.patch[column * M..][..(A - 1) * pitch + A];
                let at = (span.first + column) * groups_in + group;
                both::<ToTaps, V, A, A>(
                    #[inline(always)]
                    |i, j| V::load(&square[i * pitch + j]),
                    #[inline(always)]
                    |i, j, value| {
                        let mut lane = Lane::ZERO;
                        value.store(&mut lane);
                        // SAFETY: the places of this row's tiles are its own.
                        unsafe { self.to_x.write((i * A + j) * self.taps.0 + at, lane) }
                    },
                );
            }
        }
        for group in 0..groups_out {
            let from = (span.image * shape.channels_out + group * LANES) * pixels;
            let present = (shape.channels_out - group * LANES).min(LANES);
            grid.read::<V>(&self.dy[from..], present, span, self.patch, same);
            for column in 0..grid.columns {
                let square = &self.patch[pitch + 1 + column * M..][..(M - 1) * pitch + M];
                let at = (span.first + column) * groups_out + group;
                both::<GradientToTaps, V, M, A>(
                    #[inline(always)]
                    |i, j| V::load(&square[i * pitch + j]),
                    #[inline(always)]
                    |i, j, value| {
                        let mut lane = Lane::ZERO;
                        value.store(&mut lane);
                        // SAFETY: as above.
                        unsafe { self.to_dy.write((i * A + j) * self.taps.1 + at, lane) }
                    },
                );
            }
        }
    }
}

/// The weight gradient of one group of output channels, back from its taps.
struct TransformSums<'a> {
    sums: &'a [Lane],
    shape: &'a Shape,
    group: usize,
    dw: &'a mut [f32],
}

impl Kernel for TransformSums<'_> {
    #[inline(always)]
    fn run<V: Vector>(self) {
        const A: usize = 6;
        let (group, groups) = (self.group, self.shape.channels_out.div_ceil(LANES));
        let tap = self.sums.len() / (A * A);
        let depth = self.shape.channels_in * 9;
        let mut filters = vec![Lane::ZERO; depth];
        for (i, filter) in filters.chunks_exact_mut(9).enumerate() {
            both::<WeightFromTaps, V, A, 3>(
                #[inline(always)]
                |y, x| V::load(&self.sums[(y * A + x) * tap + i * groups + group]),
                #[inline(always)]
                |y, x, value| value.store(&mut filter[3 * y + x]),
            );
        }
        let mut next = 0;
        scatter::<V>(
            self.dw.len() / depth,
            (0, depth),
            #[inline(always)]
            || {
                next += 1;
                V::load(&filters[next - 1])
            },
            #[inline(always)]
            |o, k, values, count| {
                let to = &mut self.dw[o * depth + k..][..count];
                // SAFETY: the slice has `count` values.
                unsafe { values.write(to.as_mut_ptr(), count) }
            },
        );
    }
}
