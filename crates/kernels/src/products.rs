//! The matrix products between Winograd's transforms: short, and packed already.
//!
//! With AVX-512 a block of the result, up to sixty-four channels of several tiles, stays in registers over the whole sum, and
//! nothing is packed again; elsewhere the products are `gemm`'s.

use crate::lanes::{LANES, Lane, flat, flat_mut};
use crate::matmul::matmul_into;
#[cfg(target_arch = "x86_64")]
use crate::simd::has_avx512;

/// One tap's product for up to four groups of output channels:
/// `out[tile][..width] = sum over depth of weights[depth][..width] * tiles[tile][depth]`.
///
/// `weights` are `[depth][width]` lanes, `tiles` rows of `pitch_in` lanes, of which `depth` values count, `out` rows of
/// `pitch_out` lanes. `next` are the weights of the product after this one: they are fetched meanwhile.
pub(crate) fn panel(
    weights: &[Lane],
    next: &[Lane],
    (width, depth): (usize, usize),
    (tiles, pitch_in): (&[Lane], usize),
    (out, pitch_out): (&mut [Lane], usize),
    count: usize,
) {
    assert!((1..=4).contains(&width), "a panel has one to four lanes");
    #[cfg(target_arch = "x86_64")]
    if has_avx512() {
        // SAFETY: the instructions were just detected.
        unsafe {
            let (tiles, out) = ((tiles, pitch_in), (out, pitch_out));
            match width {
                1 => avx512::panel::<1, 24>(weights, next, depth, tiles, out, count),
                2 => avx512::panel::<2, 12>(weights, next, depth, tiles, out, count),
                3 => avx512::panel::<3, 8>(weights, next, depth, tiles, out, count),
                _ => avx512::panel::<4, 6>(weights, next, depth, tiles, out, count),
            }
        }
        return;
    }
    let _ = next;
    matmul_into(
        (width * LANES, count, depth),
        flat_mut(out),
        (1, pitch_out * LANES),
        false,
        flat(weights),
        (1, width * LANES),
        flat(tiles),
        (1, pitch_in * LANES),
    );
}

#[cfg(target_arch = "x86_64")]
mod avx512 {
    use std::arch::x86_64::{
        __m512, _MM_HINT_T1, _mm_prefetch, _mm512_fmadd_ps, _mm512_load_ps, _mm512_set1_ps,
        _mm512_setzero_ps, _mm512_store_ps,
    };

    use crate::lanes::{LANES, Lane};

    /// [`super::panel`], `T` tiles at a time.
    #[target_feature(enable = "avx512f")]
    pub(super) fn panel<const W: usize, const T: usize>(
        weights: &[Lane],
        next: &[Lane],
        depth: usize,
        (tiles, pitch_in): (&[Lane], usize),
        (out, pitch_out): (&mut [Lane], usize),
        count: usize,
    ) {
        assert!(weights.len() >= depth * W && depth <= pitch_in * LANES);
        assert!(count == 0 || tiles.len() >= count * pitch_in);
        assert!(count == 0 || out.len() >= (count - 1) * pitch_out + W);
        let (weights, tiles, out) = (weights.as_ptr().cast(), tiles.as_ptr(), out.as_mut_ptr());
        let pitches = (pitch_in * LANES, pitch_out * LANES);
        // Each block fetches its share of every row of the next weights.
        let share = W.div_ceil(count.div_ceil(T).max(1));
        let mut fetch = 0..0;
        let mut tile = 0;
        while tile < count {
            let left = count - tile;
            fetch = match next.len() >= depth * W {
                true => fetch.end.min(W)..(fetch.end + share).min(W),
                false => 0..0,
            };
            let ahead = (next.as_ptr(), fetch.clone());
            // SAFETY: inside the slices by the assertions, with as many tiles as are left at most; lanes are aligned.
            tile += unsafe {
                let from = tiles.add(tile * pitch_in).cast();
                let to = out.add(tile * pitch_out).cast();
                if left >= T {
                    block::<W, T>(weights, ahead, depth, from, to, pitches)
                } else if left >= 4 {
                    block::<W, 4>(weights, ahead, depth, from, to, pitches)
                } else if left >= 2 {
                    block::<W, 2>(weights, ahead, depth, from, to, pitches)
                } else {
                    block::<W, 1>(weights, ahead, depth, from, to, pitches)
                }
            };
        }
    }

    /// `W` lanes of `T` tiles, whose number it returns.
    ///
    /// # Safety
    /// `depth` rows of `W` lanes lie at `weights`, `T` rows of `depth` values begin at `tiles` and `T` rows of `W` lanes at
    /// `out`, each as far from the next as the pitches say; weights and out are aligned as lanes are.
    #[inline]
    #[target_feature(enable = "avx512f")]
    unsafe fn block<const W: usize, const T: usize>(
        weights: *const f32,
        (next, fetch): (*const Lane, std::ops::Range<usize>),
        depth: usize,
        tiles: *const f32,
        out: *mut f32,
        (pitch_in, pitch_out): (usize, usize),
    ) -> usize {
        let mut sums: [[__m512; W]; T] = [[_mm512_setzero_ps(); W]; T];
        for k in 0..depth {
            for line in fetch.clone() {
                _mm_prefetch::<_MM_HINT_T1>(next.wrapping_add(k * W + line).cast());
            }
            let mut w = [_mm512_setzero_ps(); W];
            for (l, w) in w.iter_mut().enumerate() {
                // SAFETY: the caller's promise.
                *w = unsafe { _mm512_load_ps(weights.add((k * W + l) * LANES)) };
            }
            for (t, sums) in sums.iter_mut().enumerate() {
                // SAFETY: the caller's promise.
                let value = _mm512_set1_ps(unsafe { *tiles.add(t * pitch_in + k) });
                for (sum, w) in sums.iter_mut().zip(w) {
                    *sum = _mm512_fmadd_ps(w, value, *sum);
                }
            }
        }
        for (t, sums) in sums.iter().enumerate() {
            for (l, sum) in sums.iter().enumerate() {
                // SAFETY: the caller's promise.
                unsafe { _mm512_store_ps(out.add(t * pitch_out + l * LANES), *sum) };
            }
        }
        T
    }
}
