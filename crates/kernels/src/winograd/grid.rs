//! How images are cut into tiles.

use crate::conv3x3::Shape;
use crate::lanes::{Lane, Vector, gather};

/// How the images of one convolution are cut into tiles.
#[derive(Clone, Copy, Debug)]
pub(super) struct Grid {
    pub side: usize,
    pub rows: usize,
    pub columns: usize,
    pub height: usize,
    pub width: usize,
}

/// Rows of tiles `from..to` of one image, whose first tile is number `first` of its unit.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    pub image: usize,
    pub from: usize,
    pub to: usize,
    pub first: usize,
}

impl Grid {
    pub fn new(shape: &Shape, side: usize) -> Self {
        Self {
            side,
            rows: shape.height.div_ceil(side),
            columns: shape.width.div_ceil(side),
            height: shape.height,
            width: shape.width,
        }
    }

    /// The spans of the rows of tiles `from..to`, counted through all images.
    pub fn spans(self, from: usize, to: usize) -> impl Iterator<Item = Span> {
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
    pub fn patch_width(self) -> usize {
        self.columns * self.side + 2
    }

    /// Lanes of the patch under `rows` rows of tiles.
    pub fn patch(self, rows: usize) -> usize {
        (rows * self.side + 2) * self.patch_width()
    }

    /// Copies `map` of up to sixteen channels of the pixels under a span, with a border of one pixel, into `patch`. `from` is
    /// asked for so many values of a channel from a pixel on.
    #[inline(always)]
    pub fn read<V: Vector>(
        self,
        from: impl Fn(usize, usize, usize) -> V,
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
            count,
            (first * self.width, last * self.width),
            from,
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

/// Reads planes of `pixels`, one after the other.
#[inline(always)]
pub(super) fn planes<V: Vector>(
    image: &[f32],
    pixels: usize,
) -> impl Fn(usize, usize, usize) -> V + '_ {
    #[inline(always)]
    move |plane, p, count| V::read(&image[plane * pixels + p..][..count])
}

/// Leaves a pixel as it is.
#[inline(always)]
pub(super) fn same<V: Vector>(value: V) -> V {
    value
}
