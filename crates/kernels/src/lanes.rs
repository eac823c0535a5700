//! Sixteen neighbouring channels as one value, and the way between them and planes of pixels.

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

    /// Writes the first `count` words, each the nearest bfloat16 of `low` and, above it, that of `high`.
    ///
    /// # Safety
    /// As for [`write`](Self::write).
    unsafe fn write_bf16(low: Self, high: Self, to: *mut u32, count: usize);

    /// Turns sixteen rows of sixteen values into sixteen columns.
    fn transpose(rows: [Self; LANES]) -> [Self; LANES];

    fn times(self, other: Self) -> Self;

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
    unsafe fn write_bf16(low: Self, high: Self, to: *mut u32, count: usize) {
        for (l, (low, high)) in low.0.into_iter().zip(high.0).enumerate().take(count) {
            let word = rounded_bits(low) | rounded_bits(high) << 16;
            // SAFETY: the caller's promise.
            unsafe { to.add(l).write(word) }
        }
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

#[cfg(target_arch = "x86_64")]
mod avx512 {
    use std::arch::x86_64::*;
    use std::ops::{Add, Mul, Sub};

    use super::{LANES, Lane, Vector};
    use crate::simd::{EXP, LARGEST, LEAST, LN2_HIGH, LN2_LOW, ROUND};

    /// A register of AVX-512. Made in [`super::widest`] alone, which looked for the instructions: that is what every block
    /// marked unsafe here relies on.
    #[derive(Clone, Copy)]
    pub(super) struct Wide(__m512);

    impl Add for Wide {
        type Output = Self;
        #[inline(always)]
        fn add(self, other: Self) -> Self {
            // SAFETY: see `Wide`.
            Self(unsafe { _mm512_add_ps(self.0, other.0) })
        }
    }

    impl Sub for Wide {
        type Output = Self;
        #[inline(always)]
        fn sub(self, other: Self) -> Self {
            // SAFETY: see `Wide`.
            Self(unsafe { _mm512_sub_ps(self.0, other.0) })
        }
    }

    impl Mul<f32> for Wide {
        type Output = Self;
        #[inline(always)]
        fn mul(self, factor: f32) -> Self {
            // SAFETY: see `Wide`.
            Self(unsafe { _mm512_mul_ps(self.0, _mm512_set1_ps(factor)) })
        }
    }

    impl Wide {
        /// As [`crate::bf16::rounded_bits`], but in the upper half of each word; the lower one is to be cut off.
        #[inline(always)]
        fn rounded_bits(self) -> __m512i {
            // SAFETY: see `Wide`.
            unsafe {
                let bits = _mm512_castps_si512(self.0);
                let odd = _mm512_and_si512(_mm512_srli_epi32::<16>(bits), _mm512_set1_epi32(1));
                let half = _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff));
                let nan = _mm512_cmp_ps_mask::<_CMP_UNORD_Q>(self.0, self.0);
                let nearest = _mm512_add_epi32(bits, half);
                _mm512_mask_mov_epi32(nearest, nan, _mm512_set1_epi32(0x7fc0_0000))
            }
        }
    }

    #[inline(always)]
    fn first(count: usize) -> __mmask16 {
        ((1u32 << count.min(LANES)) - 1) as __mmask16
    }

    impl Vector for Wide {
        #[inline(always)]
        fn zero() -> Self {
            // SAFETY: see `Wide`.
            Self(unsafe { _mm512_setzero_ps() })
        }

        #[inline(always)]
        fn splat(value: f32) -> Self {
            // SAFETY: see `Wide`.
            Self(unsafe { _mm512_set1_ps(value) })
        }

        #[inline(always)]
        fn load(lane: &Lane) -> Self {
            // SAFETY: a lane is aligned and whole.
            Self(unsafe { _mm512_load_ps(lane.0.as_ptr()) })
        }

        #[inline(always)]
        fn store(self, lane: &mut Lane) {
            // SAFETY: a lane is aligned and whole.
            unsafe { _mm512_store_ps(lane.0.as_mut_ptr(), self.0) }
        }

        #[inline(always)]
        fn read(values: &[f32]) -> Self {
            // SAFETY: the mask keeps to the slice.
            Self(unsafe {
                match values.len() >= LANES {
                    true => _mm512_loadu_ps(values.as_ptr()),
                    false => _mm512_maskz_loadu_ps(first(values.len()), values.as_ptr()),
                }
            })
        }

        #[inline(always)]
        unsafe fn write(self, to: *mut f32, count: usize) {
            // SAFETY: the caller's promise; the mask keeps to `count`.
            unsafe {
                match count {
                    LANES => _mm512_storeu_ps(to, self.0),
                    _ => _mm512_mask_storeu_ps(to, first(count), self.0),
                }
            }
        }

        #[inline(always)]
        unsafe fn write_bf16(low: Self, high: Self, to: *mut u32, count: usize) {
            // SAFETY: the caller's promise; the mask keeps to `count`.
            unsafe {
                let low = _mm512_srli_epi32::<16>(low.rounded_bits());
                let high = _mm512_and_si512(high.rounded_bits(), _mm512_set1_epi32(!0xffff));
                let words = _mm512_or_si512(low, high);
                match count {
                    LANES => _mm512_storeu_si512(to.cast(), words),
                    _ => _mm512_mask_storeu_epi32(to.cast(), first(count), words),
                }
            }
        }

        /// By four rounds of interleaving rows `i` and `i + 8`.
        #[inline(always)]
        fn transpose(mut rows: [Self; LANES]) -> [Self; LANES] {
            // SAFETY: see `Wide`.
            let (low, high) = unsafe {
                (
                    _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23),
                    _mm512_setr_epi32(8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31),
                )
            };
            for _ in 0..4 {
                let mut next = rows;
                for i in 0..8 {
                    let (a, b) = (rows[i].0, rows[i + 8].0);
                    // SAFETY: see `Wide`.
                    unsafe {
                        next[2 * i] = Self(_mm512_permutex2var_ps(a, low, b));
                        next[2 * i + 1] = Self(_mm512_permutex2var_ps(a, high, b));
                    }
                }
                rows = next;
            }
            rows
        }

        #[inline(always)]
        fn times(self, other: Self) -> Self {
            // SAFETY: see `Wide`.
            Self(unsafe { _mm512_mul_ps(self.0, other.0) })
        }

        #[inline(always)]
        fn relu(self) -> Self {
            // SAFETY: see `Wide`.
            unsafe {
                let zero = _mm512_setzero_ps();
                let negative = _mm512_cmp_ps_mask::<_CMP_LT_OQ>(self.0, zero);
                Self(_mm512_mask_mov_ps(self.0, negative, zero))
            }
        }

        /// The same operations in the same order as [`crate::simd::sigmoid`], so the same bits.
        #[inline(always)]
        fn affine_silu(self, scale: Self, shift: Self) -> Self {
            // SAFETY: see `Wide`.
            unsafe {
                let h = _mm512_add_ps(_mm512_mul_ps(self.0, scale.0), shift.0);
                let x = _mm512_sub_ps(_mm512_setzero_ps(), h);
                // The operands' order lets a NaN through.
                let x = _mm512_max_ps(_mm512_set1_ps(LEAST), x);
                let x = _mm512_min_ps(_mm512_set1_ps(LARGEST), x);
                let round = _mm512_set1_ps(ROUND);
                let log2_e = _mm512_set1_ps(std::f32::consts::LOG2_E);
                let n = _mm512_sub_ps(_mm512_add_ps(_mm512_mul_ps(x, log2_e), round), round);
                let r = _mm512_sub_ps(
                    _mm512_sub_ps(x, _mm512_mul_ps(n, _mm512_set1_ps(LN2_HIGH))),
                    _mm512_mul_ps(n, _mm512_set1_ps(LN2_LOW)),
                );
                let mut p = _mm512_set1_ps(EXP[0]);
                let mut i = 1;
                while i < EXP.len() {
                    p = _mm512_add_ps(_mm512_mul_ps(p, r), _mm512_set1_ps(EXP[i]));
                    i += 1;
                }
                let power = _mm512_add_epi32(_mm512_cvttps_epi32(n), _mm512_set1_epi32(127));
                let power = _mm512_castsi512_ps(_mm512_slli_epi32::<23>(power));
                let one = _mm512_set1_ps(1.0);
                let sigmoid = _mm512_div_ps(one, _mm512_add_ps(one, _mm512_mul_ps(p, power)));
                Self(_mm512_mul_ps(h, sigmoid))
            }
        }
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

/// Reads the pixels `from..to` of up to sixteen planes, `plane` values apart; missing planes read as zero. `put`
/// is given each pixel's vector in turn.
#[inline(always)]
pub(crate) fn gather<V: Vector>(
    planes: &[f32],
    plane: usize,
    count: usize,
    (from, to): (usize, usize),
    mut put: impl FnMut(V),
) {
    let mut p = from;
    while p < to {
        let n = (to - p).min(LANES);
        let mut rows = [V::zero(); LANES];
        // Loops over all sixteen are unrolled, and the rows stay in registers.
        if n == LANES && count == LANES {
            for (l, row) in rows.iter_mut().enumerate() {
                *row = V::read(&planes[l * plane + p..][..LANES]);
            }
            for row in V::transpose(rows) {
                put(row);
            }
        } else {
            for (l, row) in rows.iter_mut().enumerate().take(count) {
                *row = V::read(&planes[l * plane + p..][..n]);
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
