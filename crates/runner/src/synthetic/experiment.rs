//! An experiment made small: few steps, few crops, small neighbourhoods, and its titles stamped.

use diffguard_guidance::{GuidanceConfig, SpacingConfig};

use super::STAMP;
use crate::experiment::Experiment;
use crate::traces::TraceKind;

/// Images of a work unit.
const BATCH: usize = 2;
/// Bootstrap replicates.
const REPLICATES: usize = 20;
/// The least share of the steps: one of two.
const FRACTION: f64 = 0.5;
/// Draws of noise in place of an inversion.
const DRAWS: usize = 2;
/// Views that a classifier is shown at once.
const CROPS: usize = 2;

/// Reduces `experiment` and stamps its titles; what was reduced, in words.
pub(super) fn reduce(experiment: &mut Experiment) -> Vec<String> {
    let mut notes = vec![format!(
        "{} images a test set, {} a validation set, all of them generated",
        experiment.limit, experiment.validation_limit
    )];
    experiment.title = stamped(&experiment.title);
    for figure in &mut experiment.figures {
        figure.title = stamped(&figure.title);
    }
    for trace in &mut experiment.traces {
        trace.title = stamped(&trace.title);
        let published = trace.what.spacing().clone();
        let spacing = few_steps(&published);
        notes.push(format!("trace {}: {spacing} of {published}", trace.name));
        *trace.what.spacing_mut() = spacing;
        if let TraceKind::Inversion { inversion } = &mut trace.what {
            inversion.reserve = inversion.reserve.min(1);
        }
    }
    if let Some(paper) = &mut experiment.paper {
        paper.differs = stamped(&paper.differs);
    }
    experiment.batch = experiment.batch.min(BATCH);
    experiment.bootstrap = experiment.bootstrap.min(REPLICATES);
    for (name, config) in &mut experiment.inversion {
        let spacing = few_steps(&config.spacing);
        notes.push(format!("inversion {name}: {spacing} of {}", config.spacing));
        config.spacing = spacing;
        config.reserve = config.reserve.min(1);
        if config.fraction < FRACTION {
            let published = config.fraction;
            notes.push(format!(
                "inversion {name}: fraction {FRACTION} in place of {published}"
            ));
            config.fraction = FRACTION;
        }
        if let Some(draws) = config.draws.filter(|draws| *draws > DRAWS) {
            notes.push(format!("inversion {name}: {DRAWS} draws of {draws}"));
            config.draws = Some(DRAWS);
        }
    }
    for guard in &mut experiment.guards {
        if let GuidanceConfig::Classifier(config) = &mut guard.guidance {
            config.crops = config.crops.min(CROPS);
        }
    }
    for detector in &mut experiment.detectors {
        // Published sizes of a neighbourhood and of a subspace, which few images and features do not have.
        for (detector_name, key, most) in [("knn", "k", 5), ("vim", "dim", 8)] {
            if detector.name == detector_name {
                let value = detector
                    .parameters
                    .get(key)
                    .and_then(toml::Value::as_integer);
                let value = value.map_or(most, |value| value.min(most));
                detector.parameters.insert(key.into(), value.into());
                notes.push(format!("{detector_name}: {key} = {value}"));
            }
        }
    }
    notes
}

fn stamped(title: &str) -> String {
    format!("{STAMP}: {title}")
}

/// The same kind of spacing with two to four steps, more where there were more.
fn few_steps(spacing: &SpacingConfig) -> SpacingConfig {
    let few = |steps: usize| steps.min((steps / 10).clamp(2, 4));
    match spacing {
        SpacingConfig::Ddim(steps) => SpacingConfig::Ddim(few(*steps)),
        SpacingConfig::Sections(counts) => {
            SpacingConfig::Sections(counts.iter().map(|count| (*count).min(2)).collect())
        }
        SpacingConfig::Uniform(steps) => SpacingConfig::Uniform(few(*steps)),
        SpacingConfig::DiffNb { steps, .. } => SpacingConfig::DiffNb {
            steps: few(*steps),
            from: None,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_steps_exist() {
        let schedule = diffguard_guidance::ScheduleConfig::default()
            .init()
            .unwrap();
        for text in [
            "ddim100",
            "ddim25",
            "ddim5",
            "ddim2",
            "uniform25",
            "uniform100",
            "10,20",
            "diffnb50",
        ] {
            let few = few_steps(&text.parse().unwrap());
            let trajectory = diffguard_guidance::Trajectory::new(&schedule, &few).unwrap();
            assert!((2..=7).contains(&trajectory.len()), "{few}");
        }
    }
}
