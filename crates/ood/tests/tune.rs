//! Parameters chosen on validation samples, and on no others.

use diffguard_ood::detectors::{FitData, Labelled, Observations, entry};
use diffguard_ood::tune::{Place, Validation, tune};
use ndarray::{Array2, Axis, concatenate};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Features around a centre.
fn features(seed: u64, n: usize, centre: [f32; 2]) -> Array2<f32> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    Array2::from_shape_fn((n, 2), |(_, f)| centre[f] + rng.random_range(-0.6f32..0.6))
}

fn places(parts: [(Place, usize); 4]) -> Vec<Place> {
    parts
        .iter()
        .flat_map(|(place, n)| std::iter::repeat_n(*place, *n))
        .collect()
}

const PARTS: [(Place, usize); 4] = [
    (Place::IdValidation, 60),
    (Place::OodValidation(0), 40),
    (Place::OodValidation(3), 30),
    (Place::Elsewhere, 100),
];

fn all(test: &Array2<f32>) -> Array2<f32> {
    let parts = [
        features(1, 60, [1.0, 0.0]),
        features(2, 40, [0.4, 1.0]),
        features(3, 30, [0.0, 1.0]),
        test.clone(),
    ];
    concatenate(Axis(0), &parts.each_ref().map(|part| part.view())).unwrap()
}

#[test]
fn the_choice_is_blind_to_test_samples_and_recorded_whole() {
    let train = features(9, 200, [1.0, 0.0]);
    let data = FitData {
        train: Labelled {
            observations: Observations {
                features: train.view(),
                ..Observations::default()
            },
            labels: &[],
        },
        ..FitData::default()
    };
    let grid = "k = [1, 5, 50, 500]".parse().unwrap();
    let choose = |test: &Array2<f32>| {
        let all = all(test);
        let seen = Observations {
            features: all.view(),
            ..Observations::default()
        };
        let validation = Validation::of(&seen, &places(PARTS)).unwrap();
        tune(
            entry("knn").unwrap(),
            &toml::Table::new(),
            Some(&grid),
            &data,
            &validation,
        )
        .unwrap()
    };
    let chosen = choose(&features(4, 100, [1.0, 0.0]));
    // Any test samples whatever: the same choice from the same numbers.
    assert_eq!(chosen, choose(&Array2::from_elem((100, 2), -7.0)));
    assert_eq!(chosen.candidates.len(), 4);
    let refused = &chosen.candidates[3];
    assert!(
        refused.validation_auroc.is_none()
            && refused
                .refused
                .as_ref()
                .unwrap()
                .contains("200 training samples")
    );
    let best = chosen
        .candidates
        .iter()
        .filter_map(|candidate| candidate.validation_auroc)
        .fold(0.0, f64::max);
    assert_eq!(chosen.validation_auroc, best);
}

#[test]
fn without_validation_samples_nothing_can_be_chosen() {
    let all = features(1, 10, [0.0, 0.0]);
    let seen = Observations {
        features: all.view(),
        ..Observations::default()
    };
    let of = |place: Place| Validation::of(&seen, &[place; 10]).unwrap_err().to_string();
    assert!(of(Place::Elsewhere).contains("in-distribution validation"));
    assert!(of(Place::IdValidation).contains("out-of-distribution validation"));
    assert!(Validation::of(&seen, &[Place::IdValidation; 9]).is_err());
}

#[test]
fn a_grid_that_is_none_is_explained() {
    let fixed: toml::Table = "k = 5".parse().unwrap();
    let candidates = |name: &str, fixed: &toml::Table, grid: Option<&str>| {
        let grid: Option<toml::Table> = grid.map(|grid| grid.parse().unwrap());
        entry(name)
            .unwrap()
            .candidates(fixed, grid.as_ref())
            .unwrap_err()
            .to_string()
    };
    assert!(candidates("msp", &toml::Table::new(), None).contains("no published grid"));
    assert!(candidates("knn", &fixed, None).contains("all of it is fixed"));
    assert!(candidates("knn", &fixed, Some("k = [5]")).contains("fixed and to be tuned"));
    assert!(candidates("knn", &toml::Table::new(), Some("k = 5")).contains("list of values"));
    let (grid, tables) = entry("vra")
        .unwrap()
        .candidates(&toml::Table::new(), None)
        .unwrap();
    assert_eq!((grid.len(), tables.len()), (2, 16));
}
