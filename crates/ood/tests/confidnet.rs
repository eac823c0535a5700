//! ConfidNet learns the probability of the true class from features that tell it.

use diffguard_ood::detectors::{FitData, Labelled, Observations, build};
use diffguard_ood::metrics::Ranking;
use ndarray::Array2;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Samples whose first feature says whether the classifier is right (its logits favour class 0 either way).
fn split(seed: u64, n: usize) -> (Array2<f32>, Array2<f32>, Vec<usize>) {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let labels: Vec<usize> = (0..n).map(|_| usize::from(rng.random_bool(0.3))).collect();
    let features = Array2::from_shape_fn((n, 6), |(i, f)| {
        let signal = if f == 0 { labels[i] as f32 } else { 0.0 };
        signal + rng.random_range(-0.4f32..0.4)
    });
    let logits = Array2::from_shape_fn((n, 2), |(_, c)| 2.0 * (1 - c) as f32);
    (features, logits, labels)
}

#[test]
fn right_samples_get_a_high_confidence_on_unseen_data_and_the_same_on_any_threads() {
    let (features, logits, labels) = split(1, 1500);
    let (test, test_logits, test_labels) = split(2, 500);
    let scores = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .unwrap();
        pool.install(|| {
            let mut confidnet =
                build("confidnet", "hidden = 32\nepochs = 60".parse().unwrap()).unwrap();
            confidnet
                .fit(&FitData {
                    train: Labelled {
                        observations: Observations {
                            features: features.view(),
                            logits: logits.view(),
                            ..Observations::default()
                        },
                        labels: &labels,
                    },
                    ..FitData::default()
                })
                .unwrap();
            let seen = Observations {
                features: test.view(),
                logits: test_logits.view(),
                ..Observations::default()
            };
            confidnet.score(&seen).unwrap()
        })
    };
    let one = scores(1);
    assert_eq!(one, scores(2));
    let of = |label: usize| -> Vec<f64> {
        one.iter()
            .zip(&test_labels)
            .filter(|(_, l)| **l == label)
            .map(|(score, _)| *score)
            .collect()
    };
    let (right, wrong) = (of(0), of(1));
    let auroc = Ranking::new("confidnet", &right, &wrong).unwrap().auroc();
    assert!(auroc > 0.98, "{auroc}");
    // The true class has probability 0.88 where the classifier is right and 0.12 where it is wrong.
    let mean = |scores: &[f64]| scores.iter().sum::<f64>() / scores.len() as f64;
    assert!((mean(&right) - 0.88).abs() < 0.06, "{}", mean(&right));
    assert!((mean(&wrong) - 0.12).abs() < 0.08, "{}", mean(&wrong));
}
