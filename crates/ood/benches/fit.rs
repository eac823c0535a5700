//! Time and memory of the detectors whose fit looks at all training features: `cargo bench -p diffguard-ood --bench fit`.
//!
//! 50,000 rectified features of width 512, as an ImageNet-sized penultimate layer leaves them, of 10 and of 100 classes.
//! Peak memory is the process's (features and logits are in it), where Linux tells it.

use std::time::Instant;

use diffguard_ood::detectors::{FitData, Head, Labelled, Observations, build};
use ndarray::{Array1, Array2, s};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

const SAMPLES: usize = 50_000;
const FEATURES: usize = 512;
const SCORED: usize = 1_000;
const DETECTORS: [&str; 5] = ["knn", "vim", "residual", "mds", "rmds"];

fn main() {
    println!(
        "{SAMPLES} x {FEATURES} features, {} threads",
        rayon::current_num_threads()
    );
    println!("classes  detector  fit [s]  peak [MiB]  score {SCORED} [s]");
    for classes in [10, 100] {
        let mut rng = ChaCha8Rng::seed_from_u64(classes as u64);
        let centres = Array2::from_shape_fn((classes, FEATURES), |_| rng.random_range(-1f32..1.0));
        let labels: Vec<usize> = (0..SAMPLES).map(|i| i % classes).collect();
        let features = Array2::from_shape_fn((SAMPLES, FEATURES), |(i, f)| {
            (centres[(labels[i], f)] + rng.random_range(-1f32..1.0)).max(0.0)
        });
        let bias = Array1::zeros(classes);
        let logits = features.dot(&centres.t()) / FEATURES as f32;
        let train = Labelled {
            observations: Observations {
                features: features.view(),
                logits: logits.view(),
                ..Observations::default()
            },
            labels: &labels,
        };
        let data = FitData {
            train,
            val: train,
            head: Head {
                weight: centres.view(),
                bias: bias.view(),
            },
        };
        let seen = Observations {
            features: features.slice(s![..SCORED, ..]),
            logits: logits.slice(s![..SCORED, ..]),
            ..Observations::default()
        };
        for name in DETECTORS {
            if let Err(error) = measure(name, classes, &data, &seen) {
                println!("{classes:>7}  {name:<8}  {error}");
            }
        }
    }
}

fn measure(
    name: &str,
    classes: usize,
    data: &FitData,
    seen: &Observations,
) -> Result<(), diffguard_ood::Error> {
    let mut detector = build(name, toml::Table::new())?;
    forget_peak();
    let begun = Instant::now();
    detector.fit(data)?;
    let (fit, peak) = (begun.elapsed().as_secs_f64(), peak_mib());
    let begun = Instant::now();
    let scores = detector.score(seen)?;
    let score = begun.elapsed().as_secs_f64();
    assert!(scores.iter().all(|score| score.is_finite()));
    let peak = peak.map_or("unknown".to_owned(), |peak| peak.to_string());
    println!("{classes:>7}  {name:<8}  {fit:>7.2}  {peak:>10}  {score:>14.2}");
    Ok(())
}

/// Lets the peak begin anew at the present size.
fn forget_peak() {
    // Elsewhere than on Linux there is nothing to forget, and the peak stays unknown.
    let _ = std::fs::write("/proc/self/clear_refs", "5");
}

/// Peak resident memory of this process in MiB.
fn peak_mib() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib / 1024)
}
