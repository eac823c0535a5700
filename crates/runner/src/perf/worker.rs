//! Our side of a measurement.

use std::io::{BufRead, Write};
use std::time::Instant;

use diffguard_models::memory::peak_resident;

use super::{failed, rows};
use crate::Result;

/// Least time of one measurement, in ms: shorter work is repeated and divided.
const LEAST: f64 = 20.0;

/// Unmeasured work at the beginning of a turn, in ms: cores that have rested are slow to come back.
const WAKE: f64 = 50.0;

/// Serves one row on standard input and output, as `process.rs` describes.
///
/// # Errors
/// For an unknown row, a row whose preparation fails, and a broken pipe.
pub fn work(name: &str) -> Result<()> {
    let row = rows::find(name)?;
    let mut work = (row.prepare)()?;
    // On a thread of the pool, as the harness runs networks: any other would hand over every operation and wait for it.
    let mut execute = || rayon::scope(|_| work());
    execute();
    let mut once = f64::INFINITY;
    for _ in 0..3 {
        let start = Instant::now();
        execute();
        once = once.min(milliseconds(start));
    }
    let repeats = (LEAST / once).ceil().clamp(1.0, 1000.0) as usize;
    answer(row.name, "ready -")?;
    for line in std::io::stdin().lock().lines() {
        match line.map_err(|error| failed(row.name, error))?.trim() {
            "go" => {
                let waking = Instant::now();
                while milliseconds(waking) < WAKE {
                    execute();
                }
                let start = Instant::now();
                for _ in 0..repeats {
                    execute();
                }
                answer(row.name, milliseconds(start) / repeats as f64)?;
            }
            "end" => {
                let peak = peak_resident().map_or("-".to_owned(), |bytes| {
                    (bytes as f64 / 1_048_576.0).to_string()
                });
                return answer(row.name, peak);
            }
            other => return Err(failed(row.name, format!("`{other}` is neither go nor end"))),
        }
    }
    Ok(())
}

fn milliseconds(start: Instant) -> f64 {
    start.elapsed().as_secs_f64() * 1e3
}

fn answer(name: &str, what: impl std::fmt::Display) -> Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{what}")
        .and_then(|()| out.flush())
        .map_err(|error| failed(name, error))
}
