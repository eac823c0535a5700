//! AUROC of two million scores: `cargo bench -p diffguard-ood --bench auroc [FILE]`. With a FILE it writes the scores
//! there (two runs of little-endian f64: a million in-distribution, a million out-of-distribution), on which
//! `xtask/peers/auroc.py FILE` times scikit-learn.

use std::hint::black_box;
use std::time::Instant;

use diffguard_ood::metrics::Ranking;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

const EACH: usize = 1_000_000;
const REPEATS: usize = 5;

fn main() {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let mut scores =
        |shift: f64| -> Vec<f64> { (0..EACH).map(|_| rng.random::<f64>() + shift).collect() };
    let (id, ood) = (scores(0.2), scores(0.0));
    if let Some(path) = std::env::args().skip(1).find(|arg| !arg.starts_with('-')) {
        let bytes: Vec<u8> = id
            .iter()
            .chain(&ood)
            .flat_map(|s| s.to_le_bytes())
            .collect();
        if let Err(error) = std::fs::write(&path, bytes) {
            eprintln!("{path}: {error}");
        }
    }
    let mut best = f64::INFINITY;
    let mut auroc = f64::NAN;
    for _ in 0..REPEATS {
        let begun = Instant::now();
        auroc =
            Ranking::new("bench", black_box(&id), black_box(&ood)).map_or(f64::NAN, |r| r.auroc());
        best = best.min(begun.elapsed().as_secs_f64());
    }
    println!(
        "diffguard: AUROC {auroc:.12} of {} scores in {best:.4} s (best of {REPEATS})",
        2 * EACH
    );
}
