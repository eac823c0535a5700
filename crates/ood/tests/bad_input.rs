//! Every detector on every kind of bad input: an error that names the method and the cause, or a right answer, and
//! never a panic or a score that is not finite.

use diffguard_ood::detectors::{
    DETECTORS, DetectorEntry, FitData, Head, Labelled, Need, Observations, Perturbed, build,
};
use ndarray::{Array1, Array2, Array3};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

const CLASSES: usize = 3;
const FEATURES: usize = 8;

/// Everything that a detector may be given, in owned form, so that a test can spoil any part.
#[derive(Clone)]
struct Data {
    weight: Array2<f32>,
    bias: Array1<f32>,
    train: Split,
    val: Split,
    test: Split,
    members: Array3<f32>,
}

#[derive(Clone)]
struct Split {
    features: Array2<f32>,
    logits: Array2<f32>,
    labels: Vec<usize>,
}

impl Data {
    fn new() -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(11);
        let weight = Array2::from_shape_fn((CLASSES, FEATURES), |(c, f)| {
            f32::from(f % CLASSES == c) + rng.random_range(-0.1f32..0.1)
        });
        let bias = Array1::zeros(CLASSES);
        let mut split = |n: usize| {
            let labels: Vec<usize> = (0..n).map(|i| i % CLASSES).collect();
            let features = Array2::from_shape_fn((n, FEATURES), |(i, f)| {
                (f32::from(f % CLASSES == labels[i]) + rng.random_range(-0.7f32..0.7)).max(0.0)
            });
            Split {
                logits: features.dot(&weight.t()) * 2.0,
                features,
                labels,
            }
        };
        let (train, val, test) = (split(240), split(120), split(30));
        let members = Array3::from_shape_fn((2, 30, CLASSES), |(_, i, c)| test.logits[(i, c)]);
        Self {
            weight,
            bias,
            train,
            val,
            test,
            members,
        }
    }

    /// Fits and scores; the scores or the message.
    fn run(&self, entry: &DetectorEntry) -> Result<Vec<f64>, String> {
        self.run_with(entry, small(entry.name))
    }

    fn run_with(&self, entry: &DetectorEntry, parameters: toml::Table) -> Result<Vec<f64>, String> {
        let of = |split: &Split| -> Labelled<'_> {
            // Leaked: a test ends soon.
            let split: &Split = Box::leak(Box::new(split.clone()));
            Labelled {
                observations: Observations {
                    features: split.features.view(),
                    logits: split.logits.view(),
                    ..Observations::default()
                },
                labels: &split.labels,
            }
        };
        let perturbed = [Perturbed {
            temperature: 1000.0,
            noise: 0.0014,
            logits: self.test.logits.view(),
        }];
        let mut detector = entry.build(parameters).map_err(|e| e.to_string())?;
        let data = FitData {
            train: of(&self.train),
            val: of(&self.val),
            head: Head {
                weight: self.weight.view(),
                bias: self.bias.view(),
            },
        };
        detector.fit(&data).map_err(|e| e.to_string())?;
        let seen = Observations {
            members: Some(self.members.view()),
            perturbed: &perturbed,
            ..of(&self.test).observations
        };
        detector.score(&seen).map_err(|e| e.to_string())
    }
}

/// Parameters that fit the small splits.
fn small(name: &str) -> toml::Table {
    let text = match name {
        "nnguide" => "k = 10\nloader_batch = 20",
        "knn" => "k = 10",
        "confidnet" => "hidden = 8\nepochs = 2",
        "openmax" => "tail = 5",
        _ => "",
    };
    text.parse().unwrap()
}

/// Runs every detector on spoilt data. An error has to begin with the detector's name and hold one of `causes`; for the
/// detectors that `must` names there has to be an error, the others may find nothing wrong.
fn every(spoil: impl Fn(&mut Data), causes: &[&str], must: impl Fn(&DetectorEntry) -> bool) {
    let mut data = Data::new();
    spoil(&mut data);
    for entry in DETECTORS {
        match data.run(entry) {
            Ok(scores) => {
                assert!(!must(entry), "{} found nothing wrong", entry.name);
                assert!(
                    scores.iter().all(|score| score.is_finite()),
                    "{}",
                    entry.name
                );
            }
            Err(message) => {
                assert!(
                    message.starts_with(&format!("detector `{}`: ", entry.name)),
                    "{message}"
                );
                assert!(
                    causes.iter().any(|cause| message.contains(cause)),
                    "{message}"
                );
            }
        }
    }
}

fn needs(entry: &DetectorEntry, any: &[Need]) -> bool {
    any.iter().any(|need| entry.needs.contains(need))
}

#[test]
fn good_data_are_scored_by_all() {
    every(|_| {}, &[], |_| false);
}

#[test]
fn not_a_number_is_named_with_its_row() {
    let nan = &["row 7 holds NaN"];
    every(
        |d| d.train.features[(7, 1)] = f32::NAN,
        nan,
        |e| needs(e, &[Need::TrainFeatures]),
    );
    every(
        |d| d.train.logits[(7, 1)] = f32::INFINITY,
        nan,
        |e| needs(e, &[Need::TrainLogits]),
    );
    every(
        |d| d.val.features[(7, 1)] = f32::NAN,
        nan,
        |e| needs(e, &[Need::ValFeatures]),
    );
    every(
        |d| d.val.logits[(7, 1)] = f32::NAN,
        nan,
        |e| needs(e, &[Need::ValLogits]),
    );
    every(
        |d| d.test.features[(7, 1)] = f32::NAN,
        nan,
        |e| needs(e, &[Need::Features]),
    );
    every(
        |d| d.test.logits[(7, 1)] = f32::NAN,
        nan,
        |e| needs(e, &[Need::Logits, Need::Perturbed]),
    );
    every(
        |d| d.members[(1, 7, 1)] = f32::NAN,
        nan,
        |e| needs(e, &[Need::Members]),
    );
    every(
        |d| d.weight[(1, 1)] = f32::NAN,
        &["row 1 holds NaN"],
        |e| needs(e, &[Need::Head]),
    );
    every(
        |d| d.bias[1] = f32::NAN,
        &["bias holds NaN"],
        |e| needs(e, &[Need::Head]),
    );
}

#[test]
fn a_class_without_samples_is_named() {
    every(
        |d| {
            d.train.labels.iter_mut().for_each(|label| *label %= 2);
            d.val.labels.iter_mut().for_each(|label| *label %= 2);
        },
        &["class 2"],
        |e| ["mds", "rmds", "she", "openmax"].contains(&e.name),
    );
}

#[test]
fn constant_features_and_logits_are_named() {
    every(
        |d| {
            for split in [&mut d.train, &mut d.val] {
                split.features.fill(0.5);
                split.logits.fill(0.5);
            }
        },
        &[
            "do not vary",
            "no residual",
            "no correctly classified",
            "all equal",
            "degenerate",
            "infinitely",
            "temperature",
            "class",
        ],
        |e| ["mds", "rmds", "confidnet", "openmax", "she"].contains(&e.name),
    );
}

#[test]
fn all_zero_test_features_give_finite_scores_or_their_row() {
    every(
        |d| d.test.features.row_mut(3).fill(0.0),
        &["the score of sample 3", "degenerate"],
        |_| false,
    );
}

#[test]
fn one_sample_is_an_error_with_its_cause_or_a_finite_score() {
    every(
        |d| {
            for split in [&mut d.train, &mut d.val] {
                split.features = split.features.slice(ndarray::s![..1, ..]).to_owned();
                split.logits = split.logits.slice(ndarray::s![..1, ..]).to_owned();
                split.labels.truncate(1);
            }
        },
        &[
            "class 1",
            "class 0",
            "training samples",
            "bank has",
            "do not vary",
            "no residual",
            "temperature",
            "degenerate",
        ],
        |e| {
            [
                "knn",
                "mds",
                "rmds",
                "she",
                "openmax",
                "nnguide",
                "confidnet",
            ]
            .contains(&e.name)
        },
    );
}

#[test]
fn other_numbers_of_classes_or_features_are_named() {
    every(
        |d| d.test.logits = Array2::ones((30, CLASSES + 1)),
        &["4 columns where 3"],
        |e| {
            needs(e, &[Need::Logits, Need::Perturbed])
                && needs(e, &[Need::Head, Need::TrainLogits, Need::ValLogits])
        },
    );
    every(
        |d| d.test.features = Array2::ones((30, FEATURES - 1)),
        &["7 columns where 8"],
        |e| needs(e, &[Need::Features]) && needs(e, &[Need::Head, Need::TrainFeatures]),
    );
    every(
        |d| d.train.labels[5] = CLASSES,
        &["label 3 of sample 5"],
        |e| needs(e, &[Need::TrainLabels]),
    );
    every(
        |d| {
            d.train.labels.pop();
        },
        &["239 training labels for 240"],
        |e| needs(e, &[Need::TrainLabels]),
    );
    every(
        |d| d.bias = Array1::zeros(CLASSES + 1),
        &["4 biases for 3 classes"],
        |e| needs(e, &[Need::Head]),
    );
}

#[test]
fn more_neighbours_than_samples_are_named() {
    let data = Data::new();
    for (name, table, cause) in [
        ("knn", "k = 241", "240 training samples"),
        ("nnguide", "k = 241\nalpha = 1.0", "bank has 240"),
    ] {
        let labelled = Labelled {
            observations: Observations {
                features: data.train.features.view(),
                logits: data.train.logits.view(),
                ..Observations::default()
            },
            labels: &data.train.labels,
        };
        let mut detector = build(name, table.parse().unwrap()).unwrap();
        let fit = detector.fit(&FitData {
            train: labelled,
            val: labelled,
            head: Head {
                weight: data.weight.view(),
                bias: data.bias.view(),
            },
        });
        let message = fit.unwrap_err().to_string();
        assert!(
            message.contains(&format!("`{name}`")) && message.contains(cause),
            "{message}"
        );
    }
}

/// Every count or dimension among the parameters of every detector, above what there is: an error that names the cause,
/// or, where it says so, the same as all that there is.
#[test]
fn every_count_above_what_there_is_is_named_or_means_all() {
    let refused = [
        ("knn", "k", "240 training samples"),
        ("vim", "dim", "8 dimensions"),
        ("residual", "dim", "8 dimensions"),
        ("nnguide", "k", "bank has"),
    ];
    let all = [
        ("gen", "m", CLASSES),
        ("openmax", "alpha", CLASSES),
        ("openmax", "tail", 240),
    ];
    // Of a training, a draw or an observation, not of what there is.
    let free = [
        "hidden",
        "epochs",
        "batch",
        "seed",
        "loader_batch",
        "passes",
    ];
    let (data, mut met) = (Data::new(), 0);
    for entry in DETECTORS {
        let defaults = (entry.defaults)();
        let counts = defaults.iter().filter(|(_, value)| value.is_integer());
        // What is optional has no default.
        let optional = ["vim", "residual"].contains(&entry.name).then_some("dim");
        let counts = counts.map(|(name, _)| name.as_str()).chain(optional);
        for parameter in counts.filter(|name| !free.contains(name)) {
            let with = |count: usize| {
                let mut table = small(entry.name);
                table.insert(parameter.into(), (count as i64).into());
                data.run_with(entry, table)
            };
            let here = (entry.name, parameter);
            met += 1;
            if let Some((.., count)) = all.iter().find(|case| (case.0, case.1) == here) {
                assert_eq!(with(100_000), with(*count), "{here:?}");
            } else if let Some((.., cause)) = refused.iter().find(|case| (case.0, case.1) == here) {
                let message = with(100_000).expect_err(entry.name);
                let named = message.contains(&format!("`{}`", entry.name));
                assert!(named && message.contains(cause), "{message}");
            } else {
                panic!("{here:?}: say here what more than there is means");
            }
        }
    }
    assert_eq!(met, refused.len() + all.len());
}

#[test]
fn a_sample_is_scored_alone_as_among_others() {
    let data = Data::new();
    for entry in DETECTORS {
        let all = data.run(entry).unwrap();
        for i in [0, 17] {
            let mut one = data.clone();
            let range = ndarray::s![i..=i, ..];
            one.test.features = data.test.features.slice(range).to_owned();
            one.test.logits = data.test.logits.slice(range).to_owned();
            one.members = data.members.slice(ndarray::s![.., i..=i, ..]).to_owned();
            let alone = one.run(entry).unwrap();
            // A product of matrices, single precision in nnguide, is not summed in the order of a product with a vector.
            let near = (alone[0] - all[i]).abs() <= 1e-7 * all[i].abs();
            assert!(
                near && alone.len() == 1,
                "{}: {alone:?}, {}",
                entry.name,
                all[i]
            );
        }
        let mut none = data.clone();
        none.test.features = Array2::zeros((0, FEATURES));
        none.test.logits = Array2::zeros((0, CLASSES));
        none.members = Array3::zeros((2, 0, CLASSES));
        match none.run(entry) {
            Ok(scores) => assert!(scores.is_empty(), "{}", entry.name),
            Err(message) => assert!(message.contains("there are no"), "{message}"),
        }
    }
}

#[test]
fn odin_says_which_perturbation_it_misses() {
    let mut odin = build("odin", "temperature = 10.0".parse().unwrap()).unwrap();
    odin.fit(&FitData::default()).unwrap();
    let logits = Array2::ones((2, 3));
    let perturbed = [Perturbed {
        temperature: 1000.0,
        noise: 0.0014,
        logits: logits.view(),
    }];
    let seen = Observations {
        perturbed: &perturbed,
        ..Observations::default()
    };
    let message = odin.score(&seen).unwrap_err().to_string();
    assert!(
        message.contains("(10, 0.0014)") && message.contains("(1000, 0.0014)"),
        "{message}"
    );
}
