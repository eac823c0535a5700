//! New values, written once and by all threads.

use std::mem::MaybeUninit;

use rayon::prelude::*;

/// Values of a work item at least.
const LEAST_VALUES: usize = 16 << 10;

/// `count` values in parts of `part`, each made by `write`, which is given the part's number.
///
/// # Safety
/// `write` has to write all of its part, and `count` has to be a multiple of `part`.
pub(crate) unsafe fn filled(
    count: usize,
    part: usize,
    write: impl Fn(usize, &mut [MaybeUninit<f32>]) + Sync,
) -> Vec<f32> {
    let mut values = Vec::with_capacity(count);
    if count == 0 {
        return values;
    }
    values.spare_capacity_mut()[..count]
        .par_chunks_exact_mut(part)
        .enumerate()
        .with_min_len(LEAST_VALUES.div_ceil(part))
        .for_each(|(number, values)| write(number, values));
    // SAFETY: the caller's promise.
    unsafe { values.set_len(count) };
    values
}
