//! A case's tensors as burn's, and back.

use burn::tensor::{Tensor, TensorData};
use diffguard_models::verify::device;
use diffguard_oracle::{Case, Error, Produced, Result};

use crate::{Schedule, ScheduleConfig, SpacingConfig, Trajectory};

/// A stored tensor of 32-bit floats.
pub(super) fn tensor<const D: usize>(case: &Case, name: &str) -> Result<Tensor<D>> {
    let (shape, values) = case.f32(name)?;
    if shape.len() != D {
        return Err(case.fault(format!("`{name}` must have {D} axes")));
    }
    let data = TensorData::new(values.to_vec(), shape.to_vec());
    Ok(Tensor::from_data(data, &device()))
}

/// The values of a tensor, row-major.
pub(super) fn values<const D: usize>(tensor: &Tensor<D>) -> Vec<f64> {
    tensor.to_data().iter::<f64>().collect()
}

/// A stack of steps, in the order in which they were made.
pub(super) fn stacked(name: String, steps: &[Tensor<4>]) -> Produced {
    Produced::new(name, steps.iter().flat_map(values))
}

/// The trajectory of a spacing.
pub(super) fn trajectory(schedule: &Schedule, spacing: &str) -> Result<Trajectory> {
    let spacing: SpacingConfig = spacing.parse().map_err(Error::method)?;
    Trajectory::new(schedule, &spacing).map_err(Error::method)
}

pub(super) fn schedule(config: &ScheduleConfig) -> Result<Schedule> {
    config.init().map_err(Error::method)
}

/// The schedule of the pixel models' cases.
pub(super) fn guided_schedule(case: &Case) -> Result<Schedule> {
    let settings = &case.config["schedule"];
    let (name, rescaled) = (&settings["name"], &settings["rescale_timesteps"]);
    if *name != "linear" || *rescaled != false {
        return Err(case.fault(format!("no schedule for {settings}")));
    }
    let steps = settings["T"].as_u64().unwrap_or(0) as usize;
    schedule(&ScheduleConfig::GuidedLinear { steps })
}

/// The entries of the list `key` of the configuration.
pub(super) fn entries<'a>(case: &'a Case, key: &str) -> Result<&'a [serde_json::Value]> {
    case.config[key]
        .as_array()
        .map(Vec::as_slice)
        .ok_or_else(|| case.fault(format!("its configuration has no list `{key}`")))
}

/// A text of an entry.
pub(super) fn text<'a>(case: &Case, entry: &'a serde_json::Value, key: &str) -> Result<&'a str> {
    entry[key]
        .as_str()
        .ok_or_else(|| case.fault(format!("{entry} has no text `{key}`")))
}

/// A number of an entry.
pub(super) fn number(case: &Case, entry: &serde_json::Value, key: &str) -> Result<f64> {
    entry[key]
        .as_f64()
        .ok_or_else(|| case.fault(format!("{entry} has no number `{key}`")))
}
