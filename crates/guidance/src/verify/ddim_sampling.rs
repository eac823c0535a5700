//! Golden cases of kind `ddim_sampling`.

use std::sync::{Mutex, PoisonError};

use burn::tensor::Tensor;
use diffguard_models::{Classifier, NoisePredictor};
use diffguard_oracle::{Case, Error, Kind, Produced, Result};
use serde_json::Value;

use super::{
    cutouts::crops,
    networks::{guided_unet, small_classifier},
    recording::{RecordedClassifier, RecordedGuidance},
    tensors::{entries, guided_schedule, stacked, tensor, text, trajectory, values},
};
use crate::{
    Guidance, GuidanceContext, Start, Step, SynthesisConfig, Trajectory,
    ddim::{implied_image, implied_noise},
    guidance::{CleanGrad, CleanGradConfig, Unconditional},
    synthesise,
};

/// The kind `ddim_sampling`: the pixel model's synthesis, with and without Clean Grad.
pub(super) const KIND: Kind = Kind {
    name: "ddim_sampling",
    run,
    not_produced: &[],
};

fn run(case: &Case) -> Result<Vec<Produced>> {
    let network = guided_unet(case)?;
    let trajectory = trajectory(&guided_schedule(case)?, case.text("spacing")?)?;
    let mut produced = Vec::new();
    for entry in entries(case, "runs")? {
        let sampling = Sampling {
            case,
            entry,
            name: text(case, entry, "name")?,
            network: network.as_ref(),
            trajectory: &trajectory,
        };
        match entry["labels"].as_array() {
            None => {
                sampling.synthesise(&Unconditional, &mut produced)?;
            }
            Some(labels) => {
                let labels = labels.iter().filter_map(Value::as_i64).collect();
                sampling.guided(labels, &mut produced)?;
            }
        }
    }
    Ok(produced)
}

struct Sampling<'a> {
    case: &'a Case,
    entry: &'a Value,
    name: &'a str,
    network: &'a dyn NoisePredictor,
    trajectory: &'a Trajectory,
}

impl Sampling<'_> {
    fn named(&self, part: &str) -> String {
        format!("out.{}.{part}", self.name)
    }

    /// The steps under a guidance; the noise that each move was made with.
    fn synthesise(
        &self,
        guidance: &dyn Guidance,
        produced: &mut Vec<Produced>,
    ) -> Result<Vec<Tensor<4>>> {
        let config = SynthesisConfig {
            clip_denoised: self.entry["clip_denoised"] == true,
            ..SynthesisConfig::default()
        };
        let (mut x, mut x0hat, mut eps) = (Vec::new(), Vec::new(), Vec::new());
        let mut observe = |step: &Step<'_>| {
            x.push(step.x.clone());
            x0hat.push(step.x0hat.clone());
            eps.push(step.eps.clone());
        };
        let first = self.case.whole("first_index")? as usize;
        let start = Start::at(tensor(self.case, "in.latent")?, first);
        synthesise(
            self.network,
            self.trajectory,
            &config,
            guidance,
            start,
            &mut observe,
        )
        .map_err(Error::method)?;
        produced.push(stacked(self.named("x"), &x));
        produced.push(stacked(self.named("pred_x0"), &x0hat));
        Ok(eps)
    }

    fn guided(&self, labels: Vec<i64>, produced: &mut Vec<Produced>) -> Result<()> {
        let case = self.case;
        let classifier = RecordedClassifier {
            classifier: small_classifier(case)?,
            logits: Mutex::default(),
        };
        let scale = case.number("classifier_scale")?;
        let (x0hat, cutout) = (self.entry["x0hat"] == true, self.entry["cutouts"] == true);
        let config = CleanGradConfig {
            scale,
            x0hat,
            cutout,
            ..CleanGradConfig::default()
        };
        let image = tensor(case, "in.latent")?;
        let seen: &dyn Classifier = &classifier;
        let context =
            GuidanceContext::new(self.network, Some(seen), image, labels).map_err(Error::method)?;
        let mut guidance = CleanGrad::new(&config, &context).map_err(Error::method)?;
        if cutout {
            let crops = crops(case, &format!("in.{}.crops", self.name))?;
            let (first, each) = (case.whole("first_index")? as usize, config.crops);
            guidance = guidance.with_crops(move |index| {
                crops[(first - index) * each..(first - index + 1) * each].to_vec()
            });
        }
        let recorded = RecordedGuidance {
            guidance: &guidance,
            steps: Mutex::default(),
        };
        let guided_eps = self.synthesise(&recorded, produced)?;
        let steps = recorded
            .steps
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner);
        let gradients: Vec<Tensor<4>> = steps
            .iter()
            .map(|step| match &step.shift {
                Some(shift) => shift.clone() / (1.0 - step.abar).sqrt(),
                None => step.x.zeros_like(),
            })
            .collect();
        produced.push(stacked(self.named("guidance"), &gradients));
        if !case.has(&self.named("step.x_t")) {
            return Ok(());
        }
        let at = case.whole("step_index")? as usize;
        let Some(number) = steps.iter().position(|step| step.index == at) else {
            return Err(case.fault(format!("the step {at} is not made")));
        };
        let step = &steps[number];
        let implied = implied_image(step.x.clone(), step.eps.clone(), step.abar);
        let clipped = implied.clone().clamp(-1.0, 1.0);
        let from_clipped = implied_noise(step.x.clone(), clipped.clone(), step.abar);
        let logits = classifier
            .logits
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        produced.push(Produced::new(
            self.named("step.logits"),
            values(&logits[number]),
        ));
        for (part, value) in [
            ("x_t", step.x.clone()),
            ("eps", step.eps.clone()),
            (
                "z",
                guidance.seen(step.x.clone(), step.eps.clone(), step.abar),
            ),
            ("x0hat", implied),
            ("x0hat_clipped", clipped),
            ("eps_from_clipped", from_clipped),
            ("guided_eps", guided_eps[number].clone()),
        ] {
            let name = self.named(&format!("step.{part}"));
            produced.push(Produced::new(name, values(&value)));
        }
        Ok(())
    }
}
