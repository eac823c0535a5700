//! Work units side by side.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::Result;

/// Calls `f` for every item, as many at once as there are threads; the results in the items' order.
///
/// Two work units fill the gaps that one leaves where its network cannot use all cores. The workers are no threads of
/// the pool: a pool's thread that waits may pick up another unit while it holds a lock.
///
/// # Errors
/// The first error in the items' order; no further item is begun after one.
pub fn each<T: Send, R: Send>(
    items: &mut [T],
    f: impl Fn(&mut T) -> Result<R> + Sync,
) -> Result<Vec<R>> {
    let count = items.len();
    let queue = Mutex::new(items.iter_mut().enumerate());
    let failed = AtomicBool::new(false);
    let done = Mutex::new(Vec::with_capacity(count));
    std::thread::scope(|scope| {
        for _ in 0..rayon::current_num_threads().min(count) {
            scope.spawn(|| {
                while !failed.load(Ordering::Relaxed) {
                    let next = queue.lock().unwrap_or_else(PoisonError::into_inner).next();
                    let Some((index, item)) = next else { break };
                    let result = f(item);
                    if result.is_err() {
                        failed.store(true, Ordering::Relaxed);
                    }
                    done.lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .push((index, result));
                }
            });
        }
    });
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.sort_by_key(|(index, _)| *index);
    done.into_iter().map(|(_, result)| result).collect()
}
