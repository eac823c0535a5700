//! Pieces of work that are done by several threads and handed on in their order, so many at most under way.

use std::collections::BTreeMap;
use std::sync::mpsc::channel;
use std::sync::{Condvar, Mutex, MutexGuard};
use std::thread;

/// How much may be under way.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Threads that make pieces.
    pub threads: usize,
    /// Pieces that are begun and not yet consumed.
    pub window: usize,
}

/// The turn of a thread: until it is dropped, no other thread begins a piece.
pub(crate) struct Turn<'a>(#[allow(dead_code, reason = "held")] MutexGuard<'a, State>);

/// Makes the pieces `0..count` by several threads and gives each to `consume`, in order. A slow consumer holds the
/// threads back: no piece is begun that is [`window`](Limits::window) or more ahead of it.
///
/// # Errors
///
/// The first of `consume`; no further piece is begun after it.
pub(crate) fn in_order<T: Send, E>(
    count: usize,
    limits: Limits,
    make: impl Fn(usize, Turn<'_>) -> T + Sync,
    mut consume: impl FnMut(usize, T) -> Result<(), E>,
) -> Result<(), E> {
    let line = Line::new(count, limits.window.max(1));
    thread::scope(|scope| {
        // However this ends, the threads are told.
        let _stop = Stop(&line);
        let (send, receive) = channel();
        for _ in 0..limits.threads.clamp(1, count.max(1)) {
            let (send, line, make) = (send.clone(), &line, &make);
            scope.spawn(move || {
                let _broken = StopAtPanic(line);
                while let Some((piece, turn)) = line.take() {
                    if send.send((piece, make(piece, turn))).is_err() {
                        return;
                    }
                }
            });
        }
        drop(send);
        let mut waiting = BTreeMap::new();
        for piece in 0..count {
            let made = loop {
                if let Some(made) = waiting.remove(&piece) {
                    break made;
                }
                // Every thread sends what it took, so this one comes; but where one panicked, all end, and the scope
                // passes the panic on.
                match receive.recv() {
                    Ok((arrived, made)) => waiting.insert(arrived, made),
                    Err(_) => return Ok(()),
                };
            };
            consume(piece, made)?;
            line.consumed();
        }
        Ok(())
    })
}

/// Whose turn it is.
struct Line {
    state: Mutex<State>,
    moved: Condvar,
    count: usize,
    window: usize,
}

pub(crate) struct State {
    next: usize,
    consumed: usize,
    stopped: bool,
}

impl Line {
    fn new(count: usize, window: usize) -> Self {
        Self {
            state: Mutex::new(State {
                next: 0,
                consumed: 0,
                stopped: false,
            }),
            moved: Condvar::new(),
            count,
            window,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state
            .lock()
            .unwrap_or_else(|broken| broken.into_inner())
    }

    /// The next piece, as soon as it is within the window, and the turn; `None` at the end.
    fn take(&self) -> Option<(usize, Turn<'_>)> {
        let mut state = self.lock();
        while !state.stopped
            && state.next < self.count
            && state.next >= state.consumed + self.window
        {
            state = self
                .moved
                .wait(state)
                .unwrap_or_else(|broken| broken.into_inner());
        }
        if state.stopped || state.next >= self.count {
            return None;
        }
        let piece = state.next;
        state.next += 1;
        Some((piece, Turn(state)))
    }

    fn consumed(&self) {
        self.lock().consumed += 1;
        self.moved.notify_all();
    }
}

/// Ends the line when dropped.
struct Stop<'a>(&'a Line);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.lock().stopped = true;
        self.0.moved.notify_all();
    }
}

/// Ends the line when dropped by a panic, so that nobody waits for a piece that never comes.
struct StopAtPanic<'a>(&'a Line);

impl Drop for StopAtPanic<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            drop(Stop(self.0));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use super::*;

    const LIMITS: Limits = Limits {
        threads: 3,
        window: 6,
    };

    /// A piece that counts itself as long as it is there.
    struct Counted<'a>(&'a AtomicUsize);

    impl Drop for Counted<'_> {
        fn drop(&mut self) {
            self.0.fetch_sub(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn a_slow_consumer_holds_the_threads_back() {
        let (alive, most, made) = (
            AtomicUsize::new(0),
            AtomicUsize::new(0),
            AtomicUsize::new(0),
        );
        let make = |_, turn: Turn<'_>| {
            drop(turn);
            made.fetch_add(1, Ordering::SeqCst);
            most.fetch_max(alive.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            Counted(&alive)
        };
        let consume = |piece: usize, counted| {
            // Time for the threads to run ahead as far as they may.
            thread::sleep(Duration::from_millis(5));
            let begun = made.load(Ordering::SeqCst);
            assert!(begun <= piece + LIMITS.window, "{begun} begun at {piece}");
            drop(counted);
            Ok::<(), Infallible>(())
        };
        assert!(in_order(60, LIMITS, make, consume).is_ok());
        assert_eq!(made.load(Ordering::SeqCst), 60);
        assert_eq!(alive.load(Ordering::SeqCst), 0);
        // The bound is used, and kept.
        assert_eq!(most.load(Ordering::SeqCst), LIMITS.window);
    }

    #[test]
    fn pieces_come_in_order_and_a_fault_or_a_panic_ends_the_work() {
        let made = AtomicUsize::new(0);
        let make = |piece: usize, turn: Turn<'_>| {
            drop(turn);
            // The later pieces of three are done first.
            thread::sleep(Duration::from_millis(2 * (2 - piece as u64 % 3)));
            made.fetch_add(1, Ordering::SeqCst);
            piece
        };
        let mut seen = Vec::new();
        let result = in_order(1000, LIMITS, make, |piece, value| {
            assert_eq!(piece, value);
            seen.push(piece);
            if piece == 20 { Err("enough") } else { Ok(()) }
        });
        assert_eq!(result, Err("enough"));
        assert_eq!(seen, (0..=20).collect::<Vec<_>>());
        assert!(made.load(Ordering::SeqCst) <= 20 + LIMITS.window);
        let broken = std::panic::catch_unwind(|| {
            let make = |piece: usize, _: Turn<'_>| assert!(piece != 3, "broken");
            in_order(1000, LIMITS, make, |_, ()| Ok::<(), Infallible>(()))
        });
        assert!(broken.is_err());
        assert!(in_order(0, LIMITS, |_, _: Turn<'_>| (), |_, ()| Err("none")).is_ok());
    }
}
