//! Work units side by side.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::{Error, Result};

/// Calls `f` for every item, as many at once as there are threads; the results in the items' order.
///
/// Each worker has its share of the threads to itself, so that where there are as many items as threads a unit runs
/// through without waiting for others at every operation. The last items, for which there are fewer than workers, share
/// all threads. No two items run in one pool: a thread that waits there would pick up the other, perhaps while it holds a
/// lock.
///
/// # Errors
/// The first error in the items' order; no further item is begun after one. Where the system refuses a thread.
pub fn each<T: Send, R: Send>(
    items: &mut [T],
    f: impl Fn(&mut T) -> Result<R> + Sync,
) -> Result<Vec<R>> {
    let count = items.len();
    let threads = rayon::current_num_threads();
    let workers = threads.min(count);
    let queue = Mutex::new(items.iter_mut().enumerate());
    let failed = AtomicBool::new(false);
    let done = Mutex::new(Vec::with_capacity(count));
    let work = || -> Result<()> {
        let own = pool(threads / workers)?;
        while !failed.load(Ordering::Relaxed) {
            let next = queue.lock().unwrap_or_else(PoisonError::into_inner).next();
            let Some((index, item)) = next else { break };
            let left = count - index;
            let result = match left < workers {
                true => pool(threads / left)?.install(|| f(item)),
                false => own.install(|| f(item)),
            };
            if result.is_err() {
                failed.store(true, Ordering::Relaxed);
            }
            done.lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push((index, result));
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
        let ended = workers.into_iter().map(|worker| match worker.join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        });
        ended.collect::<Result<()>>()
    })?;
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.sort_by_key(|(index, _)| *index);
    done.into_iter().map(|(_, result)| result).collect()
}

/// So many threads of their own.
fn pool(threads: usize) -> Result<ThreadPool> {
    let pool = ThreadPoolBuilder::new().num_threads(threads).build();
    pool.map_err(|error| Error::Setting(format!("cannot start {threads} threads: {error}")))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_item_once_in_order_and_the_first_error() {
        for count in [0, 1, 2, 3, 17] {
            let mut items: Vec<usize> = (0..count).collect();
            let made = each(&mut items, |item| {
                *item += 1;
                Ok(*item * 10)
            });
            let expected: Vec<usize> = (1..=count).map(|it| it * 10).collect();
            assert_eq!(made.unwrap(), expected);
        }
        let mut items: Vec<usize> = (0..40).collect();
        let begun = Mutex::new(BTreeSet::new());
        let error = each(&mut items, |item| {
            begun.lock().unwrap().insert(*item);
            match *item {
                0 | 1 => Err(Error::Setting(format!("item {item}"))),
                _ => Ok(()),
            }
        });
        assert!(error.unwrap_err().to_string().contains("item 0"));
        assert!(begun.lock().unwrap().len() < 40);
    }

    #[test]
    fn workers_share_the_threads_and_the_last_item_has_all() {
        let threads = rayon::current_num_threads();
        let mut items = vec![(); 3 * threads];
        let seen = each(&mut items, |_| Ok(rayon::current_num_threads())).unwrap();
        assert_eq!(seen[0], 1);
        assert_eq!(seen.last(), Some(&threads));
        let mut one = [()];
        let seen = each(&mut one, |_| Ok(rayon::current_num_threads())).unwrap();
        assert_eq!(seen, [threads]);
    }
}
