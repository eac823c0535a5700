//! Weights, transformed once and used often.

use rayon::prelude::*;

use super::transforms::{FilterToTaps, Transform, both};
use super::{PANEL, Shared, Tile};
use crate::lanes::{Kernel, LANES, Lane, Vector, gather, widest};

/// Transformed weights, packed for the matrix product: `[tap][panel][in][channels of the panel]`.
#[derive(Debug)]
pub(crate) struct Weights {
    pub(super) tile: Tile,
    pub(super) values: Vec<Lane>,
    pub(super) channels_in: usize,
    pub(super) channels_out: usize,
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
    pub(super) fn tap(channels_in: usize, groups: usize) -> usize {
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
            let depth = channels_in * 9;
            let own = &self.weight[group * LANES * depth..];
            let mut next = filters.iter_mut();
            gather::<V>(
                count,
                (0, depth),
                #[inline(always)]
                |o, k, count| V::read(&own[o * depth + k..][..count]),
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
                // SAFETY: below A * A * tap; each group writes its own lanes alone.
                |y, x, value| unsafe { self.out.store((y * A + x) * tap + at, value) },
            );
        }
    }
}
