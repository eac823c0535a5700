//! Golden cases of kind `ddim_inversion`.

use burn::tensor::Tensor;
use diffguard_models::NoisePredictor;
use diffguard_oracle::{Case, Error, Kind, Produced, Result};
use serde_json::Value;

use super::{
    networks::guided_unet,
    tensors::{entries, guided_schedule, number, stacked, tensor, text, trajectory, values},
};
use crate::{
    EarlyStopConfig, InversionConfig, Inverted, Step, Trajectory, early_stop::psnr, invert,
};

/// The kind `ddim_inversion`: the pixel model's inversion, step by step and with early stop.
pub(super) const KIND: Kind = Kind {
    name: "ddim_inversion",
    run,
    not_produced: &[],
};

/// What the reference's PSNR with a peak of 255 has above the one with the images' true peak of 2.
const PEAK_255: f64 = 127.5;

fn run(case: &Case) -> Result<Vec<Produced>> {
    let network = guided_unet(case)?;
    let schedule = guided_schedule(case)?;
    let mut produced = Vec::new();
    for entry in entries(case, "runs")? {
        let trajectory = trajectory(&schedule, text(case, entry, "spacing")?)?;
        one(case, entry, network.as_ref(), &trajectory, &mut produced)?;
    }
    Ok(produced)
}

fn one(
    case: &Case,
    entry: &Value,
    network: &dyn NoisePredictor,
    trajectory: &Trajectory,
    produced: &mut Vec<Produced>,
) -> Result<()> {
    let name = text(case, entry, "name")?;
    let config = InversionConfig {
        clip_denoised: entry["clip_denoised"] == true,
        reserve: number(case, entry, "early_stop_steps")? as usize,
        ..InversionConfig::default()
    };
    let image: Tensor<4> = tensor(case, "in.image")?;
    let (mut x, mut eps, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    let mut observe = |step: &Step<'_>| {
        x.push(step.x.clone());
        eps.push(step.eps.clone());
        let ratio = psnr(image.clone(), step.x.clone()) + 20.0 * PEAK_255.log10();
        ratios.extend(values(&ratio));
    };
    let inverted = invert(network, trajectory, &config, image.clone(), &mut observe);
    let Inverted { latent, .. } = inverted.map_err(Error::method)?;
    let named = |part: &str| format!("out.{name}.{part}");
    match text(case, entry, "record")? {
        "all" => {
            produced.push(stacked(named("x"), &x));
            produced.push(stacked(named("eps"), &eps));
            produced.push(Produced::new(named("psnr_peak255"), ratios));
        }
        "latent" => produced.push(Produced::new(named("latent"), values(&latent))),
        "stop" => {
            let threshold = number(case, entry, "threshold_peak2")?;
            let config = InversionConfig {
                early_stop: Some(EarlyStopConfig::psnr(threshold)),
                ..config
            };
            let inverted = invert(network, trajectory, &config, image, &mut |_| ());
            let Inverted { latent, stops, .. } = inverted.map_err(Error::method)?;
            produced.push(Produced::whole(named("stop_index"), &stops));
            produced.push(Produced::new(named("latent"), values(&latent)));
            produced.push(Produced::new(named("psnr_peak255"), ratios));
        }
        other => return Err(case.fault(format!("nothing here records `{other}`"))),
    }
    Ok(())
}
