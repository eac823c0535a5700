//! The loop that all trainings share: steps, progress, checkpoints, resuming, the clean end.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use burn::module::{Module, ModuleVisitor, Param};
use burn::optim::{AdamWConfig, GradientsParams, ModuleOptimizer};
use burn::tensor::Tensor;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::{Deserialize, Serialize};

use crate::config::Optimisation;
use crate::curve::Point;
use crate::ema::Ema;
use crate::{Context, Error};

/// Steps between two points of the loss curve.
const CURVE_STEPS: usize = 50;
/// Seconds between two lines where there is no terminal.
const PLAIN_SECONDS: u64 = 60;

/// What a checkpoint holds beside the tensors.
#[derive(Serialize, Deserialize)]
struct State {
    step: usize,
    seconds: f64,
    config: String,
    curve: Vec<Point>,
    /// Sum and number of the losses since the last point of the curve.
    #[serde(default)]
    since: (f64, usize),
}

/// A network in training.
pub(crate) struct Trained<M> {
    /// The weights that are kept: the moving average where there is one.
    pub module: M,
    pub steps: usize,
    pub seconds: f64,
    pub curve: Vec<Point>,
    /// Whether it was stopped before the last step.
    pub stopped: bool,
}

/// Runs (or goes on with) a training. `fresh` makes the initial network; `loss` is the mean loss of a step.
pub(crate) fn run<M: Module + Clone>(
    name: &str,
    config_text: &str,
    optimisation: &Optimisation,
    ema_decay: Option<f64>,
    context: &Context,
    fresh: impl FnOnce() -> M,
    mut loss: impl FnMut(&M, usize) -> Result<Tensor<1>, Error>,
) -> Result<Trained<M>, Error> {
    let total = optimisation.steps();
    fs::create_dir_all(context.out).map_err(|error| directory(context.out, &error))?;
    let mut module = fresh();
    let mut optimiser = AdamWConfig::new()
        .with_weight_decay(optimisation.weight_decay as f32)
        .init();
    let mut state = State {
        step: 0,
        seconds: 0.0,
        config: config_text.to_owned(),
        curve: Vec::new(),
        since: (0.0, 0),
    };
    let mut averaged = None;
    if let Some(path) = newest(context.out)? {
        (module, optimiser, averaged, state) = restore(&path, module, optimiser, config_text)?;
    }
    let mut ema = match (ema_decay, averaged) {
        (Some(decay), Some(averaged)) => Some(Ema::new(&averaged, decay)),
        (Some(decay), None) => Some(Ema::new(&module, decay)),
        (None, _) => None,
    };

    let bar = progress_bar(name, total, state.step, context.progress);
    let begun = Instant::now();
    let earlier = state.seconds;
    let (mut saved, mut spoken) = (Instant::now(), Instant::now());
    let mut shown = f64::NAN;
    let first = state.step;
    let mut stopped = false;
    while state.step < total {
        let rate = optimisation.learning_rate(state.step);
        let value = loss(&module, state.step)?;
        let gradients = GradientsParams::from_grads(value.backward(), &module);
        let value: f32 = value.into_scalar();
        if !value.is_finite() {
            return Err(Error::Diverged {
                step: state.step,
                what: format!("the loss is {value}"),
            });
        }
        module = optimiser.step(rate, module, gradients);
        if let Some(ema) = &mut ema {
            ema.update(&module);
        }
        state.step += 1;
        state.seconds = earlier + begun.elapsed().as_secs_f64();
        state.since = (state.since.0 + f64::from(value), state.since.1 + 1);
        if state.step.is_multiple_of(CURVE_STEPS) || state.step == total {
            shown = state.since.0 / state.since.1 as f64;
            state.curve.push(Point {
                step: state.step,
                images: state.step * optimisation.batch,
                loss: shown,
                learning_rate: rate,
                seconds: state.seconds,
            });
            state.since = (0.0, 0);
        }
        let speed =
            ((state.step - first) * optimisation.batch) as f64 / begun.elapsed().as_secs_f64();
        bar.set_position(state.step as u64);
        bar.set_message(format!(
            "{speed:.0} images/s, loss {:.4}",
            if shown.is_nan() {
                f64::from(value)
            } else {
                shown
            }
        ));
        if !context.progress && spoken.elapsed() >= Duration::from_secs(PLAIN_SECONDS) {
            let left = ((total - state.step) * optimisation.batch) as f64 / speed / 60.0;
            eprintln!(
                "{name}: step {}/{total}, {speed:.0} images/s, loss {shown:.4}, {left:.0} min left",
                state.step
            );
            spoken = Instant::now();
        }
        stopped = context.stop.load(Ordering::Relaxed) && state.step < total;
        let due = saved.elapsed().as_secs_f64() >= 60.0 * optimisation.checkpoint_minutes;
        if due || stopped || state.step == total {
            let averaged = ema.as_ref().map(|ema| ema.apply(&module));
            // It would take the place of a good one.
            if !is_finite(&module) {
                return Err(Error::Diverged {
                    step: state.step,
                    what: "a weight is no number".to_owned(),
                });
            }
            save(context.out, &module, &optimiser, averaged.as_ref(), &state)?;
            saved = Instant::now();
        }
        if stopped {
            break;
        }
    }
    bar.finish_and_clear();
    let kept = match &ema {
        Some(ema) => ema.apply(&module),
        None => module.valid(),
    };
    Ok(Trained {
        module: kept,
        steps: state.step,
        seconds: state.seconds,
        curve: state.curve,
        stopped,
    })
}

/// Whether every weight is a number.
fn is_finite<M: Module>(module: &M) -> bool {
    struct Finite(bool);
    impl ModuleVisitor for Finite {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            let weight = param.val().detach().without_autodiff();
            self.0 &= weight.abs().sum().into_scalar::<f32>().is_finite();
        }
    }
    let mut finite = Finite(true);
    module.visit(&mut finite);
    finite.0
}

fn directory(path: &Path, error: &dyn std::fmt::Display) -> Error {
    Error::Directory {
        path: path.to_owned(),
        what: error.to_string(),
    }
}

fn progress_bar(name: &str, total: usize, at: usize, visible: bool) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(
        Some(total as u64),
        if visible {
            ProgressDrawTarget::stderr_with_hz(4)
        } else {
            ProgressDrawTarget::hidden()
        },
    );
    if let Ok(style) =
        ProgressStyle::with_template("{prefix} {bar:30} {pos}/{len} {msg}, {eta} left")
    {
        bar.set_style(style);
    }
    bar.set_prefix(name.to_owned());
    bar.set_position(at as u64);
    bar.reset_eta();
    bar
}

/// The checkpoint directories of a run by step.
fn checkpoints(out: &Path) -> Result<Vec<(usize, PathBuf)>, Error> {
    let entries = fs::read_dir(out).map_err(|error| directory(out, &error))?;
    let mut found: Vec<(usize, PathBuf)> = entries
        .flatten()
        .filter_map(|entry| {
            let step = entry
                .file_name()
                .to_str()?
                .strip_prefix("step-")?
                .parse()
                .ok()?;
            Some((step, entry.path()))
        })
        .collect();
    found.sort();
    Ok(found)
}

fn newest(out: &Path) -> Result<Option<PathBuf>, Error> {
    Ok(checkpoints(out)?.pop().map(|(_, path)| path))
}

/// Writes a checkpoint beside the older one, moves it into place whole, then removes the older one.
fn save<M: Module + Clone>(
    out: &Path,
    module: &M,
    optimiser: &ModuleOptimizer,
    averaged: Option<&M>,
    state: &State,
) -> Result<(), Error> {
    let temporary = out.join("checkpoint.tmp");
    let target = out.join(format!("step-{}", state.step));
    let _ = fs::remove_dir_all(&temporary);
    fs::create_dir_all(&temporary).map_err(|error| directory(&temporary, &error))?;
    let fault = |error: &dyn std::fmt::Display| directory(&temporary, error);
    module
        .valid()
        .save_file(temporary.join("weights.bpk"))
        .map_err(|e| fault(&e))?;
    optimiser
        .save(temporary.join("optimiser.bpk"))
        .map_err(|e| fault(&e))?;
    if let Some(averaged) = averaged {
        averaged
            .clone()
            .save_file(temporary.join("average.bpk"))
            .map_err(|e| fault(&e))?;
    }
    let text = serde_json::to_vec(state).map_err(|e| fault(&e))?;
    fs::write(temporary.join("state.json"), text).map_err(|e| fault(&e))?;
    for file in fs::read_dir(&temporary).map_err(|e| fault(&e))?.flatten() {
        fs::File::open(file.path())
            .and_then(|f| f.sync_all())
            .map_err(|e| fault(&e))?;
    }
    let _ = fs::remove_dir_all(&target);
    fs::rename(&temporary, &target).map_err(|e| fault(&e))?;
    for (step, path) in checkpoints(out)? {
        if step != state.step {
            fs::remove_dir_all(&path).map_err(|e| directory(&path, &e))?;
        }
    }
    Ok(())
}

/// The network, its optimiser, the averaged network and the loop's state of a checkpoint.
type Restored<M> = (M, ModuleOptimizer, Option<M>, State);

fn restore<M: Module + Clone>(
    path: &Path,
    module: M,
    optimiser: ModuleOptimizer,
    config: &str,
) -> Result<Restored<M>, Error> {
    let fault = |error: &dyn std::fmt::Display| directory(path, error);
    let text = fs::read(path.join("state.json")).map_err(|e| fault(&e))?;
    let state: State = serde_json::from_slice(&text).map_err(|e| fault(&e))?;
    if state.config != config {
        return Err(Error::OtherRun {
            path: path.to_owned(),
        });
    }
    let average = path.join("average.bpk");
    let averaged = match average.exists() {
        true => Some(
            module
                .valid()
                .try_load_file(&average)
                .map_err(|e| fault(&e))?,
        ),
        false => None,
    };
    let module = module
        .try_load_file(path.join("weights.bpk"))
        .map_err(|e| fault(&e))?
        .train();
    let optimiser = optimiser
        .load(path.join("optimiser.bpk"))
        .map_err(|e| fault(&e))?;
    Ok((module, optimiser, averaged, state))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use burn::nn::{Initializer, Linear, LinearConfig};
    use burn::tensor::{Device, TensorData};

    use super::*;
    use crate::data::{Purpose, stream};
    use rand::Rng;

    const OPTIMISATION: Optimisation = Optimisation {
        seed: 3,
        batch: 4,
        images: 4 * 60,
        learning_rate: 1e-2,
        warmup_steps: 5,
        final_share: 0.1,
        weight_decay: 0.01,
        checkpoint_minutes: 1e9,
    };

    /// Trains y = x . w in `out`; asks for a stop after step `stop_at`. The weights and what is kept of them.
    fn train(out: &Path, config: &str, stop_at: Option<usize>) -> Result<Trained<Linear>, Error> {
        let stop = AtomicBool::new(false);
        let device = Device::flex();
        let nothing = diffguard_datasets::manifest::Manifest::default();
        let nowhere = diffguard_datasets::fetch::DataDirs::default();
        let context = Context {
            shelf: diffguard_datasets::benchmark::Shelf {
                assets: out,
                manifest: &nothing,
                dirs: &nowhere,
            },
            out,
            device: device.clone(),
            stop: &stop,
            progress: false,
        };
        let device = device.autodiff();
        // No random weights: the tests of a process share one random stream.
        let fresh = || {
            LinearConfig::new(3, 2)
                .with_initializer(Initializer::Constant { value: 0.3 })
                .init(&device)
        };
        run(
            "toy",
            config,
            &OPTIMISATION,
            Some(0.9),
            &context,
            fresh,
            |module: &Linear, step| {
                if Some(step + 1) == stop_at {
                    stop.store(true, Ordering::Relaxed);
                }
                let mut rng = stream(OPTIMISATION.seed, Purpose::Noise, step as u64);
                let x: Vec<f32> = (0..12).map(|_| rng.random_range(-1.0..1.0)).collect();
                let x = Tensor::<2>::from_data(TensorData::new(x, [4, 3]), &device);
                let y = x.clone().narrow(1, 0, 2) * 2.0;
                Ok((module.forward(x) - y).square().mean())
            },
        )
    }

    #[test]
    fn a_ruined_weight_takes_no_checkpoint_s_place() {
        let good = LinearConfig::new(3, 2).init(&Device::flex());
        assert!(is_finite(&good));
        let mut ruined = good;
        ruined.weight = ruined.weight.map(|weight| weight * f32::NAN);
        assert!(!is_finite(&ruined));
    }

    fn weights(trained: &Trained<Linear>) -> Vec<f32> {
        let weight = trained
            .module
            .weight
            .val()
            .into_data()
            .try_into_vec::<f32>();
        weight.expect("f32 weights")
    }

    #[test]
    fn a_stopped_training_goes_on_to_the_same_bits() {
        let whole = tempfile::tempdir().expect("a folder");
        let parts = tempfile::tempdir().expect("a folder");
        let straight = train(whole.path(), "c", None).expect("trains");
        for stop_at in [1, 17, 44] {
            let stopped = train(parts.path(), "c", Some(stop_at)).expect("stops");
            assert!(stopped.stopped);
            assert_eq!(stopped.steps, stop_at);
        }
        let resumed = train(parts.path(), "c", None).expect("goes on");
        assert!(!resumed.stopped);
        assert_eq!(weights(&straight), weights(&resumed));
        let losses = |trained: &Trained<Linear>| -> Vec<(usize, f64)> {
            trained
                .curve
                .iter()
                .map(|point| (point.step, point.loss))
                .collect()
        };
        assert_eq!(losses(&straight), losses(&resumed));
    }

    #[test]
    fn another_configuration_does_not_go_on_from_a_checkpoint() {
        let out = tempfile::tempdir().expect("a folder");
        train(out.path(), "c", Some(3)).expect("stops");
        let error = train(out.path(), "other", None)
            .err()
            .expect("refuses")
            .to_string();
        assert!(error.contains("another configuration"), "{error}");
    }

    #[test]
    fn a_damaged_checkpoint_is_named() {
        let out = tempfile::tempdir().expect("a folder");
        train(out.path(), "c", Some(3)).expect("stops");
        std::fs::write(out.path().join("step-3/weights.bpk"), b"not weights").expect("writes");
        let error = train(out.path(), "c", None)
            .err()
            .expect("refuses")
            .to_string();
        assert!(error.contains("step-3"), "{error}");
    }
}
