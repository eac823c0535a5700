//! Winograd's minimal filtering for 3x3 convolutions with stride 1 and padding 1 (Lavin & Gray 2016): tiles of
//! the image and the filters are transformed, multiplied tap by tap, and transformed back.
//!
//! F(4x4, 3x3) needs a quarter of the multiplications of the direct convolution, F(2x2, 3x3) 4/9 of them. The points
//! are 0, ±1, ±2 and infinity, or 0, ±1 and infinity.
//!
//! Layout: inside, sixteen channels stand next to each other ([`Lane`]), so every transform works on whole registers
//! whatever the image's size, and the matrix products find their operands packed. One thread takes one unit of tiles
//! through all three steps, while its transformed data stay in the second-level cache.

mod gradient;
mod grid;
mod transforms;
mod weights;

use std::ops::Range;

use rayon::prelude::*;

pub(crate) use self::gradient::weight_gradient;
pub(crate) use self::weights::Weights;

use self::grid::{Grid, planes, same};
use self::transforms::{FromTaps, ToTaps, Transform, both};
use crate::around::{Around, Source};
use crate::conv3x3::Shape;
use crate::lanes::{Kernel, LANES, Lane, Shared, Vector, scatter, widest, with_scratch};
use crate::products::panel;

/// Rows of a packed panel of transformed weights: what the matrix product sums at once, and few enough for the first-level cache to
/// hold a panel.
const PANEL: usize = 32;

/// Bytes of transformed tiles that a unit should hold at most: they stay in a core's second-level cache.
const UNIT_BYTES: usize = 768 << 10;

/// Tiles of one unit: fewer would read the transformed weights too often, which are larger than a cache where the channels
/// are many; more gain nothing.
const UNIT_TILES: std::ops::RangeInclusive<usize> = 32..=48;

/// Output pixels a tile has in one direction, `M`, and its taps, `A = M + 2`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Tile {
    /// F(2x2, 3x3).
    Two,
    /// F(4x4, 3x3).
    Four,
}

/// `y = conv(x, weight)` with what is `around` it; `x` and the result row-major. Nothing is done `before` to what is not plain.
pub(crate) fn forward(
    x: Source<'_>,
    weights: &Weights,
    around: Around<'_>,
    shape: Shape,
) -> Vec<f32> {
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
    x: Source<'_>,
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
    let threads = rayon::current_num_threads();
    let most_rows = (tiles / grid.columns).clamp(1, rows.max(1));
    // Where there are fewer units than threads, threads share a unit by output channels, so that each reads a part of the
    // weights alone; beyond that the units become smaller.
    let panels = groups_out.div_ceil(PANEL / LANES);
    let part_panels = match rows.div_ceil(most_rows) {
        units if units < threads && large(weights) => panels.div_ceil(threads.div_ceil(units)),
        _ => panels,
    };
    let parts = panels.div_ceil(part_panels);
    let unit_rows = most_rows.min((rows * parts).div_ceil(threads)).max(1);
    let unit_tiles = unit_rows * grid.columns;
    let part_groups = part_panels * (PANEL / LANES);

    // One lane more than the data, as in `Weights::tap`.
    let tap_in = unit_tiles * groups_in + 1;
    let tap_out = unit_tiles * part_groups.min(groups_out) + 1;
    let span_rows = unit_rows.min(grid.rows);
    let patch = grid.patch(span_rows);

    let affines = match (x, around.before) {
        (Source::Plain(x), Some(before)) => Some(before.affines(x)),
        (_, None) => None,
        (Source::Back { .. }, Some(_)) => panic!("winograd: a gradient is not normalised"),
    };
    let mut y = Vec::<f32>::with_capacity(shape.batch * shape.channels_out * pixels);
    let out = Shared(y.as_mut_ptr());
    let work = |item: usize| {
        let (unit, part) = (item / parts, item % parts);
        let groups =
            (part * part_groups).min(groups_out)..((part + 1) * part_groups).min(groups_out);
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
                (&shape, groups.clone()),
                (tap_in, tap_out),
            );
            widest(TransformBack::<M, A> {
                products,
                around,
                shape: &shape,
                groups,
                grid,
                rows,
                patch,
                out: &out,
            });
        });
    };
    let items = rows.div_ceil(unit_rows) * parts;
    (0..items).into_par_iter().for_each(work);
    // SAFETY: the units' parts cover every row of every plane of every image, and each wrote all of its values.
    unsafe { y.set_len(shape.batch * shape.channels_out * pixels) };
    y
}

/// Whether transformed weights are too many for a core's second-level cache, so that reading them costs.
fn large(weights: &Weights) -> bool {
    weights.bytes() > 2 * UNIT_BYTES
}

/// The tiles of a unit, transformed: `[tap][tile][group of channels]`, a lane more than that from tap to tap.
struct TransformTiles<'a, const M: usize, const A: usize> {
    x: Source<'a>,
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
            for group in 0..groups {
                let first = group * LANES;
                let present = (shape.channels_in - first).min(LANES);
                let own = span.image * shape.channels_in + first;
                match self.x {
                    Source::Plain(x) => {
                        let rows = planes::<V>(&x[own * pixels..], pixels);
                        match self.before {
                            Some((a, b)) => {
                                let (a, b) = (&a[own..][..present], &b[own..][..present]);
                                let (a, b) = (V::read(a), V::read(b));
                                grid.read(
                                    rows,
                                    present,
                                    span,
                                    self.patch,
                                    #[inline(always)]
                                    |x| x.affine_silu(a, b),
                                );
                            }
                            None => grid.read(rows, present, span, self.patch, same),
                        }
                    }
                    source @ Source::Back { .. } => grid.read::<V>(
                        #[inline(always)]
                        |plane, p, count| {
                            source.read((own + plane) * pixels + p, count, first + plane)
                        },
                        present,
                        span,
                        self.patch,
                        same,
                    ),
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

/// The way back: a unit's products of some groups of channels, laid out as its tiles are, to pixels.
struct TransformBack<'a, const M: usize, const A: usize> {
    products: &'a [Lane],
    around: Around<'a>,
    shape: &'a Shape,
    groups: Range<usize>,
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
        let width = self.groups.len();
        let tap = self.products.len() / (A * A);
        let pitch = grid.columns * M;
        for span in grid.spans(self.rows.0, self.rows.1) {
            for group in self.groups.clone() {
                let present = (shape.channels_out - group * LANES).min(LANES);
                let own = |values: Option<&[f32]>, image: usize| match values {
                    Some(values) => {
                        V::read(&values[image * shape.channels_out + group * LANES..][..present])
                    }
                    None => V::zero(),
                };
                let parameters = [
                    own(around.scale, 0),
                    own(around.bias, 0),
                    own(around.offset, span.image),
                ];
                let mut tile = span.first;
                for row in 0..span.to - span.from {
                    for column in 0..grid.columns {
                        let from = tile * width + group - self.groups.start;
                        let square = &mut self.patch[(row * pitch + column) * M..];
                        let square = &mut square[..(M - 1) * pitch + M];
                        both::<FromTaps, V, A, M>(
                            #[inline(always)]
                            |i, j| V::load(&self.products[(i * A + j) * tap + from]),
                            #[inline(always)]
                            |i, j, value| {
                                let value = around.affine(value, parameters);
                                value.store(&mut square[i * pitch + j]);
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

/// The products of all taps of one unit with the weights of some groups of output channels, whole panels of them:
/// `products[tap][tile][out] = sum over in of weights * transformed`.
fn multiply(
    weights: &[Lane],
    transformed: &[Lane],
    products: &mut [Lane],
    (taps, tiles): (usize, usize),
    (shape, groups): (&Shape, Range<usize>),
    (tap_in, tap_out): (usize, usize),
) {
    let groups_in = shape.channels_in.div_ceil(LANES);
    let groups_out = shape.channels_out.div_ceil(LANES);
    let depth = shape.channels_in;
    let tap_weights = Weights::tap(depth, groups_out);
    // All panels of a tap, then those of the next one.
    let mut panels = (0..taps)
        .flat_map(|tap| {
            let firsts = groups.clone().step_by(PANEL / LANES);
            firsts.map(move |first| (tap, first))
        })
        .map(|(tap, first)| {
            let width = (groups_out - first).min(PANEL / LANES);
            let own = &weights[tap * tap_weights + first * depth..][..width * depth];
            (tap, first, width, own)
        })
        .peekable();
    while let Some((tap, first, width, own)) = panels.next() {
        let next: &[Lane] = panels.peek().map_or(&[], |(.., next)| next);
        let tiles_in = &transformed[tap * tap_in..(tap + 1) * tap_in];
        let out = &mut products[tap * tap_out..(tap + 1) * tap_out];
        panel(
            own,
            next,
            (width, depth),
            (tiles_in, groups_in),
            (&mut out[first - groups.start..], groups.len()),
            tiles,
        );
    }
}
