//! Settings tried on one latent: what they share is computed once and changes nothing.

mod common;

use burn::tensor::Tensor;
use common::{
    host,
    networks::{Counting, SmallClassifier},
    uniform,
};
use diffguard_guidance::{
    Cost, GuidanceConfig, GuidanceContext, ScheduleConfig, Spent, Start, SynthesisConfig,
    Synthesised, Trajectory,
    guidance::{ClassifierFreeConfig, CleanGradConfig, CropWeight, GradientPath},
    synthesise,
};

const BATCH: usize = 3;

struct Bench {
    network: Counting,
    classifier: SmallClassifier,
    trajectory: Trajectory,
    image: Tensor<4>,
}

impl Bench {
    fn new() -> Self {
        let schedule = ScheduleConfig::default().init().unwrap();
        Self {
            network: Counting::new(Some(10)),
            classifier: SmallClassifier::random(12),
            trajectory: Trajectory::new(&schedule, &"ddim10".parse().unwrap()).unwrap(),
            image: uniform([BATCH, 1, 12, 12], 3),
        }
    }

    /// The synthesis, and the rows that the U-Net and the classifier saw for it.
    fn run(&self, config: &GuidanceConfig, start: &Start) -> (Synthesised, [u64; 2]) {
        let classified = || self.classifier.rows.lock().unwrap().iter().sum::<usize>();
        let before = [self.network.total(), classified()];
        let labels = vec![4, 7, 1];
        let context = GuidanceContext::new(
            &self.network,
            Some(&self.classifier),
            self.image.clone(),
            labels,
        );
        let context = context.unwrap();
        let guidance = config.prepare(&context).unwrap();
        let made = synthesise(
            &self.network,
            &self.trajectory,
            &SynthesisConfig::default(),
            &*guidance,
            start.clone(),
            &mut |_| (),
        );
        let after = [self.network.total(), classified()];
        let rows = [0, 1].map(|i| (after[i] - before[i]) as u64);
        (made.unwrap(), rows)
    }
}

fn free(scale: f64) -> GuidanceConfig {
    GuidanceConfig::ClassifierFree(ClassifierFreeConfig {
        scale,
        dsg_cut: None,
    })
}

fn clean(scale: f64) -> CleanGradConfig {
    CleanGradConfig {
        scale,
        crops: 2,
        ..CleanGradConfig::default()
    }
}

#[test]
fn a_first_step_is_asked_once_and_answers_the_same() {
    let bench = Bench::new();
    let shared = Start::at(bench.image.clone(), 2).shared();
    let alone = Start::at(bench.image.clone(), 2);
    let guided = GuidanceConfig::Classifier;
    // Rows of the U-Net and of the classifier that the first step shares with the settings before.
    let settings = [
        (free(3.0), [0, 0]),
        (free(30.0), [2, 0]),
        // One of the two terms is another question.
        (free(1.0), [0, 0]),
        (GuidanceConfig::None {}, [0, 0]),
        // The noise of the row before; its gradient is the first.
        (guided(clean(1.0)), [1, 0]),
        (guided(clean(2.0)), [1, 2]),
        (
            guided(CleanGradConfig {
                crop_weight: CropWeight::Mean,
                normalise: true,
                ..clean(2.0)
            }),
            [1, 2],
        ),
        (
            guided(CleanGradConfig {
                temperature: 2.0,
                ..clean(2.0)
            }),
            [1, 0],
        ),
        (
            guided(CleanGradConfig {
                seed: 1,
                ..clean(2.0)
            }),
            [1, 0],
        ),
        (
            guided(CleanGradConfig {
                cutout: false,
                ..clean(2.0)
            }),
            [1, 0],
        ),
        (
            guided(CleanGradConfig {
                gradient: GradientPath::ThroughUnet,
                ..clean(2.0)
            }),
            [0, 0],
        ),
    ];
    for (config, rows) in settings {
        let (want, all) = bench.run(&config, &alone);
        let (got, computed) = bench.run(&config, &shared);
        assert_eq!(host(&got.image), host(&want.image), "{config:?}");
        let batch = BATCH as u64;
        let saved = rows.map(|rows| rows * batch);
        assert_eq!([0, 1].map(|i| all[i] - computed[i]), saved, "{config:?}");
        assert_eq!(
            (got.shared.cost.unet_rows, got.shared.cost.classifier_rows),
            (saved[0], saved[1]),
            "{config:?}"
        );
        assert_eq!(got.cost + got.shared.cost, want.cost, "{config:?}");
        assert_eq!(want.shared, Spent::default());
    }
}

#[test]
fn other_labels_rows_or_starts_are_other_questions() {
    let bench = Bench::new();
    let shared = Start::at(bench.image.clone(), 2).shared();
    let run = |config: &GuidanceConfig, start: &Start| {
        let (made, _) = bench.run(config, start);
        (host(&made.image), made.shared.cost.unet_rows)
    };
    run(&free(3.0), &shared);
    let of = |indices: [usize; BATCH], first: &Start| Start {
        indices: indices.to_vec(),
        ..first.clone()
    };
    let alone = Start::at(bench.image.clone(), 2);
    for indices in [[3, 3, 3], [2, 1, 2], [1, 2, 3]] {
        let (got, rows) = run(&free(3.0), &of(indices, &shared));
        assert_eq!(got, run(&free(3.0), &of(indices, &alone)).0, "{indices:?}");
        assert_eq!(rows, 0, "{indices:?}");
    }
    // Those that begin first do so with one question.
    let (_, rows) = run(&free(5.0), &of([2, 1, 2], &shared));
    assert_eq!(rows, 2 * 2);

    let context =
        |labels| GuidanceContext::new(&bench.network, None, bench.image.clone(), labels).unwrap();
    let labelled = context(vec![5, 7, 1]);
    let guidance = free(3.0).prepare(&labelled).unwrap();
    let made = synthesise(
        &bench.network,
        &bench.trajectory,
        &SynthesisConfig::default(),
        &*guidance,
        shared.clone(),
        &mut |_| (),
    );
    assert_eq!(made.unwrap().shared.cost, Cost::default());
    shared.first.as_ref().unwrap().let_go();
    assert_eq!(run(&free(3.0), &shared).1, 0);
}
