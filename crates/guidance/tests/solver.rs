//! DDIM and DPM-Solver++ 2M on Gaussian data, where the noise and the whole path are known in closed form.

mod common;

use std::sync::atomic::{AtomicUsize, Ordering};

use burn::tensor::{Int, Tensor};
use common::{host, uniform};
use diffguard_guidance::{
    InversionConfig, Schedule, Solver, Start, SynthesisConfig, Trajectory, ddim::recompose,
    guidance::Unconditional, invert, synthesise,
};
use diffguard_models::NoisePredictor;

const MEAN: f64 = 0.3;
const SPREAD: f64 = 0.5;

/// The exact noise prediction for data that are `N(MEAN, SPREAD^2)` in every pixel.
struct Gaussian {
    schedule: Schedule,
    rows: AtomicUsize,
}

impl Gaussian {
    /// Its schedule begins well above no noise: near it, half the log signal-to-noise ratio has no bounded slope, and
    /// no number of steps below 1000 shows an order.
    fn new() -> Self {
        let betas = std::iter::once(0.1).chain([0.002; 999]).collect();
        Self {
            schedule: Schedule::from_betas(betas).unwrap(),
            rows: AtomicUsize::new(0),
        }
    }

    fn abar(&self, t: usize) -> f64 {
        self.schedule.alphas_cumprod()[t]
    }

    /// Standard deviation of the noisy data.
    fn deviation(abar: f64) -> f64 {
        (abar * SPREAD * SPREAD + 1.0 - abar).sqrt()
    }

    /// Where the probability flow takes `x` from step `from` to step `to`.
    fn flow(&self, x: Tensor<4>, from: usize, to: usize) -> Tensor<4> {
        let (from, to) = (self.abar(from), self.abar(to));
        (x - MEAN * from.sqrt()) * (Self::deviation(to) / Self::deviation(from)) + MEAN * to.sqrt()
    }
}

impl NoisePredictor for Gaussian {
    fn eps(&self, x_t: Tensor<4>, t: Tensor<1>, _: Option<Tensor<1, Int>>) -> Tensor<4> {
        self.rows.fetch_add(x_t.dims()[0], Ordering::Relaxed);
        let steps = host(&t);
        let rows = steps.into_iter().enumerate().map(|(row, t)| {
            let abar = self.abar(t as usize);
            let x = x_t.clone().narrow(0, row, 1);
            let variance = abar * SPREAD * SPREAD + 1.0 - abar;
            (x - MEAN * abar.sqrt()) * ((1.0 - abar).sqrt() / variance)
        });
        Tensor::cat(rows.collect(), 0)
    }

    fn num_classes(&self) -> usize {
        0
    }

    fn null_label(&self) -> Option<usize> {
        None
    }
}

fn largest(x: Tensor<4>) -> f64 {
    host(&x).into_iter().fold(0.0, |most, v| most.max(v.abs()))
}

/// Largest error of an inversion from step 0 to step 500, and of the synthesis back, in `steps` moves.
fn errors(solver: Solver, spacing: &str, steps: usize) -> (f64, f64) {
    let network = Gaussian::new();
    let trajectory = Trajectory::new(&network.schedule, &spacing.parse().unwrap()).unwrap();
    let image = uniform([3, 1, 4, 4], 2);
    let config = InversionConfig {
        spacing: spacing.parse().unwrap(),
        fraction: 0.5,
        solver,
        ..InversionConfig::default()
    };
    let inverted = invert(&network, &trajectory, &config, image.clone(), &mut |_| ()).unwrap();
    let noisy = network.flow(image.clone(), 0, 500);
    let up = largest(inverted.latent - noisy.clone());

    let config = SynthesisConfig {
        solver,
        ..SynthesisConfig::default()
    };
    let mut down = f64::NAN;
    // The last move, to no noise at all, has no length in the log signal-to-noise ratio.
    let mut observe = |step: &diffguard_guidance::Step<'_>| {
        if step.indices[0] == 1 {
            down = largest(step.x.clone() - image.clone());
        }
    };
    let start = Start::at(noisy, steps);
    synthesise(
        &network,
        &trajectory,
        &config,
        &Unconditional,
        start,
        &mut observe,
    )
    .unwrap();
    // One evaluation a move, whatever the order.
    assert_eq!(
        network.rows.load(Ordering::Relaxed),
        3 * steps + 3 * (steps + 1)
    );
    (up, down)
}

#[test]
fn order_of_convergence() {
    for (solver, expected) in [(Solver::Ddim, 1.0), (Solver::DpmSolverPlusPlus2M, 2.0)] {
        let runs = [("ddim100", 50), ("ddim200", 100), ("ddim500", 250)];
        let errors = runs.map(|(spacing, steps)| errors(solver, spacing, steps));
        println!("{solver:?}: {errors:?}");
        for i in [1, 2] {
            let finer = (runs[i].1 as f64 / runs[i - 1].1 as f64).ln();
            for (coarse, fine) in [
                (errors[i - 1].0, errors[i].0),
                (errors[i - 1].1, errors[i].1),
            ] {
                let order = (coarse / fine).ln() / finer;
                assert!((order - expected).abs() < 0.3, "{solver:?}: order {order}");
            }
        }
    }
    let (first, second) = (
        errors(Solver::Ddim, "ddim100", 50),
        errors(Solver::DpmSolverPlusPlus2M, "ddim40", 20),
    );
    assert!(
        second.0 < first.0 && second.1 < first.1,
        "{second:?} {first:?}"
    );
}

#[test]
fn samples_that_join_or_leave_keep_their_own_history() {
    let network = Gaussian::new();
    let trajectory = Trajectory::new(&network.schedule, &"ddim20".parse().unwrap()).unwrap();
    let image = uniform([5, 1, 4, 4], 3);
    let starts = [4, 9, 2, 9, 0];
    let run = |which: &[usize], rows: Option<usize>| {
        let config = SynthesisConfig {
            solver: Solver::DpmSolverPlusPlus2M,
            rows,
            ..SynthesisConfig::default()
        };
        let start = Start {
            latent: Tensor::cat(
                which
                    .iter()
                    .map(|i| image.clone().narrow(0, *i, 1))
                    .collect(),
                0,
            ),
            indices: which.iter().map(|i| starts[*i]).collect(),
            samples: None,
            draw: 0,
            first: None,
        };
        let made = synthesise(
            &network,
            &trajectory,
            &config,
            &Unconditional,
            start,
            &mut |_| (),
        );
        made.unwrap().image
    };
    let whole = run(&[0, 1, 2, 3, 4], None);
    for rows in [1, 2, 3] {
        common::close(
            "rows",
            &host(&run(&[0, 1, 2, 3, 4], Some(rows))),
            &host(&whole),
            1e-5,
            1e-5,
        );
    }
    for sample in 0..5 {
        let among = host(&whole.clone().narrow(0, sample, 1));
        common::close("alone", &host(&run(&[sample], None)), &among, 1e-5, 1e-5);
    }
}

#[test]
fn latent_diffusions_inversion_asks_for_the_level_where_a_move_starts() {
    let schedule = Gaussian::new().schedule;
    let trajectory = Trajectory::new(&schedule, &"uniform5".parse().unwrap()).unwrap();
    let steps = |solver| -> Vec<f64> {
        trajectory
            .inversion_of(solver)
            .iter()
            .map(|step| step.t)
            .collect()
    };
    assert_eq!(steps(Solver::Ddim), [1.0, 201.0, 401.0, 601.0, 801.0]);
    assert_eq!(
        steps(Solver::DpmSolverPlusPlus2M),
        [0.0, 1.0, 201.0, 401.0, 601.0]
    );
    for (move_up, abar) in trajectory
        .inversion_of(Solver::DpmSolverPlusPlus2M)
        .iter()
        .map(|step| (step, schedule.alphas_cumprod()[step.t as usize]))
    {
        assert_eq!(move_up.from, abar);
    }
}

#[test]
fn solvers_by_name() {
    let read = |text: &str| serde_json::from_str::<InversionConfig>(text);
    let config = read(r#"{"solver": "dpm-solver++2m"}"#).unwrap();
    assert_eq!(config.solver, Solver::DpmSolverPlusPlus2M);
    assert!(read(r#"{"solver": "dpm"}"#).is_err());
    // Stored stages are found again by what their configuration is written as.
    assert_eq!(
        serde_json::to_string(&InversionConfig::default()).unwrap(),
        r#"{"spacing":"ddim25","fraction":1.0,"reserve":0,"clip_denoised":false,"early_stop":null}"#
    );
    assert_eq!(
        serde_json::to_string(&SynthesisConfig::default()).unwrap(),
        r#"{"clip_denoised":false,"eta":0.0,"lead":null,"seed":0}"#
    );
    let noisy = SynthesisConfig {
        eta: 0.5,
        solver: Solver::DpmSolverPlusPlus2M,
        ..SynthesisConfig::default()
    };
    let network = Gaussian::new();
    let trajectory = Trajectory::new(&network.schedule, &"ddim20".parse().unwrap()).unwrap();
    let start = Start::at(uniform([1, 1, 4, 4], 3), 1);
    let refused = synthesise(
        &network,
        &trajectory,
        &noisy,
        &Unconditional,
        start,
        &mut |_| (),
    );
    assert!(refused.unwrap_err().to_string().contains("eta"));
}

/// The last move of finite length is DDIM's where there are few, and extrapolated where there are more.
#[test]
fn the_last_of_few_moves_is_of_first_order() {
    let network = Gaussian::new();
    for (spacing, starts, last) in [("ddim20", [14, 15], 1), ("uniform20", [13, 14], 0)] {
        let trajectory = Trajectory::new(&network.schedule, &spacing.parse().unwrap()).unwrap();
        let config = SynthesisConfig {
            solver: Solver::DpmSolverPlusPlus2M,
            ..SynthesisConfig::default()
        };
        // A row of 14 moves and one of 15, in one batch.
        let start = Start {
            indices: starts.to_vec(),
            ..Start::at(uniform([2, 1, 4, 4], 3), starts[0])
        };
        let mut plain = Vec::new();
        let mut observe = |step: &diffguard_guidance::Step<'_>| {
            if step.indices[0] == last {
                let to = trajectory.synthesis()[last].to;
                let ddim = recompose(step.x0hat.clone(), step.eps.clone(), to, 0.0);
                let apart = step.x.clone() - ddim;
                plain = (0..2)
                    .map(|row| (step.rows.positions()[row], apart.clone().narrow(0, row, 1)))
                    .map(|(sample, apart)| (sample, largest(apart) < 1e-6))
                    .collect();
            }
        };
        synthesise(
            &network,
            &trajectory,
            &config,
            &Unconditional,
            start,
            &mut observe,
        )
        .unwrap();
        plain.sort_unstable();
        assert_eq!(plain, [(0, true), (1, false)], "{spacing}");
    }
}
