//! Traces of the test images.

use super::units::{Done, samples};
use crate::Result;
use crate::experiment::Experiment;
use crate::networks::Networks;
use crate::parts::Part;
use crate::pipeline::Pipeline;
use crate::stages::trace;
use crate::store::Array;
use crate::traces::{Series, Traces, Track};

/// The series of a unit, trace by trace; none of images that are not tested on.
type OfUnit = Vec<Vec<(Series, Array)>>;

/// Every trace of every unit of test images.
pub(super) fn trace_units(
    experiment: &Experiment,
    networks: &Networks,
    parts: &[Part],
    units: &mut [Done],
    pipeline: &Pipeline,
) -> Result<Vec<OfUnit>> {
    pipeline.each(units, |done| {
        let part = &parts[done.part];
        if !part.split.is_test() || experiment.traces.is_empty() {
            return Ok(Vec::new());
        }
        let set = part.set.name();
        let encoded = done.encoded(pipeline, set, networks.main_diffusion()?)?;
        let traces = experiment.traces.iter();
        traces
            .map(|it| {
                let what = format!("{} on {set}", it.name);
                trace(
                    pipeline,
                    &what,
                    &done.unit,
                    networks,
                    encoded.as_ref(),
                    &it.what,
                )
            })
            .collect()
    })
}

/// The traces of a run.
///
/// # Errors
/// What the stage meets; when a value is not finite.
pub(super) fn traces(
    experiment: &Experiment,
    networks: &Networks,
    parts: &[Part],
    units: &mut [Done],
    pipeline: &Pipeline,
) -> Result<Traces> {
    let mut traces = Traces::default();
    if experiment.traces.is_empty() {
        return Ok(traces);
    }
    let seen = trace_units(experiment, networks, parts, units, pipeline)?;
    traces.samples = samples(parts, units);
    traces.samples.retain(|sample| sample.split.is_test());
    let schedule = &networks.main_diffusion()?.schedule;
    for (place, trace) in experiment.traces.iter().enumerate() {
        for (number, (series, steps)) in trace.what.steps(schedule)?.into_iter().enumerate() {
            let mut values = vec![Vec::with_capacity(traces.samples.len()); steps.len()];
            for unit in seen.iter().filter_map(|unit| unit.get(place)) {
                for image in unit[number].1.values.chunks_exact(steps.len()) {
                    for (values, value) in values.iter_mut().zip(image) {
                        values.push(*value);
                    }
                }
            }
            traces.push(Track {
                trace: trace.name.clone(),
                series,
                steps,
                values,
            })?;
        }
    }
    Ok(traces)
}
