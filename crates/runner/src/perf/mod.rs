//! How fast the program is, beside PyTorch on the same cores.
//!
//! Each row is measured by two processes that take turns, ours and the peer's (`xtask/peers/perf_peer.py`): both are told
//! "go", do the row's work once and answer with its time. So both see the same machine, and each one's peak memory
//! is its own. To add a row: one function in [`rows`] and its line in [`rows::ROWS`], one in the script.

pub mod cost;
mod process;
pub mod rows;
mod table;
mod worker;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::{Error, Result};
use process::Process;
use rows::{ROWS, Row};

pub use worker::work;

/// What to measure and against what.
#[derive(Debug, Default)]
pub struct Options {
    /// The Python with PyTorch and the script that speaks for it; ours alone where there is none.
    pub peer: Option<Peer>,
    /// The row to measure; all where not given.
    pub only: Option<String>,
    /// Threads that each side may use.
    pub threads: usize,
}

/// The other side.
#[derive(Debug)]
pub struct Peer {
    /// Python interpreter.
    pub python: PathBuf,
    /// The script.
    pub script: PathBuf,
}

/// One row, measured. Absent values (no peer, unknown operation count, not Linux) are `null`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Measured {
    /// The row's name.
    pub name: &'static str,
    /// Median time of ours, in ms.
    pub ours_ms: f64,
    /// Median time of the peer's, in ms.
    pub peer_ms: Option<f64>,
    /// `peer_ms / ours_ms`: above 1, ours is faster.
    pub ratio: Option<f64>,
    /// 10^9 operations a second, ours, counted as direct convolutions and plain products.
    pub gflops: Option<f64>,
    /// `gflops` as a share of `peak_gflops`; above 1 where an algorithm needs less than the direct count.
    pub share_of_peak: Option<f64>,
    /// Peak resident memory of our process, in MiB.
    pub peak_mib: Option<f64>,
    /// Peak resident memory of the peer's process, in MiB.
    pub peer_peak_mib: Option<f64>,
    /// Fastest of ours, in ms.
    pub ours_best_ms: f64,
    /// Fastest of the peer's, in ms.
    pub peer_best_ms: Option<f64>,
    /// Interquartile range of ours as a share of the median.
    pub ours_spread: f64,
    /// Interquartile range of the peer's as a share of the median.
    pub peer_spread: Option<f64>,
    /// Which of its variants the peer took, as the fastest.
    pub peer_variant: Option<String>,
    /// Measurements of each side.
    pub rounds: usize,
    /// Threads of each side.
    pub threads: usize,
    /// The faster side's single-precision matrix product in this run (row `sgemm_2048`), in 10^9 operations a second.
    pub peak_gflops: Option<f64>,
}

/// Measurements of one row, at least and at most.
const ROUNDS: std::ops::RangeInclusive<usize> = 7..=40;

/// Time after which a row is not measured again once it has been often enough.
const PATIENCE: Duration = Duration::from_secs(10);

/// Measures the rows asked for, in order; `done` is given each as it comes.
///
/// # Errors
/// For an unknown row, and when one of the processes cannot be started or fails.
pub fn measure(options: &Options, mut done: impl FnMut(&Measured)) -> Result<Vec<Measured>> {
    let chosen: Vec<&Row> = match &options.only {
        None => ROWS.iter().collect(),
        Some(name) => vec![rows::find(name)?],
    };
    // The peak is the yardstick of the others, whatever is asked for.
    let peak_row = rows::find(rows::PEAK)?;
    let peak = measure_row(peak_row, options, None)?;
    let operations = peak_row.operations.map_or(0.0, |count| count());
    let fastest = peak
        .peer_best_ms
        .map_or(peak.ours_best_ms, |peer| peer.min(peak.ours_best_ms));
    let gflops = operations / fastest / 1e6;
    let mut measured = Vec::new();
    for row in chosen {
        let result = match row.name == rows::PEAK {
            true => Measured {
                share_of_peak: peak.gflops.map(|ours| ours / gflops),
                peak_gflops: Some(gflops),
                ..peak.clone()
            },
            false => measure_row(row, options, Some(gflops))?,
        };
        done(&result);
        measured.push(result);
    }
    Ok(measured)
}

/// Between two measurements: threads that wait by spinning, as PyTorch's do for a while, would take the other side's cores.
const REST: Duration = Duration::from_millis(250);

fn measure_row(row: &Row, options: &Options, peak: Option<f64>) -> Result<Measured> {
    let mut ours = Process::ours(row.name, options.threads)?;
    let mut peer = match &options.peer {
        Some(peer) => Some(Process::peer(peer, row.name, options.threads)?),
        None => None,
    };
    let start = Instant::now();
    let (mut our_times, mut peer_times) = (Vec::new(), Vec::new());
    while our_times.len() < *ROUNDS.start()
        || (our_times.len() < *ROUNDS.end() && start.elapsed() < PATIENCE)
    {
        if let Some(peer) = &mut peer {
            std::thread::sleep(REST);
            peer_times.push(peer.go()?);
            std::thread::sleep(REST);
        }
        our_times.push(ours.go()?);
    }
    let rounds = our_times.len();
    let ours_memory = ours.end()?;
    let our_times = Times::of(our_times);
    let (mut peer_variant, mut peer_peak_mib) = (None, None);
    if let Some(peer) = peer {
        peer_variant = Some(peer.variant().to_owned());
        peer_peak_mib = peer.end()?;
    }
    let peer_times = (!peer_times.is_empty()).then(|| Times::of(peer_times));
    let gflops = row.operations.map(|count| count() / our_times.median / 1e6);
    Ok(Measured {
        name: row.name,
        ours_ms: our_times.median,
        peer_ms: peer_times.as_ref().map(|times| times.median),
        ratio: peer_times
            .as_ref()
            .map(|times| times.median / our_times.median),
        gflops,
        share_of_peak: gflops.zip(peak).map(|(gflops, peak)| gflops / peak),
        peak_mib: ours_memory,
        peer_peak_mib,
        ours_best_ms: our_times.best,
        peer_best_ms: peer_times.as_ref().map(|times| times.best),
        ours_spread: our_times.spread,
        peer_spread: peer_times.as_ref().map(|times| times.spread),
        peer_variant,
        rounds,
        threads: options.threads,
        peak_gflops: peak,
    })
}

/// What is kept of one side's measurements.
struct Times {
    median: f64,
    best: f64,
    spread: f64,
}

impl Times {
    fn of(mut times: Vec<f64>) -> Self {
        times.sort_by(f64::total_cmp);
        let at = |share: f64| {
            let place = share * (times.len() - 1) as f64;
            let (low, high) = (times[place.floor() as usize], times[place.ceil() as usize]);
            low + (high - low) * place.fract()
        };
        Self {
            median: at(0.5),
            best: times[0],
            spread: (at(0.75) - at(0.25)) / at(0.5),
        }
    }
}

/// The rows as a Markdown table's head, and each row as its line.
pub fn head() -> String {
    table::head()
}

/// One line of the table.
pub fn line(row: &Measured) -> String {
    table::line(row)
}

fn failed(name: &str, what: impl std::fmt::Display) -> Error {
    Error::Setting(format!("perf {name}: {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn median_and_spread() {
        let times = Times::of(vec![4.0, 1.0, 2.0, 3.0, 5.0]);
        assert_eq!((times.median, times.best), (3.0, 1.0));
        assert!((times.spread - 2.0 / 3.0).abs() < 1e-12);
    }
}
