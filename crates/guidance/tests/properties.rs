//! What holds for any network: what a sampler costs, and that samples do not depend on each other.

mod common;

use burn::tensor::{Tensor, activation::log_softmax};
use common::{
    host,
    networks::{Counting, SmallClassifier},
    uniform,
};
use diffguard_guidance::{
    Cost, Guidance, GuidanceConfig, GuidanceContext, InversionConfig, Rows, ScheduleConfig, Start,
    SynthesisConfig, Trajectory,
    ddim::implied_image,
    early_stop::EarlyStopConfig,
    guidance::{ClassifierFreeConfig, CleanGradConfig, GradientPath, GuidanceStep, Unconditional},
    invert, synthesise,
};
use diffguard_models::{Classifier, NoisePredictor};

fn images(batch: usize) -> Tensor<4> {
    uniform([batch, 1, 12, 12], 3)
}

fn pick(batch: &Tensor<4>, order: &[usize]) -> Tensor<4> {
    Tensor::cat(
        order
            .iter()
            .map(|i| batch.clone().narrow(0, *i, 1))
            .collect(),
        0,
    )
}

fn trajectory() -> Trajectory {
    Trajectory::new(
        &ScheduleConfig::default().init().unwrap(),
        &"ddim10".parse().unwrap(),
    )
    .unwrap()
}

fn classifier_free(scale: f64, dsg_cut: Option<f64>) -> GuidanceConfig {
    GuidanceConfig::ClassifierFree(ClassifierFreeConfig { scale, dsg_cut })
}

#[test]
fn cost_of_inversion_and_synthesis() {
    let trajectory = trajectory();
    let network = Counting::new(Some(10));
    let config = InversionConfig {
        fraction: 0.6,
        ..InversionConfig::default()
    };
    let inverted = invert(&network, &trajectory, &config, images(4), &mut |_| ()).unwrap();
    assert_eq!(network.total(), 6 * 4);
    assert_eq!(
        inverted.cost,
        Cost {
            unet_rows: 24,
            ..Cost::default()
        }
    );
    assert_eq!(inverted.stops, [5; 4]);

    let rows = |config: GuidanceConfig, unet: u64, classified: u64| -> [u64; 2] {
        let network = Counting::new(Some(10));
        let seen = SmallClassifier::random(12);
        let context =
            GuidanceContext::new(&network, Some(&seen), images(4), vec![1, 2, 3, 4]).unwrap();
        let guidance = config.prepare(&context).unwrap();
        let start = Start::at(images(4), 5);
        let made = synthesise(
            &network,
            &trajectory,
            &SynthesisConfig::default(),
            &*guidance,
            start,
            &mut |_| (),
        )
        .unwrap();
        let cost = made.cost + context.cost();
        assert_eq!(
            (cost.unet_rows, network.total() as u64),
            (unet, unet),
            "{config:?}"
        );
        let counted: usize = seen.rows.lock().unwrap().iter().sum();
        assert_eq!(
            (cost.classifier_rows, counted as u64),
            (classified, classified),
            "{config:?}"
        );
        // Only a gradient through the U-Net has it recorded.
        let through = cost.unet_gradient_rows > 0;
        assert_eq!(
            network.recorded(),
            if through { network.total() } else { 0 }
        );
        [cost.unet_gradient_rows, cost.classifier_gradient_rows]
    };
    let none = [0, 0];
    assert_eq!(rows(GuidanceConfig::None {}, 6 * 4, 0), none);
    assert_eq!(rows(classifier_free(3.0, None), 2 * 6 * 4, 0), none);
    assert_eq!(rows(classifier_free(1.0, None), 6 * 4, 0), none);
    assert_eq!(rows(classifier_free(0.0, None), 6 * 4, 0), none);
    assert_eq!(rows(classifier_free(3.0, Some(0.2)), 2 * 6 * 4, 4), none);
    let clean = CleanGradConfig::default();
    let whole = CleanGradConfig {
        cutout: false,
        ..clean.clone()
    };
    let through = CleanGradConfig {
        gradient: GradientPath::ThroughUnet,
        ..clean.clone()
    };
    let views = 8 * 6 * 4;
    let guided = GuidanceConfig::Classifier;
    assert_eq!(rows(guided(clean), 6 * 4, views), [0, views]);
    assert_eq!(rows(guided(whole), 6 * 4, 6 * 4), [0, 6 * 4]);
    assert_eq!(rows(guided(through), 6 * 4, views), [6 * 4, views]);
}

/// Every kind of guidance: the result of a sample is the same alone, among others, and in another order.
#[test]
fn samples_do_not_depend_on_their_batch() {
    let trajectory = trajectory();
    let classifier = SmallClassifier::random(12);
    let clean = CleanGradConfig::default();
    let settings = [
        GuidanceConfig::None {},
        classifier_free(3.0, None),
        classifier_free(3.0, Some(0.2)),
        classifier_free(3.0, Some(-0.4)),
        GuidanceConfig::Classifier(clean.clone()),
        GuidanceConfig::Classifier(CleanGradConfig {
            normalise: true,
            ..clean.clone()
        }),
        GuidanceConfig::Classifier(CleanGradConfig {
            gradient: GradientPath::ThroughUnet,
            ..clean
        }),
    ];
    let (image, labels, starts) = (images(5), [3, 0, -1, 7, 9], [6, 9, 2, 6, 0]);
    for config in &settings {
        for (clip_denoised, eta) in [(false, 0.0), (true, 0.5)] {
            let run = |order: &[usize]| {
                let network = Counting::new(Some(10));
                let of = |values: &[i64]| order.iter().map(|i| values[*i]).collect::<Vec<_>>();
                let image = pick(&image, order);
                let context =
                    GuidanceContext::new(&network, Some(&classifier), image.clone(), of(&labels))
                        .unwrap();
                let guidance = config.prepare(&context).unwrap();
                let start = Start {
                    latent: image,
                    indices: order.iter().map(|i| starts[*i]).collect(),
                    samples: Some(order.iter().map(|i| *i as u64).collect()),
                    draw: 0,
                    first: None,
                };
                let synthesis = SynthesisConfig {
                    clip_denoised,
                    eta,
                    ..SynthesisConfig::default()
                };
                let made = synthesise(
                    &network,
                    &trajectory,
                    &synthesis,
                    &*guidance,
                    start,
                    &mut |_| (),
                )
                .unwrap();
                let rows: usize = order.iter().map(|i| starts[*i] + 1).sum();
                assert!(network.total() == rows || network.total() == 2 * rows);
                made.image
            };
            let whole = run(&[0, 1, 2, 3, 4]);
            let shuffled = run(&[3, 1, 4, 0, 2]);
            common::close(
                "shuffled",
                &host(&shuffled),
                &host(&pick(&whole, &[3, 1, 4, 0, 2])),
                1e-5,
                1e-5,
            );
            for sample in 0..5 {
                let alone = run(&[sample]);
                common::close(
                    "alone",
                    &host(&alone),
                    &host(&pick(&whole, &[sample])),
                    1e-5,
                    1e-5,
                );
            }
        }
    }
}

#[test]
fn early_stop_does_not_depend_on_the_batch() {
    let trajectory = trajectory();
    let image = Tensor::cat(vec![images(3) * 0.2, images(2)], 0);
    let config = InversionConfig {
        reserve: 1,
        early_stop: Some(EarlyStopConfig::psnr(8.0)),
        ..InversionConfig::default()
    };
    let run = |order: &[usize]| {
        invert(
            &Counting::new(None),
            &trajectory,
            &config,
            pick(&image, order),
            &mut |_| (),
        )
        .unwrap()
    };
    let whole = run(&[0, 1, 2, 3, 4]);
    assert!(
        whole.stops.iter().any(|stop| *stop != whole.stops[0]),
        "{:?}",
        whole.stops
    );
    let shuffled = run(&[4, 0, 3, 2, 1]);
    common::close(
        "shuffled",
        &host(&shuffled.latent),
        &host(&pick(&whole.latent, &[4, 0, 3, 2, 1])),
        1e-5,
        1e-5,
    );
    for sample in 0..5 {
        let alone = run(&[sample]);
        assert_eq!(alone.stops[0], whole.stops[sample]);
        common::close(
            "alone",
            &host(&alone.latent),
            &host(&pick(&whole.latent, &[sample])),
            1e-5,
            1e-5,
        );
    }
}

/// The gradient through the U-Net and the one that stops at the image, each against differences of the log
/// probability along a random direction.
#[test]
fn gradients_through_and_beside_the_unet() {
    let classifier = SmallClassifier::random(12);
    let network = Counting::new(Some(10));
    let (abar, t) = (0.7_f64, 300.0);
    let f = (1.0 - abar).sqrt();
    let x = images(1);
    let eps = |x: Tensor<4>| network.eps(x.clone(), Tensor::full([1], t, &x.device()), None);
    let seen =
        |x: Tensor<4>, eps: Tensor<4>| implied_image(x.clone(), eps, abar) * f + x * (1.0 - f);
    let log_p = |z: Tensor<4>| {
        log_softmax(classifier.logits(z), 1)
            .narrow(1, 4, 1)
            .into_scalar::<f32>()
    };
    let shift = |gradient: GradientPath| {
        let context =
            GuidanceContext::new(&network, Some(&classifier), x.clone(), vec![4]).unwrap();
        let config = CleanGradConfig {
            scale: 1.0,
            cutout: false,
            gradient,
            ..CleanGradConfig::default()
        };
        let guidance = GuidanceConfig::Classifier(config)
            .prepare(&context)
            .unwrap();
        let rows = Rows::all(1);
        let step = GuidanceStep::new(3, (t, abar), &x, &rows);
        guidance.predict(&network, &step).unwrap().shift.unwrap() / f
    };
    let direction = images(2).narrow(0, 1, 1);
    let slope = |gradient: Tensor<4>| (gradient * direction.clone()).sum().into_scalar::<f32>();
    let h = 1e-2;
    let along = |h: f64| x.clone() + direction.clone() * h;
    let through = |h: f64| log_p(seen(along(h), eps(along(h))));
    let difference = (through(h) - through(-h)) / (2.0 * h as f32);
    let got = slope(shift(GradientPath::ThroughUnet));
    assert!(
        (got - difference).abs() < 0.02 * difference.abs() + 1e-4,
        "{got} {difference}"
    );

    let z = seen(x.clone(), eps(x.clone()));
    let beside = |h: f64| log_p(z.clone() + direction.clone() * h);
    let difference = (beside(h) - beside(-h)) / (2.0 * h as f32);
    let got = slope(shift(GradientPath::Image));
    assert!(
        (got - difference).abs() < 0.02 * difference.abs() + 1e-4,
        "{got} {difference}"
    );
}

#[test]
fn a_sample_without_a_label_is_not_guided() {
    let trajectory = trajectory();
    let classifier = SmallClassifier::random(12);
    let network = Counting::new(Some(10));
    let run = |guidance: &dyn Guidance| {
        let start = Start::at(images(2), 5);
        synthesise(
            &network,
            &trajectory,
            &SynthesisConfig::default(),
            guidance,
            start,
            &mut |_| (),
        )
        .unwrap()
        .image
    };
    let context =
        GuidanceContext::new(&network, Some(&classifier), images(2), vec![-1, 4]).unwrap();
    let plain = run(&Unconditional);
    for config in [
        GuidanceConfig::Classifier(CleanGradConfig::default()),
        classifier_free(3.0, None),
    ] {
        let guided = run(&*config.prepare(&context).unwrap());
        common::close(
            "-1",
            &host(&pick(&guided, &[0])),
            &host(&pick(&plain, &[0])),
            1e-5,
            1e-5,
        );
        let moved = (pick(&guided, &[1]) - pick(&plain, &[1]))
            .abs()
            .max()
            .into_scalar::<f32>();
        assert!(moved > 1e-3, "{config:?}: {moved}");
    }
}

#[test]
fn an_inversion_is_undone_by_the_synthesis() {
    let trajectory = trajectory();
    let network = Counting::new(None);
    let config = InversionConfig {
        fraction: 0.3,
        ..InversionConfig::default()
    };
    let inverted = invert(&network, &trajectory, &config, images(2), &mut |_| ()).unwrap();
    let index = trajectory.start_after(inverted.stops[0], None);
    assert_eq!(index, 3);
    assert_eq!(trajectory.start_after(inverted.stops[0], Some(3)), 4);
    assert_eq!(trajectory.start_after(9, Some(3)), 9);
    let start = Start::at(inverted.latent, index);
    let made = synthesise(
        &network,
        &trajectory,
        &SynthesisConfig::default(),
        &Unconditional,
        start,
        &mut |_| (),
    )
    .unwrap();
    let moved = (made.image - images(2)).abs().mean().into_scalar::<f32>();
    assert!(moved < 0.2, "{moved}");
}

#[test]
fn what_means_nothing_is_refused() {
    let classifier = SmallClassifier::random(12);
    let with_null = Counting::new(Some(10));
    let without = Counting::new(None);
    let refusal = |network: &Counting,
                   classifier: Option<&SmallClassifier>,
                   label: i64,
                   config: GuidanceConfig| {
        let classifier = classifier.map(|c| c as &dyn Classifier);
        let context = GuidanceContext::new(network, classifier, images(1), vec![label]).unwrap();
        match config.prepare(&context) {
            Ok(_) => panic!("{config:?} was accepted"),
            Err(error) => error.to_string(),
        }
    };
    let has = |message: String, word: &str| assert!(message.contains(word), "{message}");
    has(
        refusal(
            &with_null,
            Some(&classifier),
            1,
            classifier_free(1.0, Some(0.2)),
        ),
        "scale = 1",
    );
    has(
        refusal(
            &with_null,
            Some(&classifier),
            1,
            classifier_free(0.0, Some(0.2)),
        ),
        "scale = 0",
    );
    has(
        refusal(
            &without,
            Some(&classifier),
            1,
            classifier_free(3.0, Some(0.2)),
        ),
        "null label",
    );
    has(
        refusal(&without, None, 1, classifier_free(3.0, None)),
        "null label",
    );
    has(
        refusal(&with_null, None, 1, classifier_free(3.0, Some(0.2))),
        "classifier",
    );
    has(
        refusal(
            &with_null,
            Some(&classifier),
            1,
            classifier_free(3.0, Some(1.5)),
        ),
        "cut-point",
    );
    has(
        refusal(
            &with_null,
            Some(&classifier),
            10,
            classifier_free(3.0, None),
        ),
        "0 to 9",
    );
    let clean = GuidanceConfig::Classifier(CleanGradConfig::default());
    has(refusal(&with_null, None, 1, clean), "classifier");
    let nowhere = CleanGradConfig {
        gradient: GradientPath::ThroughUnet,
        x0hat: false,
        ..CleanGradConfig::default()
    };
    has(
        refusal(
            &with_null,
            Some(&classifier),
            1,
            GuidanceConfig::Classifier(nowhere),
        ),
        "x0hat",
    );

    let trajectory = trajectory();
    let attempt = |config: SynthesisConfig, start: Start| {
        synthesise(
            &with_null,
            &trajectory,
            &config,
            &Unconditional,
            start,
            &mut |_| (),
        )
        .unwrap_err()
        .to_string()
    };
    has(
        attempt(SynthesisConfig::default(), Start::at(images(1), 10)),
        "0 to 9",
    );
    let random = SynthesisConfig {
        eta: 0.5,
        ..SynthesisConfig::default()
    };
    has(attempt(random, Start::at(images(1), 3)), "identities");
    for fraction in [0.0, 1.5, 0.01] {
        let config = InversionConfig {
            fraction,
            ..InversionConfig::default()
        };
        assert!(config.moves(&trajectory).is_err(), "{fraction}");
    }
}

#[test]
fn settings_read_as_an_experiment_writes_them() {
    let read = |text: &str| serde_json::from_str::<GuidanceConfig>(text);
    assert_eq!(
        read(r#"{"kind": "classifier-free", "scale": 3.0, "dsg_cut": 0.2}"#).unwrap(),
        classifier_free(3.0, Some(0.2))
    );
    assert_eq!(
        read(r#"{"kind": "classifier"}"#).unwrap(),
        GuidanceConfig::Classifier(CleanGradConfig::default())
    );
    assert_eq!(
        read(r#"{"kind": "none"}"#).unwrap(),
        GuidanceConfig::None {}
    );
    for wrong in [
        r#"{"kind": "none", "scale": 3.0}"#,
        r#"{"kind": "classifier", "dsg_cut": 0.2}"#,
        r#"{"kind": "classifier-free", "cut": 0.2}"#,
        r#"{"kind": "free"}"#,
        r#"{}"#,
    ] {
        assert!(read(wrong).is_err(), "{wrong}");
    }
    let config: InversionConfig = serde_json::from_str(
        r#"{"spacing": "ddim25", "fraction": 0.6, "early_stop": {"psnr": 6.39}}"#,
    )
    .unwrap();
    assert_eq!(config.early_stop, Some(EarlyStopConfig::psnr(6.39)));
    assert!(serde_json::from_str::<InversionConfig>(r#"{"spacing": "dim25"}"#).is_err());
}
