//! Sixteen neighbouring channels as one value, and the way between them and planes of pixels.

use std::ops::{Add, Mul, Sub};

/// Channels a [`Lane`] holds.
pub(crate) const LANES: usize = 16;

/// The same pixel (or tap) of sixteen channels: one AVX-512 register, two of AVX2.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
pub(crate) struct Lane(pub [f32; LANES]);

impl Lane {
    pub const ZERO: Self = Self([0.0; LANES]);

    #[inline(always)]
    fn zip(self, other: Self, f: impl Fn(f32, f32) -> f32) -> Self {
        let mut out = self;
        for (a, b) in out.0.iter_mut().zip(other.0) {
            *a = f(*a, b);
        }
        out
    }
}

impl Add for Lane {
    type Output = Self;
    #[inline(always)]
    fn add(self, other: Self) -> Self {
        self.zip(other, |a, b| a + b)
    }
}

impl Sub for Lane {
    type Output = Self;
    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        self.zip(other, |a, b| a - b)
    }
}

impl Mul<f32> for Lane {
    type Output = Self;
    #[inline(always)]
    fn mul(self, factor: f32) -> Self {
        self.zip(Self([factor; LANES]), |a, b| a * b)
    }
}

/// The lanes' values in order.
#[inline(always)]
pub(crate) fn flat(lanes: &[Lane]) -> &[f32] {
    // SAFETY: a `Lane` is 16 consecutive f32 without padding (64 bytes, aligned to 64).
    unsafe { std::slice::from_raw_parts(lanes.as_ptr().cast(), lanes.len() * LANES) }
}

/// [`flat`], to be written.
#[inline(always)]
pub(crate) fn flat_mut(lanes: &mut [Lane]) -> &mut [f32] {
    // SAFETY: as in `flat`; every bit pattern is a valid f32.
    unsafe { std::slice::from_raw_parts_mut(lanes.as_mut_ptr().cast(), lanes.len() * LANES) }
}

/// Turns sixteen rows of sixteen values into sixteen columns, by four rounds of interleaving rows `i` and `i + 8`.
#[inline(always)]
pub(crate) fn transpose(rows: &mut [Lane; LANES]) {
    for _ in 0..4 {
        let mut next = [Lane::ZERO; LANES];
        for i in 0..8 {
            let (a, b) = (rows[i].0, rows[i + 8].0);
            for j in 0..8 {
                next[2 * i].0[2 * j] = a[j];
                next[2 * i].0[2 * j + 1] = b[j];
                next[2 * i + 1].0[2 * j] = a[8 + j];
                next[2 * i + 1].0[2 * j + 1] = b[8 + j];
            }
        }
        *rows = next;
    }
}

/// Reads the pixels `from..to` of up to sixteen planes, `plane` values apart; missing planes read as zero. `put`
/// is given each pixel's index and its lane.
#[inline(always)]
pub(crate) fn gather(
    planes: &[f32],
    plane: usize,
    count: usize,
    (from, to): (usize, usize),
    mut put: impl FnMut(usize, Lane),
) {
    let mut p = from;
    while p < to {
        let n = (to - p).min(LANES);
        let mut rows = [Lane::ZERO; LANES];
        if n == LANES {
            for (l, row) in rows.iter_mut().enumerate().take(count) {
                row.0.copy_from_slice(&planes[l * plane + p..][..LANES]);
            }
        } else {
            for (l, row) in rows.iter_mut().enumerate().take(count) {
                row.0[..n].copy_from_slice(&planes[l * plane + p..][..n]);
            }
        }
        transpose(&mut rows);
        for (i, row) in rows.iter().enumerate().take(n) {
            put(p + i, *row);
        }
        p += n;
    }
}

/// The inverse of [`gather`]: `take` gives the lane of each pixel; `write` is given a plane, the first pixel
/// and the values of that plane from there on.
#[inline(always)]
pub(crate) fn scatter(
    count: usize,
    (from, to): (usize, usize),
    mut take: impl FnMut(usize) -> Lane,
    mut write: impl FnMut(usize, usize, &[f32]),
) {
    let mut p = from;
    while p < to {
        let n = (to - p).min(LANES);
        let mut rows = [Lane::ZERO; LANES];
        for (i, row) in rows.iter_mut().enumerate().take(n) {
            *row = take(p + i);
        }
        transpose(&mut rows);
        for (l, row) in rows.iter().enumerate().take(count) {
            write(l, p, &row.0[..n]);
        }
        p += n;
    }
}
