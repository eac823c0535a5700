//! The weight gradient: F(3x3, 4x4), with the output's gradient in the filter's place.

use rayon::prelude::*;

use super::Weights;
use super::grid::{Grid, Span, planes, same};
use super::transforms::{GradientToTaps, ToTaps, WeightFromTaps, both};
use crate::conv3x3::Shape;
use crate::lanes::{
    Kernel, LANES, Lane, Shared, Vector, flat, flat_mut, scatter, widest, with_scratch,
};
use crate::matmul::matmul_into;

/// Tiles whose products the weight gradient sums at once.
const GRADIENT_TILES: usize = 512;

const M: usize = 4;
const A: usize = 6;
const TAPS: usize = A * A;

/// Gradient with respect to weight `[out, in, 3, 3]`.
pub(crate) fn weight_gradient(x: &[f32], dy: &[f32], shape: Shape) -> Vec<f32> {
    let grid = Grid::new(&shape, M);
    let groups_in = shape.channels_in.div_ceil(LANES);
    let groups_out = shape.channels_out.div_ceil(LANES);
    let rows = shape.batch * grid.rows;
    let chunk_rows = (GRADIENT_TILES / grid.columns).clamp(1, rows);
    let chunk_tiles = chunk_rows * grid.columns;
    let tap_in = chunk_tiles * groups_in + 1;
    let tap_out = chunk_tiles * groups_out + 1;
    let tap_sums = Weights::tap(shape.channels_in, groups_out);
    // One row of tiles a work item: rows share no tiles.
    let patch = grid.patch(1);

    let mut dw = vec![0f32; shape.channels_out * shape.channels_in * 9];
    with_scratch(TAPS * (tap_in + tap_out + tap_sums), |scratch| {
        let (transformed, scratch) = scratch.split_at_mut(TAPS * tap_in);
        let (gradients, sums) = scratch.split_at_mut(TAPS * tap_out);
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
        dw.par_chunks_mut(LANES * shape.channels_in * 9)
            .enumerate()
            .for_each(|(group, dw)| {
                widest(TransformSums {
                    sums: &*sums,
                    shape: &shape,
                    group,
                    dw,
                });
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
            let rows = planes::<V>(&self.x[from..], pixels);
            grid.read(rows, present, span, self.patch, same);
            for column in 0..grid.columns {
                let square = &self.patch[column * M..][..(A - 1) * pitch + A];
                let at = (span.first + column) * groups_in + group;
                both::<ToTaps, V, A, A>(
                    #[inline(always)]
                    |i, j| V::load(&square[i * pitch + j]),
                    #[inline(always)]
                    // SAFETY: the places of this row's tiles are its own.
                    |i, j, value| unsafe {
                        self.to_x.store((i * A + j) * self.taps.0 + at, value);
                    },
                );
            }
        }
        for group in 0..groups_out {
            let from = (span.image * shape.channels_out + group * LANES) * pixels;
            let present = (shape.channels_out - group * LANES).min(LANES);
            let rows = planes::<V>(&self.dy[from..], pixels);
            grid.read(rows, present, span, self.patch, same);
            for column in 0..grid.columns {
                let square = &self.patch[pitch + 1 + column * M..][..(M - 1) * pitch + M];
                let at = (span.first + column) * groups_out + group;
                both::<GradientToTaps, V, M, A>(
                    #[inline(always)]
                    |i, j| V::load(&square[i * pitch + j]),
                    #[inline(always)]
                    // SAFETY: as above.
                    |i, j, value| unsafe {
                        self.to_dy.store((i * A + j) * self.taps.1 + at, value);
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
