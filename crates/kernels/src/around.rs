//! What a convolution does to its values on their way in and out, so that memory is passed over once.

use std::borrow::Cow;
use std::ops::Range;

use rayon::prelude::*;

use crate::lanes::{Kernel, LANES, Shared, Vector, widest};
use crate::norm_silu::Normalise;

/// On the way out: `relu(scale * value + bias + offset + residual)`, of which all is optional, in this order.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Around<'a> {
    /// On the way in.
    pub before: Option<Normalise<'a>>,
    /// `[out]`.
    pub scale: Option<&'a [f32]>,
    /// `[out]`.
    pub bias: Option<&'a [f32]>,
    /// `[batch, out]`.
    pub offset: Option<&'a [f32]>,
    /// Laid out as the result.
    pub residual: Option<&'a [f32]>,
    pub relu: bool,
}

impl<'a> Around<'a> {
    /// A bias alone.
    pub fn biased(bias: &'a [f32]) -> Self {
        Self {
            bias: Some(bias),
            ..Self::default()
        }
    }

    /// A bias that sums may start from, and what remains.
    pub fn bias_first(self) -> (Option<&'a [f32]>, Self) {
        match self.scale {
            Some(_) => (None, self),
            None => (self.bias, Self { bias: None, ..self }),
        }
    }

    /// The values of channel `c` of image `n` that every pixel is given: scale, bias and offset.
    #[inline(always)]
    pub fn of_channel(&self, n: usize, c: usize, channels: usize) -> [f32; 3] {
        [
            self.scale.map_or(1.0, |scale| scale[c]),
            self.bias.map_or(0.0, |bias| bias[c]),
            self.offset.map_or(0.0, |offset| offset[n * channels + c]),
        ]
    }

    /// [`of_channel`](Self::of_channel) of sixteen channels at most.
    #[inline(always)]
    pub fn of_channels<V: Vector>(&self, n: usize, own: Range<usize>, channels: usize) -> [V; 3] {
        let offsets = n * channels + own.start..n * channels + own.end;
        [
            self.scale
                .map_or(V::splat(1.0), |scale| V::read(&scale[own.clone()])),
            self.bias.map_or(V::zero(), |bias| V::read(&bias[own])),
            self.offset
                .map_or(V::zero(), |offset| V::read(&offset[offsets])),
        ]
    }

    /// `scale * values + bias + offset`, the part that a channel's values share.
    #[inline(always)]
    pub fn affine<V: Vector>(&self, values: V, [scale, bias, offset]: [V; 3]) -> V {
        let scaled = match self.scale {
            Some(_) => values.times(scale),
            None => values,
        };
        scaled + bias + offset
    }

    /// `relu(values + residual)`, the part that follows [`affine`](Self::affine).
    #[inline(always)]
    pub fn add_residual<V: Vector>(&self, values: V, residual: &[f32]) -> V {
        let values = match self.residual {
            Some(_) => values + V::read(residual),
            None => values,
        };
        if self.relu { values.relu() } else { values }
    }

    /// The residual of `count` values from `at` on; empty where there is none.
    #[inline(always)]
    pub fn residual_at(&self, at: usize, count: usize) -> &'a [f32] {
        self.residual
            .map_or(&[], |residual| &residual[at..][..count])
    }

    /// The way out of a whole result `[batch, channel, pixel]`, for convolutions that do not take it along.
    pub fn finish(&self, y: &mut [f32], (channels, pixels): (usize, usize)) {
        let nothing = self.scale.is_none()
            && self.bias.is_none()
            && self.offset.is_none()
            && self.residual.is_none()
            && !self.relu;
        if nothing || pixels == 0 {
            return;
        }
        y.par_chunks_mut(pixels)
            .enumerate()
            .with_min_len((16 << 10) / pixels + 1)
            .for_each(|(index, plane)| {
                widest(Finish {
                    around: self,
                    parameters: self.of_channel(index / channels, index % channels, channels),
                    first: index * pixels,
                    plane,
                });
            });
    }
}

/// The way out of one plane.
struct Finish<'a> {
    around: &'a Around<'a>,
    parameters: [f32; 3],
    /// The number of the plane's first value in the result.
    first: usize,
    plane: &'a mut [f32],
}

impl Kernel for Finish<'_> {
    #[inline(always)]
    fn run<V: Vector>(self) {
        let [scale, bias, offset] = self.parameters;
        let parameters = [V::splat(scale), V::splat(bias), V::splat(offset)];
        for (i, values) in self.plane.chunks_mut(LANES).enumerate() {
            let residual = self
                .around
                .residual_at(self.first + i * LANES, values.len());
            let out = self.around.affine(V::read(values), parameters);
            let out = self.around.add_residual(out, residual);
            // SAFETY: the chunk has so many values.
            unsafe { out.write(values.as_mut_ptr(), values.len()) }
        }
    }
}

/// What an input gradient's convolution reads.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Source<'a> {
    /// `[batch, channel, pixel]`.
    Plain(&'a [f32]),
    /// A gradient on its way back through `relu(scale * value + …)`: `scale * dy` where the result `y` is positive.
    Back {
        dy: &'a [f32],
        /// None where there is no ReLU.
        y: Option<&'a [f32]>,
        /// `[channel]`.
        scale: &'a [f32],
    },
}

impl<'a> Source<'a> {
    /// Sixteen values at most from `at` on, of one channel.
    #[inline(always)]
    pub fn read<V: Vector>(self, at: usize, count: usize, channel: usize) -> V {
        match self {
            Self::Plain(x) => V::read(&x[at..][..count]),
            Self::Back { dy, y, scale } => {
                let mut values = V::read(&dy[at..][..count]);
                if let Some(y) = y {
                    values = values.where_positive(V::read(&y[at..][..count]));
                }
                values.times(V::splat(scale[channel]))
            }
        }
    }

    /// All values, for convolutions that do not take them as they read.
    pub fn values(self, pixels: usize) -> Cow<'a, [f32]> {
        match self {
            Self::Plain(x) => Cow::Borrowed(x),
            Self::Back { dy, scale, .. } => Cow::Owned(mapped(dy.len(), pixels, self, scale.len())),
        }
    }
}

/// `dy` where the result `y` of a ReLU is positive, zero elsewhere.
pub(crate) fn where_positive(dy: &[f32], y: &[f32]) -> Vec<f32> {
    let source = Source::Back {
        dy,
        y: Some(y),
        scale: &[1.0],
    };
    mapped(dy.len(), PIECE, source, 1)
}

/// Values that a work item should have at least.
const PIECE: usize = 16 << 10;

/// All values of a source, whose planes of `pixels` belong to `channels` in turn.
fn mapped(count: usize, pixels: usize, source: Source<'_>, channels: usize) -> Vec<f32> {
    let pixels = pixels.max(1);
    let mut values = Vec::with_capacity(count);
    let to = Shared(values.as_mut_ptr());
    (0..count.div_ceil(pixels))
        .into_par_iter()
        .with_min_len(PIECE.div_ceil(pixels))
        .for_each(|plane| {
            widest(Map {
                source,
                channel: plane % channels,
                from: plane * pixels,
                to: ((plane + 1) * pixels).min(count),
                out: &to,
            });
        });
    // SAFETY: every plane wrote all of its values.
    unsafe { values.set_len(count) };
    values
}

/// The values `from..to` of a source.
struct Map<'a> {
    source: Source<'a>,
    channel: usize,
    from: usize,
    to: usize,
    out: &'a Shared<f32>,
}

impl Kernel for Map<'_> {
    #[inline(always)]
    fn run<V: Vector>(self) {
        for at in (self.from..self.to).step_by(LANES) {
            let count = (self.to - at).min(LANES);
            let values = self.source.read::<V>(at, count, self.channel);
            // SAFETY: the plane's own values.
            unsafe { self.out.write_values(at, values, count) }
        }
    }
}
