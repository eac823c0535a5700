//! The transforms of F(2x2, 3x3), F(4x4, 3x3) and, for the weight gradient, F(3x3, 4x4).

use crate::lanes::Vector;

/// A transform in one direction, from `I` values to `O`.
pub(super) trait Transform<const I: usize, const O: usize> {
    fn apply<V: Vector>(values: [V; I]) -> [V; O];
}

/// `B^T d`.
pub(super) struct ToTaps;

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
pub(super) struct FilterToTaps;

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
pub(super) struct FromTaps;

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
pub(super) struct GradientToTaps;

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
pub(super) struct WeightFromTaps;

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
pub(super) fn both<T: Transform<I, O>, V: Vector, const I: usize, const O: usize>(
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
