//! Denoising under each label.

mod common;

use burn::tensor::{Int, Tensor};
use common::uniform;
use diffguard_guidance::{DenoisingConfig, Error, Schedule, ScheduleConfig, denoising_score};
use diffguard_models::NoisePredictor;

const CLASSES: usize = 4;

/// Each class is one image, of the value `mean(class)` everywhere: the best that can be predicted is known.
struct Points(Schedule);

fn mean(class: usize) -> f64 {
    0.25 * class as f64 - 0.5
}

impl NoisePredictor for Points {
    fn eps(&self, x_t: Tensor<4>, t: Tensor<1>, label: Option<Tensor<1, Int>>) -> Tensor<4> {
        let steps = host(&t);
        let abar = self.0.alphas_cumprod()[steps[0] as usize];
        let [batch, ..] = x_t.dims();
        let label = label.expect("asked under labels alone").float();
        let means = (label * 0.25 - 0.5).reshape([batch, 1, 1, 1]);
        (x_t - means * abar.sqrt()) / (1.0 - abar).sqrt()
    }

    fn num_classes(&self) -> usize {
        CLASSES
    }

    fn null_label(&self) -> Option<usize> {
        None
    }
}

/// Its error depends on the noise.
struct Rough;

impl NoisePredictor for Rough {
    fn eps(&self, x_t: Tensor<4>, _: Tensor<1>, label: Option<Tensor<1, Int>>) -> Tensor<4> {
        let [batch, ..] = x_t.dims();
        let label = label.expect("asked under labels alone").float();
        x_t.tanh() * label.reshape([batch, 1, 1, 1])
    }

    fn num_classes(&self) -> usize {
        CLASSES
    }

    fn null_label(&self) -> Option<usize> {
        None
    }
}

fn host<const D: usize>(tensor: &Tensor<D>) -> Vec<f32> {
    tensor.clone().into_data().try_into_vec::<f32>().unwrap()
}

fn schedule() -> Schedule {
    ScheduleConfig::default().init().unwrap()
}

/// The golden ratio's multiples 0.309, 0.927 and 0.545 of the way from 50 to 400.
const STEPS: [usize; 3] = [158, 375, 241];

fn config() -> DenoisingConfig {
    DenoisingConfig {
        from: 50,
        to: 400,
        rounds: 3,
        others: None,
    }
}

fn errors(
    network: &dyn NoisePredictor,
    config: &DenoisingConfig,
    image: &Tensor<4>,
    predicted: &[usize],
    samples: &[u64],
    seed: u64,
) -> Vec<f32> {
    let (of, all) = ((predicted, samples), 0..config.rounds);
    let made = config.errors(all, network, &schedule(), image, of, seed);
    let made = made.unwrap();
    let rows = predicted.len() * config.evaluations(CLASSES);
    assert_eq!(made.cost.unet_rows, rows as u64);
    host(&made.errors)
}

#[test]
fn the_error_under_a_label_is_that_of_its_image() {
    let (config, image) = (config(), uniform([2, 3, 4, 4], 5));
    let made = errors(&Points(schedule()), &config, &image, &[2, 0], &[7, 8], 0);
    assert_eq!(made.len(), 2 * 3 * 4);
    let image = host(&image);
    for (place, errors) in made.chunks(4).enumerate() {
        let (sample, round) = (place / 3, place % 3);
        let abar = schedule().alphas_cumprod()[STEPS[round]];
        // The noise, which is none of it, cancels to the precision of the sums that it was in.
        let wanted = |class: usize| {
            let pixels = image[sample * 48..][..48].iter();
            let distance: f64 = pixels
                .map(|value| (f64::from(*value) - mean(class)).powi(2))
                .sum();
            abar / (1.0 - abar) * distance
        };
        let near =
            |error: f32, wanted: f64| (f64::from(error) - wanted).abs() < 1e-3 * (1.0 + wanted);
        let own = [2, 0][sample];
        assert!(near(errors[0], wanted(own)), "{errors:?}");
        // The others, in whatever order.
        let sum: f32 = errors[1..].iter().sum();
        let others: f64 = (0..CLASSES).filter(|class| *class != own).map(wanted).sum();
        assert!(near(sum, others), "{errors:?}");
    }
}

#[test]
fn a_label_that_fits_scores_higher_than_one_that_does_not() {
    // Class 3, all but for a little.
    let image = uniform([1, 1, 4, 4], 9) * 0.05 + mean(3);
    let scores: Vec<f64> = (0..CLASSES)
        .map(|own| {
            let made = errors(&Points(schedule()), &config(), &image, &[own], &[1], 0);
            denoising_score(&made, CLASSES)
        })
        .collect();
    assert!(scores[3] > 0.0 && scores[0] < 0.0, "{scores:?}");
    assert!(scores.is_sorted(), "{scores:?}");
}

#[test]
fn the_score_is_the_others_mean_less_the_own_by_the_root_of_all() {
    // Two rounds, three labels; sums 4, 10 and 22, their mean 12.
    let made = [1.0, 4.0, 10.0, 3.0, 6.0, 12.0];
    assert_eq!(denoising_score(&made, 3), (16.0 - 4.0) / 12.0_f64.sqrt());
    assert_eq!(denoising_score(&[0.0; 6], 3), 0.0);
}

#[test]
fn hardness_is_the_log_of_the_mean_error_from_the_least_noise_to_the_most() {
    // Two labels. The steps rise from the first round to the third to the second.
    let made = [1.0, 3.0, 40.0, 60.0, 5.0, 7.0, 0.0, 0.0, 9.0, 9.0, 2.0, 4.0];
    let logs = |means: &[f64]| means.iter().map(|mean| mean.ln()).collect::<Vec<_>>();
    let hardness = |levels| config().hardness(&made, 2, levels);
    let nothing = f64::MIN_POSITIVE;
    let each = [[2.0, nothing], [6.0, 3.0], [50.0, 9.0]];
    assert_eq!(hardness(3), each.map(|means| logs(&means)));
    assert_eq!(hardness(2), [logs(&[2.0, nothing]), logs(&[28.0, 6.0])]);
    assert_eq!(hardness(1), [logs(&[116.0 / 6.0, 4.0])]);
}

#[test]
fn others_are_asked_in_turn() {
    let image = uniform([2, 1, 4, 4], 5);
    let run = |others| {
        let config = DenoisingConfig { others, ..config() };
        errors(&Rough, &config, &image, &[2, 0], &[7, 8], 3)
    };
    let (all, one) = (run(None), run(Some(1)));
    for sample in 0..2 {
        for round in 0..3 {
            let (all, one) = (
                &all[sample * 12 + round * 4..],
                &one[sample * 6 + round * 2..],
            );
            assert_eq!(one[0], all[0]);
            // Three others, in this image's order: one after another.
            assert_eq!(one[1], all[1 + round]);
            assert!(all[1] != all[2] && all[2] != all[3] && all[3] != all[1]);
        }
    }
}

#[test]
fn a_sample_is_denoised_alike_in_any_batch() {
    let (config, image) = (config(), uniform([3, 1, 4, 4], 5));
    let together = errors(&Rough, &config, &image, &[1, 2, 3], &[7, 8, 9], 3);
    let one = image.clone().narrow(0, 1, 1);
    let alone = errors(&Rough, &config, &one, &[2], &[8], 3);
    assert_eq!(together[12..24], alone);
    assert_ne!(alone, errors(&Rough, &config, &one, &[2], &[8], 4));
    // Rounds at one step have noise of their own.
    let still = DenoisingConfig { to: 50, ..config };
    let made = errors(&Rough, &still, &one, &[2], &[8], 3);
    assert_ne!(made[0], made[4]);
}

#[test]
fn rounds_do_not_depend_on_where_a_run_is_cut() {
    let image = uniform([2, 1, 4, 4], 5);
    let config = DenoisingConfig {
        others: Some(2),
        ..config()
    };
    let part = |config: &DenoisingConfig, rounds| {
        let of = (&[2, 0][..], &[7, 8][..]);
        let made = config.errors(rounds, &Rough, &schedule(), &image, of, 3);
        let made = made.unwrap();
        assert_eq!(made.cost.unet_rows as usize, host(&made.errors).len());
        host(&made.errors)
    };
    let (all, first, rest) = (
        part(&config, 0..3),
        part(&config, 0..1),
        part(&config, 1..3),
    );
    for sample in 0..2 {
        let all = &all[sample * 9..][..9];
        assert_eq!(all[..3], first[sample * 3..][..3]);
        assert_eq!(all[3..], rest[sample * 6..][..6]);
    }
    let longer = DenoisingConfig {
        rounds: 7,
        ..config
    };
    assert_eq!(part(&longer, 0..3), all);
}

#[test]
fn what_cannot_be_run_is_refused_by_name() {
    let fault = |change: &dyn Fn(&mut DenoisingConfig)| {
        let mut config = config();
        change(&mut config);
        let refused = config.check(&Rough, &schedule()).unwrap_err();
        refused.to_string()
    };
    assert!(fault(&|it| it.to = 1000).contains("`from, to` = 50, 1000"));
    assert!(fault(&|it| it.to = 20).contains("`from, to` = 50, 20"));
    assert!(fault(&|it| it.rounds = 0).contains("`rounds` = 0"));
    assert!(fault(&|it| it.others = Some(4)).contains("1 to 3 are others"));
    assert!(fault(&|it| it.others = Some(0)).contains("`others` = 0"));
    let image = uniform([2, 1, 4, 4], 5);
    let run = |rounds, predicted: &[usize]| {
        let of = (predicted, &[7, 8][..]);
        let made = config().errors(rounds, &Rough, &schedule(), &image, of, 0);
        made.unwrap_err()
    };
    assert!(matches!(run(0..3, &[1]), Error::Shape { .. }));
    assert!(matches!(run(0..3, &[1, 4]), Error::Label { label: 4, .. }));
    assert!(run(1..4, &[1, 2]).to_string().contains("`rounds` = 1..4"));
    assert!(run(1..1, &[1, 2]).to_string().contains("`rounds` = 1..1"));
}
