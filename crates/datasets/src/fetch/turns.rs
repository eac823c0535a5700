//! How many transfers go on at the same time.

use std::sync::{Condvar, Mutex};

/// So many transfers at the same time.
#[derive(Debug)]
pub(super) struct Turns {
    free: Mutex<usize>,
    freed: Condvar,
}

/// The right to transfer, until it is dropped.
pub(super) struct Turn<'a>(&'a Turns);

impl Turns {
    pub(super) fn new(count: usize) -> Self {
        Self {
            free: Mutex::new(count),
            freed: Condvar::new(),
        }
    }

    pub(super) fn take(&self) -> Turn<'_> {
        let free = self.free.lock();
        let mut free = free.unwrap_or_else(std::sync::PoisonError::into_inner);
        while *free == 0 {
            let woken = self.freed.wait(free);
            free = woken.unwrap_or_else(std::sync::PoisonError::into_inner);
        }
        *free -= 1;
        Turn(self)
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let free = self.0.free.lock();
        *free.unwrap_or_else(std::sync::PoisonError::into_inner) += 1;
        self.0.freed.notify_one();
    }
}
