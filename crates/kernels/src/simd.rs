//! Run-time choice of the vector instructions, and the one transcendental function that the kernels need.

use std::sync::atomic::{AtomicU8, Ordering};

/// Sets of vector instructions for which the loops are compiled.
#[doc(hidden)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Instructions {
    /// What every processor of this architecture has.
    Baseline,
    /// AVX2 and FMA.
    Avx2,
    /// AVX-512 F, VL, DQ and BW.
    Avx512,
    /// AVX-512 and the matrix tiles of AMX, for bfloat16.
    Amx,
}

static ALLOWED: AtomicU8 = AtomicU8::new(Instructions::Amx as u8);

/// Keeps the kernels' own loops from using more than `most`, so that tests reach every path on one machine.
#[doc(hidden)]
pub fn limit_instructions(most: Instructions) {
    ALLOWED.store(most as u8, Ordering::Relaxed);
}

#[cfg(target_arch = "x86_64")]
pub(crate) fn allowed(instructions: Instructions) -> bool {
    ALLOWED.load(Ordering::Relaxed) >= instructions as u8
}

/// Whether [`Instructions::Avx512`] may be used here.
#[cfg(target_arch = "x86_64")]
pub(crate) fn has_avx512() -> bool {
    allowed(Instructions::Avx512)
        && is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512vl")
        && is_x86_feature_detected!("avx512dq")
        && is_x86_feature_detected!("avx512bw")
}

/// Runs `body`, compiled for the widest vector instructions that this processor has.
///
/// `body` must be `#[inline(always)]` all the way down: it is the loops inside it that get vectorised.
#[inline]
pub(crate) fn vectorised<R>(body: impl FnOnce() -> R) -> R {
    #[cfg(target_arch = "x86_64")]
    {
        #[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512bw,fma,avx2")]
        fn avx512<R>(body: impl FnOnce() -> R) -> R {
            body()
        }
        #[target_feature(enable = "avx2,fma")]
        fn avx2<R>(body: impl FnOnce() -> R) -> R {
            body()
        }
        if has_avx512() {
            // SAFETY: the features were just detected.
            return unsafe { avx512(body) };
        }
        if allowed(Instructions::Avx2)
            && is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("fma")
        {
            // SAFETY: the features were just detected.
            return unsafe { avx2(body) };
        }
    }
    body()
}

/// Where [`exp`] clamps its argument.
pub(crate) const LEAST: f32 = -87.0;
pub(crate) const LARGEST: f32 = 88.0;
/// ln 2 in two parts, of which the first has few bits.
pub(crate) const LN2_HIGH: f32 = 0.693_359_4;
pub(crate) const LN2_LOW: f32 = -2.121_944_4e-4;
/// 1.5 * 2^23: adding and subtracting it rounds to the nearest integer.
pub(crate) const ROUND: f32 = 12_582_912.0;
/// The polynomial of [`exp`], highest power first.
pub(crate) const EXP: [f32; 8] = [
    1.984_127e-4,
    1.388_888_9e-3,
    8.333_334e-3,
    4.166_666_8e-2,
    1.666_666_7e-1,
    0.5,
    1.0,
    1.0,
];

/// `exp(x)` for x in [-87, 88], clamped outside; relative error below 2e-7.
///
/// Cody-Waite reduction by ln 2 and a polynomial of degree 7 on [-ln2/2, ln2/2]; free of branches and calls,
/// so that the surrounding loop vectorises.
#[inline(always)]
pub(crate) fn exp(x: f32) -> f32 {
    let x = x.clamp(LEAST, LARGEST);
    let rounded = x * std::f32::consts::LOG2_E + ROUND;
    let n = rounded - ROUND;
    let r = (x - n * LN2_HIGH) - n * LN2_LOW;
    let mut p = EXP[0];
    let mut i = 1;
    while i < EXP.len() {
        p = p * r + EXP[i];
        i += 1;
    }
    // The lowest bits of `rounded` are those of n; a conversion to an integer would not vectorise.
    p * f32::from_bits(rounded.to_bits().wrapping_add(127) << 23)
}

/// The logistic function `1 / (1 + exp(-x))`.
#[inline(always)]
pub(crate) fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_is_close_to_the_double_precision_one() {
        let mut worst = 0f64;
        for i in -870_000..880_000 {
            let x = i as f32 * 1e-4;
            let exact = (x as f64).exp();
            worst = worst.max(((exp(x) as f64 - exact) / exact).abs());
        }
        assert!(worst < 2e-7, "relative error {worst:e}");
    }

    #[test]
    fn sigmoid_saturates_without_nan() {
        assert_eq!(sigmoid(1e30), 1.0);
        assert!(sigmoid(-1e30) >= 0.0 && sigmoid(-1e30) < 1e-37);
        assert_eq!(sigmoid(0.0), 0.5);
    }
}
