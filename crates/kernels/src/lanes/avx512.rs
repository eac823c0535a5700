//! Vectors of AVX-512.

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
    fn pairs_of_bf16(low: Self, high: Self) -> Self {
        // SAFETY: see `Wide`.
        Self(unsafe {
            let low = _mm512_srli_epi32::<16>(low.rounded_bits());
            let upper = _mm512_set1_epi32(!0xffff);
            // low | (high & upper)
            let words = _mm512_ternarylogic_epi32::<0xf8>(low, high.rounded_bits(), upper);
            _mm512_castsi512_ps(words)
        })
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
    fn times_plus(self, by: Self, plus: Self) -> Self {
        // SAFETY: see `Wide`.
        Self(unsafe { _mm512_fmadd_ps(self.0, by.0, plus.0) })
    }

    #[inline(always)]
    fn where_positive(self, of: Self) -> Self {
        // SAFETY: see `Wide`.
        unsafe {
            let positive = _mm512_cmp_ps_mask::<_CMP_GT_OQ>(of.0, _mm512_setzero_ps());
            Self(_mm512_maskz_mov_ps(positive, self.0))
        }
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
