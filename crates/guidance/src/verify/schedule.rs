//! Golden cases of kind `schedule`.

use diffguard_oracle::{Case, Error, Kind, Produced, Result};

use super::tensors::{entries, schedule, text, trajectory};
use crate::{Move, Schedule, ScheduleConfig, SpacingConfig, spacing::Respaced};

/// The kind `schedule`: noise schedules, and the levels of their spacings.
pub(super) const KIND: Kind = Kind {
    name: "schedule",
    run,
    not_produced: &[],
};

fn run(case: &Case) -> Result<Vec<Produced>> {
    let steps = case.whole("T")? as usize;
    let config = match (case.text("family")?, case.text("schedule")?) {
        ("guided", "linear") => ScheduleConfig::GuidedLinear { steps },
        ("guided", "cosine") => ScheduleConfig::Cosine { steps },
        ("latent", "scaled_linear") => ScheduleConfig::ScaledLinear {
            steps,
            start: case.number("linear_start")?,
            end: case.number("linear_end")?,
        },
        ("diffood", "linear") => ScheduleConfig::Linear {
            steps,
            start: case.number("beta_start")?,
            end: case.number("beta_end")?,
        },
        (family, name) => return Err(case.fault(format!("no schedule `{name}` of `{family}`"))),
    };
    let schedule = schedule(&config)?;
    let mut produced = Vec::new();
    if case.has("out.betas") {
        produced.push(Produced::new("out.betas", schedule.betas().to_vec()));
        let abar = schedule.alphas_cumprod().to_vec();
        produced.push(Produced::new("out.alphas_cumprod", abar));
    }
    if case.config.get("spacings").is_some() {
        guided(case, &schedule, &mut produced)?;
    }
    if case.config.get("steps").is_some() {
        latent(case, &schedule, &mut produced)?;
    }
    Ok(produced)
}

fn guided(case: &Case, schedule: &Schedule, produced: &mut Vec<Produced>) -> Result<()> {
    for entry in entries(case, "spacings")? {
        let (spec, key) = (text(case, entry, "spec")?, text(case, entry, "key")?);
        let spacing: SpacingConfig = spec.parse().map_err(Error::method)?;
        let levels = Respaced::new(schedule, &spacing).map_err(Error::method)?;
        let moves = trajectory(schedule, spec)?;
        let given = moves.inversion().iter().map(|step| step.t);
        produced.push(Produced::new(format!("out.{key}.model_t"), given));
        let map = Produced::whole(format!("out.{key}.timestep_map"), &levels.timesteps);
        produced.push(map);
        for (part, values) in [
            ("betas", levels.betas),
            ("alphas_cumprod", levels.abar),
            ("alphas_cumprod_prev", levels.abar_prev),
            ("alphas_cumprod_next", levels.abar_next),
        ] {
            produced.push(Produced::new(format!("out.{key}.{part}"), values));
        }
    }
    for spec in entries(case, "invalid_spacings")? {
        let spec = spec.as_str().unwrap_or_default();
        if trajectory(schedule, spec).is_ok() {
            return Err(case.fault(format!("the spacing `{spec}` must not exist, and does")));
        }
    }
    Ok(())
}

fn latent(case: &Case, schedule: &Schedule, produced: &mut Vec<Produced>) -> Result<()> {
    for steps in entries(case, "steps")? {
        let name = format!("uniform{steps}");
        let moves = trajectory(schedule, &name)?;
        let (up, down) = (moves.inversion(), moves.synthesis());
        let mut keep = |part: &str, of: &[Move], value: fn(&Move) -> f64| {
            let values = of.iter().map(value);
            produced.push(Produced::new(format!("out.{name}.{part}"), values));
        };
        keep("timesteps", down, |step| step.t);
        keep("sampler.alphas", down, |step| step.from);
        keep("sampler.alphas_prev", down, |step| step.to);
        keep("forward.alphas", up, |step| step.from);
        keep("forward.alphas_next", up, |step| step.to);
    }
    Ok(())
}
