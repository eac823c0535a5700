//! Detectors from the outside: the registry, mistakes and their messages, determinism, exactness at size.

use diffguard_ood::detectors::{
    DETECTORS, FitData, Head, Labelled, Observations, Perturbed, build,
};
use ndarray::{Array1, Array2, Array3, ArrayView2, Axis};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

const CLASSES: usize = 4;
const FEATURES: usize = 16;

/// Observations of a small classifier on clustered, non-negative features.
struct Stored {
    weight: Array2<f32>,
    bias: Array1<f32>,
    train: (Array2<f32>, Array2<f32>, Vec<usize>),
    val: (Array2<f32>, Array2<f32>, Vec<usize>),
    test: (Array2<f32>, Array2<f32>, Vec<usize>),
    members: Array3<f32>,
}

impl Stored {
    fn new() -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        let weight = Array2::from_shape_fn((CLASSES, FEATURES), |(c, f)| {
            if f % CLASSES == c {
                1.0
            } else {
                rng.random_range(-0.2..0.2)
            }
        });
        let bias = Array1::from_shape_fn(CLASSES, |_| rng.random_range(-0.1..0.1));
        let mut split = |n: usize| {
            let labels: Vec<usize> = (0..n).map(|i| i % CLASSES).collect();
            let features = Array2::from_shape_fn((n, FEATURES), |(i, f)| {
                let centre = if f % CLASSES == labels[i] { 1.0 } else { 0.2 };
                (centre + rng.random_range(-0.8f32..0.8)).max(0.0)
            });
            let logits = features.dot(&weight.t()) + &bias;
            (features, logits, labels)
        };
        let (train, val, test) = (split(600), split(300), split(700));
        let members = Array3::from_shape_fn((3, 700, CLASSES), |(m, i, c)| {
            test.1[(i, c)] + 0.1 * m as f32
        });
        Self {
            weight,
            bias,
            train,
            val,
            test,
            members,
        }
    }

    fn fit_data(&self) -> FitData<'_> {
        FitData {
            train: labelled_of(&self.train),
            val: labelled_of(&self.val),
            head: Head {
                weight: self.weight.view(),
                bias: self.bias.view(),
            },
        }
    }

    fn observations(&self) -> Observations<'_> {
        // Leaked: observations borrow everything, and a test ends soon.
        let perturbed: &[Perturbed] = Box::leak(Box::new([Perturbed {
            temperature: 1000.0,
            noise: 0.0014,
            logits: self.test.1.view(),
        }]));
        Observations {
            members: Some(self.members.view()),
            perturbed,
            ..labelled_of(&self.test).observations
        }
    }
}

fn labelled_of(split: &(Array2<f32>, Array2<f32>, Vec<usize>)) -> Labelled<'_> {
    let observations = Observations {
        features: split.0.view(),
        logits: split.1.view(),
        members: None,
        perturbed: &[],
    };
    Labelled {
        observations,
        labels: &split.2,
    }
}

/// Parameters under which every detector can be fitted on the small splits.
fn small(name: &str) -> toml::Table {
    let text = match name {
        "nnguide" => "k = 20\nloader_batch = 50",
        "confidnet" => "hidden = 16\nepochs = 2",
        _ => "",
    };
    text.parse().unwrap()
}

#[test]
fn every_detector_fits_and_scores_the_same_on_any_number_of_threads() {
    let stored = Stored::new();
    for entry in DETECTORS {
        let scores = |threads| {
            let pool = rayon::ThreadPoolBuilder::new()
                .num_threads(threads)
                .build()
                .unwrap();
            pool.install(|| {
                let mut detector = entry.build(small(entry.name)).unwrap();
                detector.fit(&stored.fit_data()).unwrap();
                assert_eq!(detector.predict(&stored.observations()).unwrap().len(), 700);
                detector.score(&stored.observations()).unwrap()
            })
        };
        let one = scores(1);
        assert_eq!(one.len(), 700, "{}", entry.name);
        assert!(one == scores(3), "{}", entry.name);
    }
}

#[test]
fn linear_algebra_at_the_usual_width_is_the_same_on_any_number_of_threads() {
    let mut rng = ChaCha8Rng::seed_from_u64(5);
    let mut features =
        |n: usize| Array2::from_shape_fn((n, 512), |_| rng.random_range(0.0f32..1.0));
    let (train, test, weight) = (features(3000), features(300), features(10));
    let labels: Vec<usize> = (0..3000).map(|i| i % 10).collect();
    let (train_logits, test_logits) = (train.dot(&weight.t()), test.dot(&weight.t()));
    let bias = Array1::zeros(10);
    let observations = Observations {
        features: train.view(),
        logits: train_logits.view(),
        members: None,
        perturbed: &[],
    };
    let train = Labelled {
        observations,
        labels: &labels,
    };
    let head = Head {
        weight: weight.view(),
        bias: bias.view(),
    };
    for name in ["mds", "vim"] {
        let scores = |threads| {
            let pool = rayon::ThreadPoolBuilder::new()
                .num_threads(threads)
                .build()
                .unwrap();
            pool.install(|| {
                let mut detector = build(name, toml::Table::new()).unwrap();
                detector
                    .fit(&FitData {
                        train,
                        val: train,
                        head,
                    })
                    .unwrap();
                let test = Observations {
                    features: test.view(),
                    logits: test_logits.view(),
                    members: None,
                    perturbed: &[],
                };
                detector.score(&test).unwrap()
            })
        };
        assert!(scores(1) == scores(2), "{name}");
    }
}

#[test]
fn the_registry_is_in_order() {
    for entry in DETECTORS {
        let listed = (entry.defaults)();
        entry.build(listed).unwrap_or_else(|error| {
            panic!("{}: its own defaults are refused: {error}", entry.name)
        });
        assert!(!entry.summary.is_empty() && !entry.citation.is_empty() && !entry.needs.is_empty());
        assert_eq!(
            DETECTORS
                .iter()
                .filter(|other| other.name == entry.name)
                .count(),
            1
        );
    }
}

#[test]
fn mistaken_names_and_values_are_explained() {
    let wrong = |name: &str, table: &str| {
        build(name, table.parse().unwrap())
            .err()
            .unwrap()
            .to_string()
    };
    assert!(wrong("knnn", "").contains("did you mean `knn`?"));
    assert!(wrong("quite-something-else", "").contains("the valid names are msp, mls"));
    assert!(wrong("ebo", "temprature = 2.0").contains("did you mean `temperature`?"));
    assert!(wrong("msp", "temperature = 2.0").contains("no parameters"));
    assert!(wrong("ebo", "temperature = 0.0").contains("positive"));
    assert!(wrong("knn", "k = \"many\"").contains("knn"));
    assert!(wrong("ash", "variant = \"x\"").contains("ash"));
    assert!(wrong("vra", "percentile_low = 95").contains("percentile_low"));
}

/// The message that fitting `name` on `data` gives.
fn refusal(name: &str, table: &str, data: &FitData) -> String {
    build(name, table.parse().unwrap())
        .unwrap()
        .fit(data)
        .unwrap_err()
        .to_string()
}

#[test]
fn unfit_observations_are_refused_with_cause_and_mend() {
    let stored = Stored::new();
    let data = stored.fit_data();

    let unfitted = build("mds", toml::Table::new())
        .unwrap()
        .score(&stored.observations())
        .unwrap_err()
        .to_string();
    assert!(
        unfitted.contains("`mds`") && unfitted.contains("`fit`"),
        "{unfitted}"
    );

    assert!(refusal("knn", "k = 601", &data).contains("600 training samples"));
    assert!(refusal("vim", "dim = 16", &data).contains("no residual"));
    assert!(refusal("nnguide", "k = 601\nalpha = 1.0", &data).contains("bank has 600"));
    assert!(refusal("mds", "", &FitData::default()).contains("no head weights"));

    let one_class = vec![0; 600];
    let labels = FitData {
        train: Labelled {
            labels: &one_class,
            ..data.train
        },
        ..data
    };
    assert!(refusal("mds", "", &labels).contains("class 1 has no training sample"));
    assert!(refusal("she", "", &labels).contains("class 1 has no correctly classified"));
    assert!(refusal("openmax", "", &labels).contains("class 1"));

    let beyond = vec![CLASSES; 600];
    let labels = FitData {
        train: Labelled {
            labels: &beyond,
            ..data.train
        },
        ..data
    };
    assert!(refusal("rmds", "", &labels).contains("label 4 of sample 0"));
    let labels = FitData {
        train: Labelled {
            labels: &beyond[1..],
            ..data.train
        },
        ..data
    };
    assert!(refusal("mds", "", &labels).contains("599 training labels for 600"));

    let constant = Array2::<f32>::ones((600, FEATURES));
    let features = Observations {
        features: constant.view(),
        ..data.train.observations
    };
    let train = Labelled {
        observations: features,
        ..data.train
    };
    assert!(refusal("mds", "", &FitData { train, ..data }).contains("do not vary"));

    let narrow = Array2::<f32>::ones((600, FEATURES - 1));
    let features = Observations {
        features: narrow.view(),
        ..data.train.observations
    };
    let train = Labelled {
        observations: features,
        ..data.train
    };
    assert!(refusal("mds", "", &FitData { train, ..data }).contains("15 columns where 16"));

    let mut holed = stored.train.0.clone();
    holed[(17, 3)] = f32::NAN;
    let features = Observations {
        features: holed.view(),
        ..data.train.observations
    };
    let train = Labelled {
        observations: features,
        ..data.train
    };
    assert!(refusal("knn", "", &FitData { train, ..data }).contains("row 17 holds NaN"));

    let fewer: ArrayView2<f32> = stored.train.1.slice_axis(Axis(0), (0..10).into());
    let logits = Observations {
        logits: fewer,
        ..data.train.observations
    };
    let train = Labelled {
        observations: logits,
        ..data.train
    };
    assert!(
        refusal("vim", "", &FitData { train, ..data }).contains("10 training logits against 600")
    );

    let right: Vec<usize> = stored.val.1.axis_iter(Axis(0)).map(argmax).collect();
    let val = Labelled {
        labels: &right,
        ..data.val
    };
    assert!(refusal("temp_scaling", "", &FitData { val, ..data }).contains("give `temperature`"));

    let mut knn = build("knn", toml::Table::new()).unwrap();
    knn.fit(&data).unwrap();
    let narrow = Observations {
        features: narrow.view(),
        ..Observations::default()
    };
    assert!(
        knn.score(&narrow)
            .unwrap_err()
            .to_string()
            .contains("15 columns")
    );
    let mut ensemble = build("deep_ensemble", toml::Table::new()).unwrap();
    ensemble.fit(&data).unwrap();
    let none = ensemble
        .score(&labelled_of(&stored.test).observations)
        .unwrap_err()
        .to_string();
    assert!(none.contains("no member logits"), "{none}");
}

fn argmax(row: ndarray::ArrayView1<f32>) -> usize {
    (0..row.len())
        .max_by(|&a, &b| row[a].total_cmp(&row[b]))
        .unwrap()
}

#[test]
fn one_training_sample_is_an_error_or_a_score_but_never_a_panic() {
    let stored = Stored::new();
    let data = stored.fit_data();
    let features = stored.train.0.slice_axis(Axis(0), (0..1).into());
    let logits = stored.train.1.slice_axis(Axis(0), (0..1).into());
    let single = Labelled {
        observations: Observations {
            features,
            logits,
            members: None,
            perturbed: &[],
        },
        labels: &stored.train.2[..1],
    };
    for entry in DETECTORS {
        let mut detector = entry.build(small(entry.name)).unwrap();
        if detector
            .fit(&FitData {
                train: single,
                val: single,
                head: data.head,
            })
            .is_ok()
        {
            let _ = detector.score(&stored.observations());
        }
    }
}

#[test]
fn nearest_neighbours_equal_brute_force_across_blocks() {
    let mut rng = ChaCha8Rng::seed_from_u64(9);
    let mut features = |n: usize| Array2::from_shape_fn((n, 5), |_| rng.random_range(0.0f32..1.0));
    let (bank, queries) = (features(9000), features(300));
    let mut knn = build("knn", "k = 30".parse().unwrap()).unwrap();
    let train = Labelled {
        observations: Observations {
            features: bank.view(),
            ..Observations::default()
        },
        labels: &[],
    };
    knn.fit(&FitData {
        train,
        ..FitData::default()
    })
    .unwrap();
    let scores = knn
        .score(&Observations {
            features: queries.view(),
            ..Observations::default()
        })
        .unwrap();
    let unit = |row: ndarray::ArrayView1<f32>| {
        let row = row.mapv(f64::from);
        let norm = row.dot(&row).sqrt();
        row / norm
    };
    for (query, score) in queries.axis_iter(Axis(0)).zip(scores) {
        let query = unit(query);
        let squared = |row| {
            let difference = &unit(row) - &query;
            difference.dot(&difference)
        };
        let mut distances: Vec<f64> = bank.axis_iter(Axis(0)).map(squared).collect();
        distances.sort_unstable_by(f64::total_cmp);
        assert!(
            (score + distances[29]).abs() < 1e-6,
            "{score} against {}",
            distances[29]
        );
    }
}
