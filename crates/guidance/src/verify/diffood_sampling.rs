//! Golden cases of kind `diffood_sampling`.

use burn::tensor::Tensor;
use diffguard_models::NoisePredictor;
use diffguard_oracle::{Case, Error, Kind, Produced, Result};
use serde_json::Value;

use super::{
    networks::ddim_unet,
    recording::RecordedNetwork,
    tensors::{entries, number, schedule, stacked, tensor, text, trajectory},
};
use crate::{
    Guidance, GuidanceContext, InversionConfig, Schedule, ScheduleConfig, Start, Step,
    SynthesisConfig,
    guidance::{ClassifierFree, Unconditional},
    invert, synthesise,
};

/// The kind `diffood_sampling`: DiffNB's conventions of steps and levels.
pub(super) const KIND: Kind = Kind {
    name: "diffood_sampling",
    run,
    not_produced: &[],
};

fn run(case: &Case) -> Result<Vec<Produced>> {
    let network = ddim_unet(case)?;
    let settings = &case.config["schedule"];
    let schedule = schedule(&ScheduleConfig::Linear {
        steps: number(case, settings, "diffusion_step")? as usize,
        start: number(case, settings, "beta_start")?,
        end: number(case, settings, "beta_end")?,
    })?;
    entries(case, "runs")?
        .iter()
        .map(|entry| one(case, entry, network.as_ref(), &schedule))
        .collect()
}

fn one(
    case: &Case,
    entry: &Value,
    network: &dyn NoisePredictor,
    schedule: &Schedule,
) -> Result<Produced> {
    let (t_start, t_end) = (
        number(case, entry, "t_start")?,
        number(case, entry, "t_end")?,
    );
    let up = t_start < t_end;
    let highest = t_start.max(t_end);
    let trajectory = trajectory(
        schedule,
        &format!("diffnb{}@{highest}", case.whole("sample_step")?),
    )?;
    let image: Tensor<4> = tensor(case, "in.x0")?;
    let [batch, ..] = image.dims();
    let start = match text(case, entry, "start")? {
        "x0" => image,
        _ => {
            let noise = tensor(case, "in.noise")?;
            // The network's step t goes with the level of t + 1.
            let level = vec![t_start as usize + 1; batch];
            schedule
                .diffuse(image, noise, &level)
                .map_err(Error::method)?
        }
    };
    let context = GuidanceContext::new(network, None, start.clone(), case.i64("in.y")?.to_vec())
        .map_err(Error::method)?;
    let guidance: Box<dyn Guidance> = match entry["label"] == "null" {
        true => Box::new(Unconditional),
        false => {
            let scale = number(case, entry, "beta")? + 1.0;
            let guidance = ClassifierFree::with_mask(scale, &context, None);
            Box::new(guidance.map_err(Error::method)?)
        }
    };
    let recorded = RecordedNetwork::new(network);
    let mut x = vec![start.clone()];
    let mut observe = |step: &Step<'_>| x.push(step.x.clone());
    if up {
        let config = InversionConfig::default();
        invert(&recorded, &trajectory, &config, start, &mut observe).map_err(Error::method)?;
    } else {
        let config = SynthesisConfig::default();
        let start = Start::at(start, trajectory.len() - 1);
        synthesise(
            &recorded,
            &trajectory,
            &config,
            guidance.as_ref(),
            start,
            &mut observe,
        )
        .map_err(Error::method)?;
    }
    let steps: Vec<f64> = recorded.into_calls().iter().map(|call| call.t).collect();
    let expected: Vec<f64> = entries_of(entry, "steps");
    if steps != expected {
        return Err(case.fault(format!("the network was given {steps:?}, not {expected:?}")));
    }
    Ok(stacked(format!("out.{}.x", text(case, entry, "name")?), &x))
}

fn entries_of(entry: &Value, key: &str) -> Vec<f64> {
    let list = entry[key].as_array().into_iter().flatten();
    list.filter_map(Value::as_f64).collect()
}
