//! TinyImageNet's validation pictures, JPEG 64 x 64, to 32 x 32: read, decoded, resized, cropped.
//!
//! ```text
//! DIFFGUARD_DATA=<folder with tin_val.tar> cargo bench -p diffguard-datasets --bench loader
//! DIFFGUARD_DATA=<the same> python crates/datasets/benches/loader_peer.py
//! ```
//!
//! With `PYTHON` set to an interpreter that has torchvision, the bench runs the peer itself, between its own rounds, and
//! prints the ratio.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use diffguard_datasets::container::Container;
use diffguard_datasets::loader::{Loader, Sample};
use diffguard_datasets::transforms::Preprocess;

/// Pictures.
const COUNT: usize = 10_000;

/// Rounds of which the median is told.
const ROUNDS: usize = 5;

fn main() {
    let tar = std::env::var_os("DIFFGUARD_DATA").map(|dir| PathBuf::from(dir).join("tin_val.tar"));
    let Some(tar) = tar.filter(|tar| tar.is_file()) else {
        return println!("skipped: DIFFGUARD_DATA names no folder with tin_val.tar");
    };
    let mut own = Vec::new();
    let mut peer = Vec::new();
    for _ in 0..ROUNDS {
        own.push(round(&tar));
        peer.extend(peer_round(&tar));
    }
    let rate = report("diffguard", &mut own);
    if !peer.is_empty() {
        println!("ratio {:.2}", rate / report("torchvision", &mut peer));
    }
}

/// Seconds from the closed archive to the last batch of 128.
fn round(tar: &Path) -> f64 {
    let start = Instant::now();
    let container = Container::open(tar).expect("tin_val.tar is whole");
    let samples = (0..COUNT)
        .map(|index| Sample {
            name: format!("tin/val/images/val_{index}.JPEG"),
            entry: format!("tiny-imagenet-200/val/images/val_{index}.JPEG"),
            label: -1,
        })
        .collect();
    let loader = Loader::new(&container, Preprocess::CIFAR, samples).expect("all are there");
    let mut sum = 0u64;
    let batches = loader.batches(128, |batch| {
        sum += batch
            .pixels
            .iter()
            .map(|&value| u64::from(value))
            .sum::<u64>();
        Ok(())
    });
    batches.expect("all are whole");
    assert!(sum > 0);
    start.elapsed().as_secs_f64()
}

/// Seconds of the peer, if there is one.
fn peer_round(tar: &Path) -> Option<f64> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/loader_peer.py");
    let python = std::env::var_os("PYTHON")?;
    let output = Command::new(python)
        .arg(script)
        .env("DIFFGUARD_DATA", tar.parent()?)
        .output()
        .expect("PYTHON runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let seconds = text.split_whitespace().next().and_then(|s| s.parse().ok());
    Some(seconds.unwrap_or_else(|| panic!("{}", String::from_utf8_lossy(&output.stderr))))
}

/// Prints the median and returns pictures a second.
fn report(name: &str, seconds: &mut [f64]) -> f64 {
    seconds.sort_by(f64::total_cmp);
    let median = seconds[seconds.len() / 2];
    let (fastest, slowest) = (seconds[0], seconds[seconds.len() - 1]);
    let rate = COUNT as f64 / median;
    println!("{name}: {median:.3} s ({fastest:.3} to {slowest:.3}), {rate:.0} pictures a second");
    rate
}
