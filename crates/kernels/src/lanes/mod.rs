//! Sixteen neighbouring channels as one value, and the way between them and planes of pixels.

#[cfg(target_arch = "x86_64")]
mod avx512;

use std::cell::RefCell;
use std::ops::{Add, Mul, Sub};

use crate::bf16::rounded_bits;
use crate::simd::{sigmoid, vectorised};

/// Channels a [`Lane`] holds.
pub(crate) const LANES: usize = 16;

/// The same pixel (or tap) of sixteen channels, in memory: one AVX-512 register, two of AVX2.
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

/// A [`Lane`] to compute with: in registers, whatever the loops around it are.
pub(crate) trait Vector:
    Copy + Add<Output = Self> + Sub<Output = Self> + Mul<f32, Output = Self>
{
    fn zero() -> Self;

    fn splat(value: f32) -> Self;

    fn load(lane: &Lane) -> Self;

    fn store(self, lane: &mut Lane);

    /// Sixteen values at most, and zeros behind them.
    fn read(values: &[f32]) -> Self;

    /// Writes the first `count` values to `to`.
    ///
    /// # Safety
    /// `count` is sixteen at most, and so many values may be written there.
    unsafe fn write(self, to: *mut f32, count: usize);

    /// Words, as bits, each the nearest bfloat16 of `low` and, above it, that of `high`.
    fn pairs_of_bf16(low: Self, high: Self) -> Self;

    /// Turns sixteen rows of sixteen values into sixteen columns.
    fn transpose(rows: [Self; LANES]) -> [Self; LANES];

    fn times(self, other: Self) -> Self;

    /// `self * by + plus`, rounded once where there is an instruction for it.
    fn times_plus(self, by: Self, plus: Self) -> Self;

    /// Zero where `of` is not positive.
    fn where_positive(self, of: Self) -> Self;

    /// Zero in place of negative values.
    fn relu(self) -> Self;

    /// `h * sigmoid(h)` of `h = self * scale + shift`.
    fn affine_silu(self, scale: Self, shift: Self) -> Self;
}

/// A loop over [`Vector`]s.
pub(crate) trait Kernel {
    /// `#[inline(always)]`, as is everything in it: it is compiled for each kind of vector.
    fn run<V: Vector>(self);
}

/// Runs `kernel` on the widest vectors that this processor has.
#[inline]
pub(crate) fn widest(kernel: impl Kernel) {
    #[cfg(target_arch = "x86_64")]
    if crate::simd::has_avx512() {
        #[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512bw,fma,avx2")]
        fn wide(kernel: impl Kernel) {
            kernel.run::<avx512::Wide>();
        }
        // SAFETY: the features were just detected.
        return unsafe { wide(kernel) };
    }
    vectorised(
        #[inline(always)]
        || kernel.run::<Lane>(),
    );
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

impl Vector for Lane {
    #[inline(always)]
    fn zero() -> Self {
        Self::ZERO
    }

    #[inline(always)]
    fn splat(value: f32) -> Self {
        Self([value; LANES])
    }

    #[inline(always)]
    fn load(lane: &Lane) -> Self {
        *lane
    }

    #[inline(always)]
    fn store(self, lane: &mut Lane) {
        *lane = self;
    }

    #[inline(always)]
    fn read(values: &[f32]) -> Self {
        let mut lane = Self::ZERO;
        match values.first_chunk() {
            Some(whole) => lane.0 = *whole,
            None => lane.0[..values.len()].copy_from_slice(values),
        }
        lane
    }

    #[inline(always)]
    unsafe fn write(self, to: *mut f32, count: usize) {
        // SAFETY: the caller's promise; `self` is a copy, so it cannot overlap.
        unsafe {
            match count {
                LANES => to.cast::<[f32; LANES]>().write_unaligned(self.0),
                _ => std::ptr::copy_nonoverlapping(self.0.as_ptr(), to, count),
            }
        }
    }

    #[inline(always)]
    fn pairs_of_bf16(low: Self, high: Self) -> Self {
        low.zip(high, |low, high| {
            f32::from_bits(rounded_bits(low) | rounded_bits(high) << 16)
        })
    }

    /// By four rounds of interleaving rows `i` and `i + 8`.
    #[inline(always)]
    fn transpose(mut rows: [Self; LANES]) -> [Self; LANES] {
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
            rows = next;
        }
        rows
    }

    #[inline(always)]
    fn times(self, other: Self) -> Self {
        self.zip(other, |a, b| a * b)
    }

    #[inline(always)]
    fn times_plus(self, by: Self, plus: Self) -> Self {
        self.times(by) + plus
    }

    #[inline(always)]
    fn where_positive(self, of: Self) -> Self {
        self.zip(of, |a, b| if b > 0.0 { a } else { 0.0 })
    }

    #[inline(always)]
    fn relu(self) -> Self {
        self.zip(self, |a, _| if a < 0.0 { 0.0 } else { a })
    }

    #[inline(always)]
    fn affine_silu(self, scale: Self, shift: Self) -> Self {
        let mut h = self.zip(scale, |x, a| x * a) + shift;
        for h in &mut h.0 {
            *h *= sigmoid(*h);
        }
        h
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

/// Takes the pixels `from..to` of `count` of sixteen planes; missing planes are zero. `read` is asked for so many values of a
/// plane from a pixel on, sixteen at most; `put` is given each pixel's vector in turn.
#[inline(always)]
pub(crate) fn gather<V: Vector>(
    count: usize,
    (from, to): (usize, usize),
    read: impl Fn(usize, usize, usize) -> V,
    mut put: impl FnMut(V),
) {
    let mut p = from;
    while p < to {
        let n = (to - p).min(LANES);
        let mut rows = [V::zero(); LANES];
        // Loops over all sixteen are unrolled, and the rows stay in registers.
        if n == LANES && count == LANES {
            for (plane, row) in rows.iter_mut().enumerate() {
                *row = read(plane, p, LANES);
            }
            for row in V::transpose(rows) {
                put(row);
            }
        } else {
            for (plane, row) in rows.iter_mut().enumerate().take(count) {
                *row = read(plane, p, n);
            }
            for row in V::transpose(rows).into_iter().take(n) {
                put(row);
            }
        }
        p += n;
    }
}

/// The inverse of [`gather`]: `take` gives the vector of each pixel in turn; `write` is given a plane, the first pixel, the
/// values of that plane from there on, and how many of them count.
#[inline(always)]
pub(crate) fn scatter<V: Vector>(
    count: usize,
    (from, to): (usize, usize),
    mut take: impl FnMut() -> V,
    mut write: impl FnMut(usize, usize, V, usize),
) {
    let mut p = from;
    while p < to {
        let n = (to - p).min(LANES);
        let mut rows = [V::zero(); LANES];
        if n == LANES && count == LANES {
            for row in &mut rows {
                *row = take();
            }
            for (l, row) in V::transpose(rows).into_iter().enumerate() {
                write(l, p, row, LANES);
            }
        } else {
            for row in rows.iter_mut().take(n) {
                *row = take();
            }
            for (l, row) in V::transpose(rows).into_iter().enumerate().take(count) {
                write(l, p, row, n);
            }
        }
        p += n;
    }
}

thread_local! {
    static SCRATCH: RefCell<Vec<Lane>> = const { RefCell::new(Vec::new()) };
}

/// Lends `f` a buffer of this thread, whose contents are what the last user left.
pub(crate) fn with_scratch<R>(lanes: usize, f: impl FnOnce(&mut [Lane]) -> R) -> R {
    let mut buffer = SCRATCH.take();
    if buffer.len() < lanes {
        buffer.resize(lanes, Lane::ZERO);
    }
    let result = f(&mut buffer[..lanes]);
    SCRATCH.set(buffer);
    result
}

/// A buffer that several threads write at places of their own.
pub(crate) struct Shared<T>(pub *mut T);

// SAFETY: what writes is unsafe and asks for disjoint places.
unsafe impl<T: Send> Sync for Shared<T> {}

impl Shared<Lane> {
    /// # Safety
    /// `at` is inside the buffer, and no other thread reads or writes it.
    #[inline(always)]
    pub unsafe fn store<V: Vector>(&self, at: usize, value: V) {
        // SAFETY: the caller's promise; lanes have no values that a reference may not see.
        value.store(unsafe { &mut *self.0.add(at) });
    }
}

impl Shared<f32> {
    /// # Safety
    /// The first `count` of sixteen values from `at` on are inside the buffer, and no other thread reads or writes them.
    #[inline(always)]
    pub unsafe fn write_values<V: Vector>(&self, at: usize, values: V, count: usize) {
        // SAFETY: the caller's promise.
        unsafe { values.write(self.0.add(at), count) }
    }
}
