//! The whole method as one object.

mod common;

use burn::tensor::Tensor;
use common::{
    host,
    networks::{Counting, SmallClassifier},
    uniform,
};
use diffguard_guidance::{
    Cost, DenoisingConfig, DiffGuard, EarlyStopConfig, GuidanceConfig, GuidanceContext,
    ImageReport, InversionConfig, LabelSource, Reference, Settings, SimilarityName, Start,
    SynthesisConfig, Trajectory,
    guidance::{ClassifierFreeConfig, CleanGradConfig},
    invert, synthesise,
};
use diffguard_models::{Classifier, FirstStage};

fn names(names: &[&str]) -> Vec<SimilarityName> {
    names.iter().map(|name| name.parse().unwrap()).collect()
}

fn settings() -> Settings {
    Settings {
        inversion: InversionConfig {
            spacing: "ddim10".parse().unwrap(),
            fraction: 0.6,
            ..InversionConfig::default()
        },
        reference: vec![Reference::Input, Reference::Reconstruction],
        similarity: names(&["logits-l1", "l2", "ssim"]),
        ..Settings::default()
    }
}

fn guard(settings: Settings) -> DiffGuard {
    let unet = Box::new(Counting::new(Some(10)));
    DiffGuard::new(unet, Box::new(SmallClassifier::random(12)), settings).unwrap()
}

fn images(batch: usize) -> Tensor<4> {
    uniform([batch, 1, 12, 12], 3)
}

#[test]
fn a_report_costs_what_the_algorithm_needs() {
    let cost = |guidance: GuidanceConfig, reference: Vec<Reference>| {
        let settings = Settings {
            guidance,
            reference,
            ..settings()
        };
        guard(settings).score(&images(3)).unwrap().cost
    };
    let free = |dsg_cut| {
        GuidanceConfig::ClassifierFree(ClassifierFreeConfig {
            scale: 3.0,
            dsg_cut,
        })
    };
    // Six moves up, and from the level that they end at seven down.
    let (up, down) = (6, 7);
    assert_eq!(
        cost(free(None), vec![Reference::Input]),
        Cost {
            unet_rows: 3 * (up + 2 * down),
            // The input and the synthesis, once each.
            classifier_rows: 3 * 2,
            ..Cost::default()
        }
    );
    assert_eq!(
        cost(
            free(Some(0.2)),
            vec![Reference::Input, Reference::Reconstruction]
        ),
        Cost {
            unet_rows: 3 * (up + 3 * down),
            // Input, activation map, synthesis, reconstruction.
            classifier_rows: 3 * 4,
            ..Cost::default()
        }
    );
    let clean = CleanGradConfig {
        crops: 4,
        ..CleanGradConfig::default()
    };
    assert_eq!(
        cost(GuidanceConfig::Classifier(clean), vec![Reference::Input]),
        Cost {
            unet_rows: 3 * (up + down),
            classifier_rows: 3 * (2 + 4 * down),
            classifier_gradient_rows: 3 * 4 * down,
            ..Cost::default()
        }
    );
}

#[test]
fn a_contrast_is_what_the_label_changes() {
    let score = |guidance: GuidanceConfig, reference: &[Reference]| {
        let settings = Settings {
            guidance,
            reference: reference.to_vec(),
            ..settings()
        };
        guard(settings).score(&images(3)).unwrap()
    };
    let free = GuidanceConfig::ClassifierFree(ClassifierFreeConfig::default());
    let guided = score(free, &[Reference::Input, Reference::Contrast]);
    let plain = score(
        GuidanceConfig::None {},
        &[Reference::Input, Reference::Contrast],
    );
    for (guided, plain) in guided.images.iter().zip(&plain.images) {
        for name in &settings().similarity {
            let of = |image: &ImageReport, reference| image.scores[&(reference, *name)];
            let difference = of(guided, Reference::Input) - of(plain, Reference::Input);
            let contrast = of(guided, Reference::Contrast);
            assert!(
                (contrast - difference).abs() < 1e-4,
                "{name}: {contrast} {difference}"
            );
            assert!(contrast.abs() > 1e-4, "{name}: {contrast}");
            assert_eq!(of(plain, Reference::Contrast), 0.0, "{name}");
        }
    }
    // Six moves up, seven down: guided in two rows, and once without; the classifier sees three images of each.
    assert_eq!(guided.cost.unet_rows, 3 * (6 + 3 * 7));
    assert_eq!(guided.cost.classifier_rows, 3 * 3);
}

#[test]
fn an_image_does_not_depend_on_the_others() {
    let mut stopping = settings();
    stopping.inversion.early_stop = Some(EarlyStopConfig::new([
        ("ssim".parse().unwrap(), 0.5),
        ("psnr".parse().unwrap(), 9.0),
    ]));
    stopping.label = LabelSource::RandomOfTop(3);
    stopping.synthesis.eta = 0.3;
    for settings in [settings(), stopping] {
        let guard = guard(settings);
        let ids = [11, 12, 13, 14, 15];
        let whole = guard.score_named(&images(5), &ids).unwrap();
        for i in 0..5 {
            let alone = guard
                .score_named(&images(5).narrow(0, i, 1), &ids[i..=i])
                .unwrap();
            let (one, among) = (&alone.images[0], &whole.images[i]);
            assert_eq!(
                (one.predicted, one.label, one.stop),
                (among.predicted, among.label, among.stop)
            );
            assert_eq!(one.scores.len(), 6);
            for (key, score) in &one.scores {
                common::close(key.1.as_str(), &[*score], &[among.scores[key]], 1e-4, 1e-5);
            }
            let picture = whole.synthesis.clone().narrow(0, i, 1);
            common::close(
                "synthesis",
                &host(&alone.synthesis),
                &host(&picture),
                1e-5,
                1e-5,
            );
        }
    }
}

/// Halves the values, and so the distance to everything; decoding doubles them again.
struct Halving;

impl FirstStage for Halving {
    fn encode(&self, image: Tensor<4>) -> Tensor<4> {
        image / 2.0
    }

    fn decode(&self, latent: Tensor<4>) -> Tensor<4> {
        latent * 2.0
    }

    fn latent_channels(&self) -> usize {
        1
    }

    fn factor(&self) -> usize {
        1
    }
}

#[test]
fn a_latent_model_inverts_and_synthesises_latents() {
    let settings = settings();
    let report = guard(settings.clone())
        .with_first_stage(Box::new(Halving))
        .unwrap()
        .score(&images(2))
        .unwrap();

    let (network, classifier) = (Counting::new(Some(10)), SmallClassifier::random(12));
    let schedule = settings.schedule.init().unwrap();
    let trajectory = Trajectory::new(&schedule, &settings.inversion.spacing).unwrap();
    let latent = Halving.encode(images(2));
    let inverted = invert(
        &network,
        &trajectory,
        &settings.inversion,
        latent,
        &mut |_| (),
    )
    .unwrap();
    let labels = classifier.logits(images(2)).argmax(1).into_data();
    let labels = labels.iter::<i64>().collect();
    let context = GuidanceContext::new(&network, Some(&classifier), images(2), labels).unwrap();
    let guidance = settings.guidance.prepare(&context).unwrap();
    let start = Start::after(&inverted, &trajectory, None);
    let plain = SynthesisConfig::default();
    let made = synthesise(
        &network,
        &trajectory,
        &plain,
        &*guidance,
        start,
        &mut |_| (),
    )
    .unwrap();
    let decoded = Halving.decode(made.image).clamp(-1.0, 1.0);
    common::close(
        "synthesis",
        &host(&report.synthesis),
        &host(&decoded),
        1e-6,
        1e-6,
    );
    assert_eq!(report.images[0].stop, inverted.stops[0]);

    let clean = Settings {
        guidance: GuidanceConfig::Classifier(CleanGradConfig::default()),
        ..settings
    };
    let refused = guard(clean)
        .with_first_stage(Box::new(Halving))
        .err()
        .unwrap();
    assert!(refused.to_string().contains("latents"));
}

#[test]
fn what_cannot_be_guarded_is_refused_at_once() {
    let refuse = |change: fn(&mut Settings), null: Option<usize>| {
        let mut settings = settings();
        change(&mut settings);
        let unet = Box::new(Counting::new(null));
        let classifier = Box::new(SmallClassifier::random(12));
        let refused = DiffGuard::new(unet, classifier, settings).err();
        refused.expect("refused").to_string()
    };
    let has = |message: String, word: &str| assert!(message.contains(word), "{message}");
    has(refuse(|_| (), None), "null label");
    has(refuse(|s| s.label = LabelSource::Oracle, Some(10)), "truth");
    has(
        refuse(|s| s.similarity.clear(), Some(10)),
        "nothing to compare",
    );
    has(refuse(|s| s.inversion.fraction = 2.0, Some(10)), "fraction");
    has(
        refuse(
            |s| {
                s.guidance = GuidanceConfig::ClassifierFree(ClassifierFreeConfig {
                    scale: 1.0,
                    dsg_cut: Some(0.2),
                });
            },
            Some(10),
        ),
        "scale = 1",
    );
    assert!(guard(settings()).score_named(&images(2), &[1]).is_err());
}

#[test]
fn denoising_is_asked_of_the_guards_own_network() {
    let (guard, images) = (guard(settings()), images(3));
    let predicted: Vec<usize> = guard
        .score(&images)
        .unwrap()
        .images
        .iter()
        .map(|image| image.predicted)
        .collect();
    let config = DenoisingConfig {
        from: 50,
        to: 600,
        rounds: 3,
        others: Some(2),
    };
    let of = (&predicted[..], &[4, 5, 6][..]);
    let asked = guard.denoise(&config, &images, of).unwrap();
    assert_eq!(asked.cost.unet_rows, 3 * 3 * 3);
    let schedule = settings().schedule.init().unwrap();
    let network = Counting::new(Some(10));
    let made = config.errors(0..3, &network, &schedule, &images, of, settings().seed);
    let values = |errors: Tensor<3>| errors.into_data().iter::<f32>().collect::<Vec<_>>();
    let errors = values(asked.errors);
    assert_eq!(errors, values(made.unwrap().errors));
    assert!(errors[..9] != errors[9..18] && errors[9..18] != errors[18..]);
}

#[test]
fn settings_are_written_and_read() {
    let text = serde_json::to_string(&settings()).unwrap();
    assert_eq!(serde_json::from_str::<Settings>(&text).unwrap(), settings());
    let short = r#"{"guidance": {"kind": "classifier"}, "similarity": ["dists"]}"#;
    let read: Settings = serde_json::from_str(short).unwrap();
    assert_eq!(read.similarity, names(&["dists"]));
    assert_eq!(read.reference, [Reference::Input]);
    assert!(serde_json::from_str::<Settings>(r#"{"guidence": {}}"#).is_err());
}
