//! The matrix products between Winograd's transforms: short, and packed already.
//!
//! With AVX-512 a block of the result, up to sixty-four channels of several tiles, stays in registers over the whole sum, and
//! nothing is packed again; elsewhere the products are `gemm`'s.

use crate::lanes::{LANES, Lane, flat, flat_mut};
use crate::matmul::matmul_into;
#[cfg(target_arch = "x86_64")]
use crate::simd::has_avx512;

/// One tap's product for one or two groups of output channels:
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
    assert!((1..=2).contains(&width), "a panel has one or two lanes");
    #[cfg(target_arch = "x86_64")]
    if has_avx512() {
        // SAFETY: the instructions were just detected.
        unsafe {
            let (tiles, out) = ((tiles, pitch_in), (out, pitch_out));
            match width {
                1 => avx512::panel::<1>(weights, next, depth, tiles, out, count),
                _ => avx512::panel::<2>(weights, next, depth, tiles, out, count),
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

    /// Most tiles at a time: the sums of two groups of channels, the weights and a value fill the registers.
    const TILES: usize = 12;

    /// [`super::panel`], in blocks of tiles as equal as can be.
    #[target_feature(enable = "avx512f")]
    pub(super) fn panel<const W: usize>(
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
        let blocks = count.div_ceil(TILES);
        // Each block fetches its share of the next weights.
        let next = match next.len() >= depth * W {
            true => &next[..depth * W],
            false => &[],
        };
        for index in 0..blocks {
            let part = |length: usize| index * length / blocks..(index + 1) * length / blocks;
            let (own, ahead) = (part(count), &next[part(next.len())]);
            // SAFETY: inside the slices by the assertions; lanes are aligned.
            unsafe {
                let from = tiles.add(own.start * pitch_in).cast();
                let to = out.add(own.start * pitch_out).cast();
                macro_rules! block {
                    ($($tiles:literal)*) => {
                        match own.len() {
                            $($tiles => block::<W, $tiles>(weights, ahead, depth, from, to, pitches),)*
                            _ => unreachable!("a block has one to twelve tiles"),
                        }
                    };
                }
                block!(1 2 3 4 5 6 7 8 9 10 11 12);
            }
        }
    }

    /// `W` lanes of `T` tiles; the first `depth` lanes of `next` are fetched
    /// meanwhile.
    ///
    /// # Safety
    /// `depth` rows of `W` lanes lie at `weights`, `T` rows of `depth` values begin at `tiles` and `T` rows of `W` lanes at
    /// `out`, each as far from the next as the pitches say; weights and out are aligned as lanes are.
    #[inline]
    #[target_feature(enable = "avx512f")]
    unsafe fn block<const W: usize, const T: usize>(
        weights: *const f32,
        next: &[Lane],
        depth: usize,
        tiles: *const f32,
        out: *mut f32,
        (pitch_in, pitch_out): (usize, usize),
    ) {
        let mut sums: [[__m512; W]; T] = [[_mm512_setzero_ps(); W]; T];
        for k in 0..depth {
            if let Some(line) = next.get(k) {
                _mm_prefetch::<_MM_HINT_T1>(std::ptr::from_ref(line).cast());
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
    }
}
