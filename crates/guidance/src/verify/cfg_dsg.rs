//! Golden cases of kind `cfg_dsg`.

use burn::tensor::Tensor;
use diffguard_models::NoisePredictor;
use diffguard_oracle::{Case, Error, Kind, Produced, Result};
use serde_json::Value;

use super::{
    networks::latent_unet,
    recording::RecordedNetwork,
    tensors::{entries, number, schedule, stacked, tensor, text, trajectory, values},
};
use crate::{
    Guidance, GuidanceContext, InversionConfig, Look, ScheduleConfig, Start, Step, SynthesisConfig,
    Trajectory, View,
    grad_cam::semantic_mask,
    guidance::{ClassifierFree, Unconditional},
    invert_guided,
    nearest::resize_nearest,
    synthesise,
};

/// The kind `cfg_dsg`: the latent model under classifier-free guidance, with the activation mask.
pub(super) const KIND: Kind = Kind {
    name: "cfg_dsg",
    run,
    not_produced: &[],
};

fn run(case: &Case) -> Result<Vec<Produced>> {
    let network = latent_unet(case)?;
    let settings = &case.config["schedule"];
    let schedule = schedule(&ScheduleConfig::ScaledLinear {
        steps: number(case, settings, "T")? as usize,
        start: number(case, settings, "linear_start")?,
        end: number(case, settings, "linear_end")?,
    })?;
    let trajectory = trajectory(&schedule, &format!("uniform{}", case.whole("steps")?))?;
    let cam: Tensor<4> = tensor::<3>(case, "in.cam")?.unsqueeze_dim(1);
    let mut produced = masks(case, &cam)?;
    let mut inverted = None;
    for entry in entries(case, "runs")? {
        let up = entry["direction"] == "invert";
        let start = match (up, &inverted) {
            (true, _) => tensor(case, "in.z0")?,
            (false, Some(latent)) => Tensor::clone(latent),
            (false, None) => return Err(case.fault("a synthesis before its inversion")),
        };
        let latent = one(
            case,
            entry,
            network.as_ref(),
            &trajectory,
            start,
            &cam,
            &mut produced,
        )?;
        if entry["name"] == "invert_null" {
            inverted = Some(latent);
        }
    }
    Ok(produced)
}

fn masks(case: &Case, cam: &Tensor<4>) -> Result<Vec<Produced>> {
    let mut produced = Vec::new();
    for cut in entries(case, "mask_cuts")? {
        let cut = cut.as_f64().unwrap_or(f64::NAN);
        let mask = semantic_mask(cam.clone(), cut).map_err(Error::method)?;
        let name = cut.to_string().replace('-', "neg").replace('.', "_");
        produced.push(Produced::new(format!("out.mask_cut_{name}"), values(&mask)));
    }
    let mask: Tensor<4> = tensor::<3>(case, "in.mask")?.unsqueeze_dim(1);
    let size: [usize; 2] = case.shape("out.mask_latent")?[1..]
        .try_into()
        .map_err(|_| case.fault("`out.mask_latent` must have three axes"))?;
    let small = resize_nearest(mask, size);
    produced.push(Produced::new("out.mask_latent", values(&small)));
    Ok(produced)
}

/// A run in either direction; what it ends at.
fn one(
    case: &Case,
    entry: &Value,
    network: &dyn NoisePredictor,
    trajectory: &Trajectory,
    start: Tensor<4>,
    cam: &Tensor<4>,
    produced: &mut Vec<Produced>,
) -> Result<Tensor<4>> {
    let name = text(case, entry, "name")?;
    let labelled = entry["label"] == "y";
    let [batch, ..] = start.dims();
    let context = GuidanceContext::new(network, None, start.clone(), case.i64("in.y")?.to_vec())
        .map_err(Error::method)?;
    let guidance: Box<dyn Guidance> = match labelled {
        false => Box::new(Unconditional),
        true => {
            let mask = match entry["mask"] == true {
                true => {
                    let mask = semantic_mask(cam.clone(), case.number("mask_cut")?);
                    Some(mask.map_err(Error::method)?)
                }
                false => None,
            };
            let scale = number(case, entry, "scale")?;
            let guidance = ClassifierFree::with_mask(scale, &context, mask);
            Box::new(guidance.map_err(Error::method)?)
        }
    };
    let recorded = RecordedNetwork::new(network);
    let (mut x, mut x0hat) = (vec![start.clone()], Vec::new());
    let mut observe = |step: &Step<'_>| {
        x.push(step.x.clone());
        x0hat.push(step.x0hat.clone());
    };
    let up = entry["direction"] == "invert";
    let end = match up {
        true => {
            let look = Look::new(|image: Tensor<4>| View::new(image, None));
            let config = InversionConfig::default();
            invert_guided(
                &recorded,
                trajectory,
                &config,
                guidance.as_ref(),
                start,
                &look,
                &mut observe,
            )
            .map_err(Error::method)?
            .latent
        }
        false => {
            let config = SynthesisConfig::default();
            let start = Start::at(start, trajectory.len() - 1);
            synthesise(
                &recorded,
                trajectory,
                &config,
                guidance.as_ref(),
                start,
                &mut observe,
            )
            .map_err(Error::method)?
            .image
        }
    };
    let calls = recorded.into_calls();
    let named = |part: &str| format!("out.{name}.{part}");
    produced.push(stacked(named("x"), &x));
    produced.push(Produced::new(named("t"), calls.iter().map(|call| call.t)));
    if !up {
        produced.push(stacked(named("pred_x0"), &x0hat));
    }
    let rows = |first: usize| -> Vec<Tensor<4>> {
        let of = |eps: &Tensor<4>| eps.clone().narrow(0, first, batch);
        calls.iter().map(|call| of(&call.eps)).collect()
    };
    match labelled {
        false => produced.push(stacked(named("eps"), &rows(0))),
        // Both terms of a step are one call: first the label's rows, then the null label's.
        true => {
            produced.push(stacked(named("eps_cond"), &rows(0)));
            produced.push(stacked(named("eps_null"), &rows(batch)));
        }
    }
    Ok(end)
}
