//! The arithmetic of the samplers, step by step, with the reference's own network outputs played back.

mod common;

use std::sync::Mutex;

use burn::tensor::Tensor;
use common::{
    Oracle, host,
    networks::{Replay, SmallClassifier},
};
use diffguard_guidance::{
    GuidanceContext, InversionConfig, ScheduleConfig, SpacingConfig, Start, SynthesisConfig,
    Trajectory,
    cutouts::Crop,
    early_stop::{EarlyStopConfig, psnr},
    grad_cam::semantic_mask,
    guidance::{
        ClassifierFree, CleanGrad, CleanGradConfig, Unconditional, log_probability_gradient,
    },
    invert,
    nearest::resize_nearest,
    synthesise,
};
use diffguard_models::Classifier;

/// Row `i` of a tensor whose first dimension counts steps.
fn at(stack: &Tensor<5>, i: usize) -> Tensor<4> {
    stack.clone().narrow(0, i, 1).squeeze_dim(0)
}

fn guided(spacing: &str) -> Trajectory {
    Trajectory::new(
        &ScheduleConfig::default().init().unwrap(),
        &spacing.parse().unwrap(),
    )
    .unwrap()
}

fn latent(steps: usize) -> Trajectory {
    let schedule = ScheduleConfig::ScaledLinear {
        steps: 1000,
        start: 0.0015,
        end: 0.0195,
    };
    Trajectory::new(&schedule.init().unwrap(), &SpacingConfig::Uniform(steps)).unwrap()
}

fn replayed_inversion(oracle: &Oracle, run: &str, spacing: &str) -> (Trajectory, Replay) {
    let trajectory = guided(spacing);
    let eps: Tensor<5> = oracle.tensor(&format!("out.{run}.eps"));
    let calls = trajectory
        .inversion()
        .iter()
        .enumerate()
        .map(|(i, step)| (step.t, None, Some(at(&eps, i))));
    let network = Replay::new(calls.collect(), 10);
    (trajectory, network)
}

#[test]
fn inversion_of_the_pixel_model() {
    let oracle = Oracle::open("ddim_inversion/every_step");
    let image: Tensor<4> = oracle.tensor("in.image");
    for (run, spacing, clip_denoised) in [
        ("ddim10_noclip", "ddim10", false),
        ("ddim10_clip", "ddim10", true),
        ("ddim25_clip", "ddim25", true),
    ] {
        let (trajectory, network) = replayed_inversion(&oracle, run, spacing);
        let x: Tensor<5> = oracle.tensor(&format!("out.{run}.x"));
        let ratios = oracle.values(&format!("out.{run}.psnr_peak255"));
        let config = InversionConfig {
            clip_denoised,
            ..InversionConfig::default()
        };
        let mut steps = 0;
        let inverted = invert(&network, &trajectory, &config, image.clone(), &mut |step| {
            assert_eq!(step.indices, [steps; 2]);
            common::close(
                run,
                &host(step.x),
                &host(&at(&x, steps)),
                oracle.rtol,
                oracle.atol,
            );
            let shift = 20.0 * 127.5_f64.log10();
            let got: Vec<f64> = host(&psnr(image.clone(), step.x.clone()))
                .iter()
                .map(|v| v + shift)
                .collect();
            common::close(
                "psnr",
                &got,
                &ratios[2 * steps..2 * steps + 2],
                oracle.rtol,
                oracle.atol,
            );
            steps += 1;
        })
        .unwrap();
        assert_eq!(steps, trajectory.len());
        assert_eq!(inverted.stops, vec![trajectory.len() - 1; 2]);
        let last = at(&x, steps - 1);
        common::close(
            run,
            &host(&inverted.latent),
            &host(&last),
            oracle.rtol,
            oracle.atol,
        );
    }
}

#[test]
fn inversion_with_steps_in_reserve() {
    let oracle = Oracle::open("ddim_inversion/every_step");
    let (trajectory, network) = replayed_inversion(&oracle, "ddim10_clip", "ddim10");
    let config = InversionConfig {
        clip_denoised: true,
        reserve: 2,
        ..InversionConfig::default()
    };
    let inverted = invert(
        &network,
        &trajectory,
        &config,
        oracle.tensor("in.image"),
        &mut |_| (),
    )
    .unwrap();
    oracle.check("out.ddim10_clip_reserve2.latent", &host(&inverted.latent));
    assert_eq!(inverted.stops, [7, 7]);
}

#[test]
fn early_stop_takes_each_sample_at_its_own_step() {
    let oracle = Oracle::open("ddim_inversion/every_step");
    let run = "ddim25_clip";
    let x: Tensor<5> = oracle.tensor(&format!("out.{run}.x"));
    let ratios = oracle.values(&format!("out.{run}.psnr_peak255"));
    let of = |sample: usize| {
        ratios
            .iter()
            .skip(sample)
            .step_by(2)
            .copied()
            .collect::<Vec<_>>()
    };
    // A threshold between the two samples' ratios at some step lets one of them stop before the other.
    let step = (3..20)
        .max_by(|a, b| {
            (of(0)[*a] - of(1)[*a])
                .abs()
                .total_cmp(&(of(0)[*b] - of(1)[*b]).abs())
        })
        .unwrap();
    let threshold = (of(0)[step] + of(1)[step]) / 2.0;
    let moves = 20;
    let expected: Vec<usize> = [of(0), of(1)]
        .iter()
        .map(|r| {
            r[..moves]
                .iter()
                .position(|v| *v < threshold)
                .unwrap_or(moves - 1)
        })
        .collect();
    assert_ne!(expected[0], expected[1]);

    // A replay answers by rows: with a sample gone it has to answer with the other one's.
    let first_stop = *expected.iter().min().unwrap();
    let staying = if expected[0] > expected[1] { 0 } else { 1 };
    let (trajectory, mut network) = replayed_inversion(&oracle, run, "ddim25");
    for (_, _, eps) in network.calls.iter_mut().skip(first_stop + 1) {
        *eps = eps.take().map(|eps| eps.narrow(0, staying, 1));
    }
    let config = InversionConfig {
        clip_denoised: true,
        fraction: 0.8,
        early_stop: Some(EarlyStopConfig::psnr(threshold - 20.0 * 127.5_f64.log10())),
        ..InversionConfig::default()
    };
    let inverted = invert(
        &network,
        &trajectory,
        &config,
        oracle.tensor("in.image"),
        &mut |_| (),
    )
    .unwrap();
    assert_eq!(inverted.stops, expected);
    for (sample, stop) in expected.iter().enumerate() {
        let want = at(&x, *stop).narrow(0, sample, 1);
        let got = inverted.latent.clone().narrow(0, sample, 1);
        common::close(
            "latent",
            &host(&got),
            &host(&want),
            oracle.rtol,
            oracle.atol,
        );
    }
    assert_eq!(
        inverted.cost.unet_rows as usize,
        expected[0] + expected[1] + 2
    );
}

#[test]
fn inversion_and_reconstruction_of_the_latent_model() {
    let oracle = Oracle::open("cfg_dsg/five_steps_w3");
    let trajectory = latent(5);
    let x: Tensor<5> = oracle.tensor("out.invert_null.x");
    let eps: Tensor<5> = oracle.tensor("out.invert_null.eps");
    let t = oracle.values("out.invert_null.t");
    let network = Replay::new(
        (0..5).map(|i| (t[i], None, Some(at(&eps, i)))).collect(),
        10,
    );
    let mut i = 0;
    let inverted = invert(
        &network,
        &trajectory,
        &InversionConfig::default(),
        oracle.tensor("in.z0"),
        &mut |step| {
            i += 1;
            common::close(
                "x",
                &host(step.x),
                &host(&at(&x, i)),
                oracle.rtol,
                oracle.atol,
            );
        },
    )
    .unwrap();
    assert_eq!(i, 5);

    let x: Tensor<5> = oracle.tensor("out.sample_null.x");
    let x0: Tensor<5> = oracle.tensor("out.sample_null.pred_x0");
    let eps: Tensor<5> = oracle.tensor("out.sample_null.eps");
    let t = oracle.values("out.sample_null.t");
    let network = Replay::new(
        (0..5).map(|i| (t[i], None, Some(at(&eps, i)))).collect(),
        10,
    );
    let start = Start::after(&inverted, &trajectory, None);
    let mut i = 0;
    synthesise(
        &network,
        &trajectory,
        &SynthesisConfig::default(),
        &Unconditional,
        start,
        &mut |step| {
            common::close(
                "x0hat",
                &host(step.x0hat),
                &host(&at(&x0, i)),
                oracle.rtol,
                oracle.atol,
            );
            i += 1;
            common::close(
                "x",
                &host(step.x),
                &host(&at(&x, i)),
                oracle.rtol,
                oracle.atol,
            );
        },
    )
    .unwrap();
    assert_eq!(i, 5);
}

#[test]
fn classifier_free_guidance_with_and_without_the_mask() {
    let oracle = Oracle::open("cfg_dsg/five_steps_w3");
    let trajectory = latent(5);
    let labels = oracle.ints("in.y");
    let cam: Tensor<4> = oracle.tensor::<3>("in.cam").unsqueeze_dim(1);
    for (run, masked) in [("sample_w3", false), ("sample_w3_mask", true)] {
        let x: Tensor<5> = oracle.tensor(&format!("out.{run}.x"));
        let x0: Tensor<5> = oracle.tensor(&format!("out.{run}.pred_x0"));
        let eps_null: Tensor<5> = oracle.tensor(&format!("out.{run}.eps_null"));
        let eps_cond: Tensor<5> = oracle.tensor(&format!("out.{run}.eps_cond"));
        let t = oracle.values(&format!("out.{run}.t"));
        let calls = (0..5).map(|i| (t[i], Some(at(&eps_cond, i)), Some(at(&eps_null, i))));
        let network = Replay::new(calls.collect(), 10);
        let context =
            GuidanceContext::new(&network, None, oracle.tensor("in.z0"), labels.clone()).unwrap();
        let mask = masked.then(|| semantic_mask(cam.clone(), 0.5).unwrap());
        let guidance = ClassifierFree::with_mask(3.0, &context, mask).unwrap();
        let mut i = 0;
        let made = synthesise(
            &network,
            &trajectory,
            &SynthesisConfig::default(),
            &guidance,
            Start::at(at(&x, 0), 4),
            &mut |step| {
                common::close(
                    "x0hat",
                    &host(step.x0hat),
                    &host(&at(&x0, i)),
                    oracle.rtol,
                    oracle.atol,
                );
                i += 1;
                common::close(
                    "x",
                    &host(step.x),
                    &host(&at(&x, i)),
                    oracle.rtol,
                    oracle.atol,
                );
            },
        )
        .unwrap();
        assert_eq!((i, made.cost.unet_rows), (5, 20));
    }
}

#[test]
fn masks_of_distinct_semantic_guidance() {
    let oracle = Oracle::open("cfg_dsg/five_steps_w3");
    let cam: Tensor<4> = oracle.tensor::<3>("in.cam").unsqueeze_dim(1);
    for (cut, name) in [(0.3, "0_3"), (0.5, "0_5"), (-0.5, "neg0_5")] {
        let mask = semantic_mask(cam.clone(), cut).unwrap();
        oracle.check(&format!("out.mask_cut_{name}"), &host(&mask));
    }
    let mask: Tensor<4> = oracle.tensor::<3>("in.mask").unsqueeze_dim(1);
    oracle.check("out.mask_latent", &host(&resize_nearest(mask, [16, 16])));
}

#[test]
fn steps_of_diffnb() {
    let schedule = ScheduleConfig::Linear {
        steps: 1000,
        start: 1e-4,
        end: 2e-2,
    }
    .init()
    .unwrap();
    let abar = schedule.alphas_cumprod();
    let of = |text: &str| Trajectory::new(&schedule, &text.parse().unwrap()).unwrap();
    let steps =
        |moves: &[diffguard_guidance::Move]| moves.iter().map(|m| m.t as i64).collect::<Vec<_>>();

    let down = of("diffnb20@239");
    assert_eq!(steps(down.synthesis()), [39, 89, 139, 189, 239]);
    assert_eq!(down.synthesis()[0].to, abar[0]);
    assert_eq!(down.synthesis()[4].from, abar[240]);
    assert_eq!(steps(of("diffnb20@119").synthesis()), [19, 69, 119]);

    let up = of("diffnb20@199");
    assert_eq!(steps(up.inversion()), [-1, 49, 99, 149]);
    assert_eq!(
        (up.inversion()[0].from, up.inversion()[3].to),
        (abar[0], abar[200])
    );
    assert_eq!(up.start_after(3, None), 3);

    let all = of("diffnb20");
    assert_eq!((all.len(), all.inversion()[18].to), (19, abar[950]));
    assert_eq!(all.synthesis()[18].from, abar[950]);
}
