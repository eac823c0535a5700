//! What the classifier is shown while it guides.

mod common;

use burn::tensor::{Tensor, activation::log_softmax};
use common::{
    host,
    networks::{Counting, SmallClassifier},
    uniform,
};
use diffguard_guidance::{
    GuidanceConfig, GuidanceContext, ScheduleConfig, Start, SynthesisConfig, Trajectory,
    augment::{Donors, Patch, Shown, Views},
    guidance::{CleanGradConfig, log_probability_gradient},
    synthesise,
};
use diffguard_models::Classifier;

fn ramp() -> Tensor<4> {
    let pixels: Vec<f32> = (0..9).map(|i| i as f32).collect();
    Tensor::<1>::from_floats(pixels.as_slice(), &burn::tensor::Device::flex()).reshape([1, 1, 3, 3])
}

fn shown(view: Shown) -> Vec<f64> {
    host(&Views::new(vec![view], 3, None).show(ramp()))
}

#[test]
fn mirrored_and_shifted() {
    let mirrored = Shown {
        mirrored: true,
        ..Shown::default()
    };
    assert_eq!(shown(mirrored), [2., 1., 0., 5., 4., 3., 8., 7., 6.]);
    let down = Shown {
        shift: [1, 0],
        ..Shown::default()
    };
    assert_eq!(shown(down), [0., 1., 2., 0., 1., 2., 3., 4., 5.]);
    let left = Shown {
        shift: [0, -2],
        ..Shown::default()
    };
    assert_eq!(shown(left), [2., 2., 2., 5., 5., 5., 8., 8., 8.]);
}

#[test]
fn a_patch_shows_another_image_and_follows_its_label_by_its_share() {
    let classifier = SmallClassifier::random(12);
    let donors = Donors::new(uniform([3, 1, 12, 12], 8), vec![1, 5, 7]).unwrap();
    let patch = Patch {
        origin: [2, 3],
        size: [6, 6],
        donor: 2,
    };
    let view = Shown {
        patch: Some(patch),
        ..Shown::default()
    };
    let views = Views::new(vec![view; 2], 12, Some(&donors));
    let z = uniform([2, 1, 12, 12], 9);
    let seen = views.show(z.clone());
    assert_eq!(seen.dims(), [4, 1, 12, 12]);
    let place = |t: Tensor<4>| host(&t.narrow(2, 2, 6).narrow(3, 3, 6));
    let donor = uniform([3, 1, 12, 12], 8).narrow(0, 2, 1);
    for row in 0..4 {
        assert_eq!(place(seen.clone().narrow(0, row, 1)), place(donor.clone()));
        let outside = |t: Tensor<4>| host(&t.narrow(2, 0, 2));
        let input = z.clone().narrow(0, row % 2, 1);
        assert_eq!(outside(seen.clone().narrow(0, row, 1)), outside(input));
    }

    // The gradient of 3/4 log p(label) + 1/4 log p(7), twice over, by differences along a random direction.
    let gradient = log_probability_gradient(&classifier, z.clone(), &[4, -1], &views, 2.0);
    assert_eq!(host(&gradient.clone().narrow(0, 1, 1)), [0.0; 144]);
    let first = gradient.narrow(0, 0, 1);
    assert!(place(first.clone()).iter().all(|value| *value == 0.0));
    let direction = uniform([1, 1, 12, 12], 10);
    let value = |h: f64| {
        let moved = z.clone().narrow(0, 0, 1) + direction.clone() * h;
        let seen = Views::new(vec![view], 12, Some(&donors)).show(moved);
        let log_p = host(&log_softmax(classifier.logits(seen) / 2.0, 1));
        2.0 * (0.75 * log_p[4] + 0.25 * log_p[7])
    };
    let difference = (value(1e-2) - value(-1e-2)) / 2e-2;
    let slope = host(&(first * direction)).iter().sum::<f64>();
    assert!(
        (slope - difference).abs() < 0.02 * difference.abs() + 1e-4,
        "{slope} {difference}"
    );
}

fn trajectory() -> Trajectory {
    let schedule = ScheduleConfig::default().init().unwrap();
    Trajectory::new(&schedule, &"ddim10".parse().unwrap()).unwrap()
}

#[test]
fn every_augmentation_leaves_samples_independent_and_costs_its_views() {
    let classifier = SmallClassifier::random(12);
    let donors = Donors::new(uniform([3, 1, 12, 12], 8), vec![1, 5, 7]).unwrap();
    let images = uniform([3, 1, 12, 12], 1);
    let base = CleanGradConfig {
        crops: 3,
        ..CleanGradConfig::default()
    };
    let plain = CleanGradConfig {
        cutout: false,
        ..base.clone()
    };
    let mut results: Vec<Vec<f64>> = Vec::new();
    for (config, views) in [
        (plain.clone(), 1),
        (base.clone(), 3),
        (
            CleanGradConfig {
                flip: true,
                ..plain.clone()
            },
            3,
        ),
        (
            CleanGradConfig {
                translate: Some(0.2),
                ..plain.clone()
            },
            3,
        ),
        (
            CleanGradConfig {
                mix: Some(0.25),
                ..plain.clone()
            },
            3,
        ),
        (
            CleanGradConfig {
                flip: true,
                translate: Some(0.2),
                mix: Some(0.25),
                ..base.clone()
            },
            3,
        ),
    ] {
        let run = |first: usize, count: usize| {
            let network = Counting::new(None);
            let image = images.clone().narrow(0, first, count);
            let labels = (first..first + count).map(|label| label as i64).collect();
            let context = GuidanceContext::new(&network, Some(&classifier), image.clone(), labels)
                .unwrap()
                .with_donors(&donors);
            let guidance = GuidanceConfig::Classifier(config.clone())
                .prepare(&context)
                .unwrap();
            let settings = SynthesisConfig::default();
            let start = Start::at(image, 4);
            let made = synthesise(
                &network,
                &trajectory(),
                &settings,
                &*guidance,
                start,
                &mut |_| (),
            )
            .unwrap();
            assert_eq!(made.cost.classifier_rows as usize, count * 5 * views);
            assert_eq!(network.total(), count * 5);
            host(&made.image)
        };
        let whole = run(0, 3);
        for sample in 0..3 {
            let among = &whole[144 * sample..144 * (sample + 1)];
            common::close("alone", &run(sample, 1), among, 1e-5, 1e-5);
        }
        assert!(results.iter().all(|other| *other != whole), "{config:?}");
        results.push(whole);
    }
}

#[test]
fn what_cannot_be_mixed_is_refused() {
    let classifier = SmallClassifier::random(12);
    let network = Counting::new(None);
    let images = uniform([1, 1, 12, 12], 1);
    let mix = |share: f64| {
        GuidanceConfig::Classifier(CleanGradConfig {
            mix: Some(share),
            ..CleanGradConfig::default()
        })
    };
    let attempt = |config: GuidanceConfig, donors: Option<&Donors>| {
        let mut context =
            GuidanceContext::new(&network, Some(&classifier), images.clone(), vec![1]).unwrap();
        if let Some(donors) = donors {
            context = context.with_donors(donors);
        }
        config.prepare(&context).err().expect("refused").to_string()
    };
    let donors = |side: usize, label: usize| {
        Donors::new(uniform([1, 1, side, side], 8), vec![label]).unwrap()
    };
    assert!(attempt(mix(0.25), None).contains("none were given"));
    assert!(attempt(mix(0.25), Some(&donors(8, 1))).contains("8x8"));
    assert!(attempt(mix(0.25), Some(&donors(12, 10))).contains("0 to 9"));
    assert!(attempt(mix(1.0), Some(&donors(12, 1))).contains("between 0 and 1"));
    let far = CleanGradConfig {
        translate: Some(1.5),
        ..CleanGradConfig::default()
    };
    assert!(attempt(GuidanceConfig::Classifier(far), None).contains("translate"));
    assert!(Donors::new(uniform([1, 1, 8, 8], 1), Vec::new()).is_err());
    assert_eq!(
        serde_json::to_string(&CleanGradConfig::default()).unwrap(),
        concat!(
            r#"{"scale":3.0,"x0hat":true,"cutout":true,"crops":8,"crop_min":null,"crop_side":null,"#,
            r#""crop_power":1.0,"crop_weight":"sum","gradient":"image","temperature":1.0,"#,
            r#""normalise":false,"seed":0}"#
        ),
        "stored syntheses are found again by what their configuration is written as"
    );
}
