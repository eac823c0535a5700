//! Images that are noised in place of being inverted.

mod common;

use burn::tensor::Tensor;
use common::{
    host,
    networks::{Counting, SmallClassifier},
    uniform,
};
use diffguard_guidance::{
    DiffGuard, EarlyStopConfig, GuidanceContext, InversionConfig, Reference, ScheduleConfig,
    Settings, SimilarityName, Solver, Start, SynthesisConfig, Trajectory, View,
    guidance::Unconditional, invert, noised, synthesise,
};

fn config(spacing: &str, fraction: f64) -> InversionConfig {
    InversionConfig {
        spacing: spacing.parse().unwrap(),
        fraction,
        draws: Some(3),
        ..InversionConfig::default()
    }
}

fn trajectory(config: &InversionConfig) -> Trajectory {
    let schedule = ScheduleConfig::default().init().unwrap();
    Trajectory::new(&schedule, &config.spacing).unwrap()
}

fn images(batch: usize) -> Tensor<4> {
    uniform([batch, 1, 12, 12], 3)
}

/// Of image and noise, the shares that the level of training step `t` has of them; and the synthesis starts there.
#[test]
fn the_synthesis_starts_at_the_level_of_the_noise() {
    let schedule = ScheduleConfig::default().init().unwrap();
    for (config, t) in [
        // DiffNB's detection: the network's step 239 goes with the level of 240.
        (config("diffnb50@239", 1.0), 240),
        (config("ddim20", 0.25), 250),
        (config("ddim10", 0.4), 400),
        // As far as there are steps, and not to noise alone.
        (config("ddim10", 1.0), 900),
        // The ascent of this one is not aligned with its descent.
        (config("diffnb20@239", 0.6), 140),
    ] {
        let trajectory = trajectory(&config);
        let abar = schedule.alphas_cumprod()[t];
        let (x, samples) = (images(40), (0..40).collect::<Vec<u64>>());
        let of = |x: Tensor<4>| noised(&trajectory, &config, x, &samples, (1, 7)).unwrap();
        let (made, noise) = (of(x.clone()), of(x.zeros_like()));
        let signal = host(&(made.latent.clone() - noise.latent.clone()));
        for (got, x) in signal.iter().zip(host(&x)) {
            assert!((got - abar.sqrt() * x).abs() < 1e-5);
        }
        let noise = host(&noise.latent);
        let squares: f64 = noise.iter().map(|n| n.powi(2)).sum();
        let variance = squares / noise.len() as f64;
        assert!((variance / (1.0 - abar) - 1.0).abs() < 0.06, "{variance}");

        let start = Start::after(&made, &trajectory, None);
        let first = trajectory.synthesis()[start.indices[0]];
        assert!((first.from - abar).abs() < 1e-12);
    }
}

#[test]
fn noise_is_of_the_image_and_the_draw_alone() {
    let config = config("ddim10", 0.4);
    let trajectory = trajectory(&config);
    let x = images(3);
    let of = |x: Tensor<4>, samples: &[u64], draw, seed| {
        host(
            &noised(&trajectory, &config, x, samples, (draw, seed))
                .unwrap()
                .latent,
        )
    };
    let all = of(x.clone(), &[5, 6, 7], 0, 1);
    assert_eq!(of(x.clone().narrow(0, 1, 1), &[6], 0, 1), all[144..288]);
    assert_ne!(of(x.clone(), &[5, 6, 7], 1, 1), all);
    assert_ne!(of(x.clone(), &[5, 6, 7], 0, 2), all);
    assert_ne!(of(x.clone(), &[6, 5, 7], 0, 1), all);
    let error = noised(&trajectory, &config, x, &[5, 6], (0, 1)).unwrap_err();
    assert!(error.to_string().contains("samples"), "{error}");
}

fn guard(draws: usize, seed: u64) -> DiffGuard {
    let settings = Settings {
        inversion: InversionConfig {
            draws: Some(draws),
            ..config("ddim10", 0.4)
        },
        reference: vec![
            Reference::Input,
            Reference::Reconstruction,
            Reference::Contrast,
        ],
        similarity: ["logits-l1", "l2", "ssim"]
            .iter()
            .map(|name| name.parse::<SimilarityName>().unwrap())
            .collect(),
        seed,
        ..Settings::default()
    };
    let unet = Box::new(Counting::new(Some(10)));
    DiffGuard::new(unet, Box::new(SmallClassifier::random(12)), settings).unwrap()
}

#[test]
fn a_score_is_the_mean_over_the_draws() {
    let x = images(3);
    let one = guard(1, 4).score(&x).unwrap();
    let three = guard(3, 4).score(&x).unwrap();
    // Five steps down under a label, without one, and for the reconstruction; no inversion.
    assert_eq!(one.cost.unet_rows, 3 * 5 * 3);
    assert_eq!(three.cost.unet_rows, 3 * one.cost.unet_rows);
    assert_eq!(host(&one.synthesis), host(&three.synthesis));

    // By hand: the draws one after another.
    let by_hand = guard(3, 4);
    let config = &by_hand.settings().inversion;
    let trajectory = trajectory(config);
    let classifier = SmallClassifier::random(12);
    let network = Counting::new(Some(10));
    let labels: Vec<i64> = three.images.iter().map(|it| it.label as i64).collect();
    let mut sums = [0.0; 3];
    for draw in 0..3 {
        let start = noised(&trajectory, config, x.clone(), &[0, 1, 2], (draw, 4)).unwrap();
        let start = Start::after(&start, &trajectory, None);
        let context =
            GuidanceContext::new(&network, Some(&classifier), x.clone(), labels.clone()).unwrap();
        let settings = by_hand.settings();
        let guidance = settings.guidance.prepare(&context).unwrap();
        let made = synthesise(
            &network,
            &trajectory,
            &settings.synthesis,
            guidance.as_ref(),
            start,
            &mut |_| (),
        )
        .unwrap();
        let with = View::new(x.clone(), Some(&classifier));
        let made = View::new(made.image, Some(&classifier));
        let l2 = "l2".parse::<SimilarityName>().unwrap().similarity();
        let scores = l2.score(&with, &made).unwrap().into_data();
        for (sum, score) in sums.iter_mut().zip(scores.iter::<f64>()) {
            *sum += score;
        }
    }
    for (image, sum) in three.images.iter().zip(sums) {
        let score = image.scores[&(Reference::Input, "l2".parse().unwrap())];
        assert!((score - sum / 3.0).abs() < 1e-6 * (1.0 + score.abs()));
        assert_ne!(
            score,
            one.images[0].scores[&(Reference::Input, "l2".parse().unwrap())]
        );
    }
}

#[test]
fn what_means_nothing_is_refused() {
    let good = config("ddim10", 0.4);
    let trajectory = trajectory(&good);
    assert_eq!(good.moves(&trajectory).unwrap(), 4);
    assert_eq!((good.starts(), InversionConfig::default().starts()), (3, 1));
    let refused = |config: InversionConfig| config.moves(&trajectory).unwrap_err().to_string();
    for (config, says) in [
        (
            InversionConfig {
                draws: Some(0),
                ..good.clone()
            },
            "at least once",
        ),
        (
            InversionConfig {
                clip_denoised: true,
                ..good.clone()
            },
            "`clip_denoised`",
        ),
        (
            InversionConfig {
                early_stop: Some(EarlyStopConfig::default()),
                ..good.clone()
            },
            "`early_stop`",
        ),
        (
            InversionConfig {
                solver: Solver::DpmSolverPlusPlus2M,
                ..good.clone()
            },
            "`solver`",
        ),
    ] {
        let error = refused(config);
        assert!(error.contains("draws") && error.contains(says), "{error}");
    }
    let synthesis = SynthesisConfig {
        lead: Some(3),
        ..SynthesisConfig::default()
    };
    let error = synthesis.check_start(&good).unwrap_err().to_string();
    assert!(error.contains("lead") && error.contains("draws"), "{error}");
    assert!(synthesis.check_start(&InversionConfig::default()).is_ok());

    let network = Counting::new(Some(10));
    let error = invert(&network, &trajectory, &good, images(1), &mut |_| ()).unwrap_err();
    assert!(error.to_string().contains("draws"), "{error}");
}

/// With fresh noise in the synthesis, each draw has its own.
#[test]
fn draws_share_no_fresh_noise() {
    let config = config("ddim10", 0.4);
    let trajectory = trajectory(&config);
    let network = Counting::new(Some(10));
    let made = |draw| {
        let mut start = Start::at(images(2), 3);
        start.samples = Some(vec![5, 6]);
        start.draw = draw;
        let settings = SynthesisConfig {
            eta: 1.0,
            ..SynthesisConfig::default()
        };
        let made = synthesise(
            &network,
            &trajectory,
            &settings,
            &Unconditional,
            start,
            &mut |_| (),
        );
        host(&made.unwrap().image)
    };
    assert_eq!(made(1), made(1));
    assert_ne!(made(0), made(1));
}
