//! Adaptive early stop: any set of metrics, each sample its own stop, and batches that are refilled.

mod common;

use burn::tensor::Tensor;
use common::{
    host,
    networks::{Counting, SmallClassifier},
    uniform,
};
use diffguard_guidance::{
    EarlyStopConfig, InversionConfig, Inverted, Look, ScheduleConfig, SimilarityName, Solver,
    StopMetric, Trajectory, View, early_stop::psnr, invert, invert_with,
};

fn trajectory() -> Trajectory {
    let schedule = ScheduleConfig::default().init().unwrap();
    Trajectory::new(&schedule, &"ddim20".parse().unwrap()).unwrap()
}

/// Images of different contrast, which lose their likeness at different steps.
fn images() -> Tensor<4> {
    let contrast =
        |i: usize| uniform([1, 1, 12, 12], 40 + i as u64) * (0.15 + 0.12 * (3 * i % 7) as f64);
    Tensor::cat((0..7).map(contrast).collect(), 0)
}

fn pick(batch: &Tensor<4>, order: &[usize]) -> Tensor<4> {
    let rows = order.iter().map(|i| batch.clone().narrow(0, *i, 1));
    Tensor::cat(rows.collect(), 0)
}

fn similarity(name: &str) -> SimilarityName {
    name.parse().unwrap()
}

fn metric(name: &str) -> StopMetric {
    StopMetric::Similarity(similarity(name))
}

struct Run {
    inverted: Inverted,
    /// Rows of each call of the network.
    calls: Vec<usize>,
    /// Values of the metric after each step, by sample.
    values: Vec<Vec<f64>>,
}

fn run(config: &InversionConfig, order: &[usize], watched: Option<StopMetric>) -> Run {
    let network = Counting::new(None);
    let classifier = SmallClassifier::random(12);
    let image = pick(&images(), order);
    let look = |image: Tensor<4>| View::new(image, Some(&classifier));
    let mut values = vec![Vec::new(); order.len()];
    let inverted = invert_with(
        &network,
        &trajectory(),
        config,
        image.clone(),
        &Look::new(look),
        &mut |step| {
            let Some(metric) = watched else { return };
            let input = step.rows.select(&image);
            let now = match metric {
                StopMetric::Psnr => psnr(input, step.x.clone()),
                StopMetric::Similarity(name) => name
                    .similarity()
                    .score(&look(input), &look(step.x.clone()))
                    .unwrap(),
            };
            for (position, value) in step.rows.positions().iter().zip(host(&now)) {
                assert_eq!(
                    step.indices[step
                        .rows
                        .positions()
                        .iter()
                        .position(|p| p == position)
                        .unwrap()],
                    values[*position].len()
                );
                values[*position].push(value);
            }
        },
    )
    .unwrap();
    Run {
        inverted,
        calls: network.rows.into_inner().unwrap(),
        values,
    }
}

fn every() -> Vec<usize> {
    (0..7).collect()
}

fn stopping(thresholds: &[(StopMetric, f64)]) -> InversionConfig {
    InversionConfig {
        reserve: 4,
        early_stop: Some(EarlyStopConfig::new(thresholds.iter().copied())),
        ..InversionConfig::default()
    }
}

/// The middle of what the samples show at the seventh step: some stop by then, others later.
fn threshold(free: &InversionConfig, metric: StopMetric) -> f64 {
    let values = run(free, &every(), Some(metric)).values;
    let mut seventh: Vec<f64> = values.iter().map(|v| v[6]).collect();
    seventh.sort_by(f64::total_cmp);
    (seventh[2] + seventh[3]) / 2.0
}

/// The first step at which the value lies below, or the last one that is made.
fn expected(values: &[f64], threshold: f64) -> usize {
    values.iter().position(|v| *v < threshold).unwrap_or(15)
}

#[test]
fn each_sample_stops_where_any_metric_falls_below_its_threshold() {
    let free = InversionConfig {
        reserve: 4,
        ..InversionConfig::default()
    };
    let mut first_of_all = vec![15; 7];
    let mut thresholds = Vec::new();
    for metric in [StopMetric::Psnr, metric("ssim"), metric("features-cosine")] {
        let values = run(&free, &every(), Some(metric)).values;
        let threshold = threshold(&free, metric);
        let alone = run(&stopping(&[(metric, threshold)]), &every(), None).inverted;
        let want: Vec<usize> = values.iter().map(|v| expected(v, threshold)).collect();
        assert_eq!(alone.stops, want, "{metric}");
        assert!(
            want.iter().any(|stop| *stop != want[0]),
            "{metric}: {want:?}"
        );
        for (first, stop) in first_of_all.iter_mut().zip(&want) {
            *first = (*first).min(*stop);
        }
        thresholds.push((metric, threshold));
    }
    let all = run(&stopping(&thresholds), &every(), None).inverted;
    assert_eq!(all.stops, first_of_all);
}

#[test]
fn a_sample_does_not_depend_on_its_batch_nor_on_refilling() {
    for solver in [Solver::Ddim, Solver::DpmSolverPlusPlus2M] {
        for clip_denoised in [false, true] {
            let mut config = InversionConfig {
                solver,
                clip_denoised,
                reserve: 4,
                ..InversionConfig::default()
            };
            let thresholds = [StopMetric::Psnr, metric("ssim")]
                .map(|metric| (metric, threshold(&config, metric)));
            config.early_stop = Some(EarlyStopConfig::new(thresholds));
            let whole = run(&config, &every(), None);
            let steps: usize = whole.inverted.stops.iter().map(|stop| stop + 1).sum();
            assert!(
                whole
                    .inverted
                    .stops
                    .iter()
                    .any(|stop| *stop != whole.inverted.stops[0])
            );
            assert_eq!(whole.calls.iter().sum::<usize>(), steps);
            for order in [vec![3, 6, 0, 5, 1, 4, 2], vec![4], vec![2, 0]] {
                for rows in [None, Some(1), Some(2), Some(3)] {
                    config.rows = rows;
                    let other = run(&config, &order, None);
                    let stops: Vec<usize> =
                        order.iter().map(|i| whole.inverted.stops[*i]).collect();
                    assert_eq!(other.inverted.stops, stops);
                    common::close(
                        "latent",
                        &host(&other.inverted.latent),
                        &host(&pick(&whole.inverted.latent, &order)),
                        1e-5,
                        1e-5,
                    );
                    // No row more than the samples' own steps, and full calls as long as there is work for them.
                    let needed: usize = stops.iter().map(|stop| stop + 1).sum();
                    assert_eq!(other.calls.iter().sum::<usize>(), needed);
                    assert_eq!(other.inverted.cost.unet_rows as usize, needed);
                    if let Some(rows) = rows {
                        let rows = rows.min(order.len());
                        let full = other.calls.iter().take_while(|made| **made == rows).count();
                        assert!(other.calls[full..].is_sorted_by(|a, b| a >= b));
                        let longest = stops.iter().max().unwrap() + 1;
                        assert!(other.calls.len() <= needed / rows + longest);
                    }
                }
            }
        }
    }
}

#[test]
fn the_unit_without_room_for_it_is_run_in_refilled_batches() {
    let mut config = InversionConfig {
        reserve: 4,
        ..InversionConfig::default()
    };
    let threshold = threshold(&config, StopMetric::Psnr);
    config.early_stop = Some(EarlyStopConfig::psnr(threshold));
    config.rows = Some(3);
    let refilled = run(&config, &every(), None);
    // Three at a time, in lockstep, would cost the longest of each three for all of them.
    let stops = &refilled.inverted.stops;
    let lockstep: usize = stops
        .chunks(3)
        .map(|three| three.iter().max().unwrap() + 1)
        .sum();
    assert!(
        refilled.calls.len() < lockstep,
        "{} {lockstep}",
        refilled.calls.len()
    );
}

/// The input once, and each sample after each of its moves but the last one that is allowed, after which nobody looks.
#[test]
fn a_stop_by_a_network_costs_what_it_looks_at() {
    let free = InversionConfig {
        reserve: 4,
        ..InversionConfig::default()
    };
    let metric = metric("features-cosine");
    let thresholds = [(metric, threshold(&free, metric))];
    for rows in [None, Some(2)] {
        let config = InversionConfig {
            rows,
            ..stopping(&thresholds)
        };
        let classifier = SmallClassifier::random(12);
        let look = Look::new(|image: Tensor<4>| View::new(image, Some(&classifier)));
        let network = Counting::new(None);
        let inverted = invert_with(
            &network,
            &trajectory(),
            &config,
            images(),
            &look,
            &mut |_| (),
        )
        .unwrap();
        let cost = inverted.cost;
        let counted: usize = classifier.rows.lock().unwrap().iter().sum();
        assert_eq!(cost.classifier_rows as usize, counted);
        assert_eq!(cost.unet_rows as usize, network.total());
        assert_eq!(network.recorded(), 0);
        let moves: usize = inverted.stops.iter().map(|stop| stop + 1).sum();
        assert_eq!(network.total(), moves);
        let last = inverted.stops.iter().filter(|stop| **stop == 15).count();
        let looked = moves - last;
        assert_eq!(counted, 7 + looked);
    }
}

#[test]
fn what_cannot_stop_is_refused() {
    let network = Counting::new(None);
    let attempt = |config: &InversionConfig| {
        invert(&network, &trajectory(), config, images(), &mut |_| ())
            .unwrap_err()
            .to_string()
    };
    let message = attempt(&stopping(&[]));
    assert!(message.contains("names no metric"), "{message}");
    let message = attempt(&stopping(&[(StopMetric::Psnr, f64::NAN)]));
    assert!(message.contains("finite"), "{message}");
    let message = attempt(&stopping(&[(metric("features-cosine"), 0.5)]));
    assert!(message.contains("classifier"), "{message}");
    let message = attempt(&InversionConfig {
        rows: Some(0),
        ..InversionConfig::default()
    });
    assert!(message.contains("rows"), "{message}");
}

#[test]
fn thresholds_as_an_experiment_writes_them() {
    let read = |text: &str| serde_json::from_str::<EarlyStopConfig>(text);
    let config = read(r#"{"psnr": 6.39, "ssim": 0.4}"#).unwrap();
    assert_eq!(
        config,
        EarlyStopConfig::new([(StopMetric::Psnr, 6.39), (metric("ssim"), 0.4)])
    );
    assert!(!config.needs_classifier());
    assert!(read(r#"{"features-l2": -3.0}"#).unwrap().needs_classifier());
    let message = read(r#"{"sssim": 0.4}"#).unwrap_err().to_string();
    assert!(message.contains("did you mean `ssim`"), "{message}");
    // As it was written before there were others.
    assert_eq!(
        serde_json::to_string(&EarlyStopConfig::psnr(6.39)).unwrap(),
        r#"{"psnr":6.39}"#
    );
}
