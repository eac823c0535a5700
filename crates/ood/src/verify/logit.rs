//! Golden cases of kind `detectors_logit`.

use ndarray::Array2;

use super::Error;
use super::{Arrays, Case, Produced, table};
use crate::detectors::temp_scaling::{mean_nll, optimal_temperature};
use crate::detectors::{Detector, FitData, Labelled, Observations, build, kl_matching::KlMatching};

pub(super) fn run(case: &Case) -> Result<Vec<Produced>, Error> {
    let method = case.text("method")?;
    let logits = case.matrix("in.logits")?;
    let observations = Observations {
        logits: logits.view(),
        ..Observations::default()
    };
    let mut produced = Vec::new();

    let val_logits = if case.has("in.val_logits") {
        case.matrix("in.val_logits")?
    } else {
        Array2::zeros((0, 0))
    };
    let val_labels = if case.has("in.val_labels") {
        case.labels("in.val_labels")?
    } else {
        Vec::new()
    };
    let val = Observations {
        logits: val_logits.view(),
        ..Observations::default()
    };
    let data = FitData {
        val: Labelled {
            observations: val,
            labels: &val_labels,
        },
        ..FitData::default()
    };

    let fit_temperature = method == "temp_scaling" && case.has("in.val_logits");
    let parameters = match method {
        "ebo" => table([("temperature", case.number("temperature")?.into())]),
        "temp_scaling" if !fit_temperature => {
            table([("temperature", case.number("temperature")?.into())])
        }
        "gen" => table([
            ("gamma", case.number("gamma")?.into()),
            ("m", case.whole("M")?.into()),
        ]),
        _ => toml::Table::new(),
    };
    let mut detector = build(method, parameters)?;
    detector.fit(&data)?;
    let scores = detector.score(&observations)?;

    if fit_temperature {
        let temperature = optimal_temperature(val_logits.view(), &val_labels)?;
        let nll = |t| mean_nll(val_logits.view(), &val_labels, t);
        produced.push(Produced::new("out.temperature_optimum", [temperature]));
        produced.push(Produced::new("out.nll_optimum", [nll(temperature)]));
        produced.push(Produced::new("out.nll_before", [nll(case.number("init")?)]));
        produced.push(Produced::new("out.score_optimum", scores));
    } else {
        let mut score = Produced::new("out.score", scores.clone());
        if case.has("out.rounding_sensitive") {
            // 1 - p is rounding alone there, and a small gamma magnifies it.
            let sensitive = case.f64("out.rounding_sensitive")?;
            score.loosened = sensitive
                .iter()
                .map(|&flag| (flag > 0.0).then_some(0.25))
                .collect();
            produced.push(Produced::new("out.score_f64", scores));
        }
        produced.push(score);
    }
    if method == "kl_matching" {
        let mut detector = KlMatching::default();
        detector.fit(&data)?;
        produced.extend(
            detector
                .templates()
                .map(|t| Produced::new("out.mean_softmax", t.iter().copied())),
        );
    }
    if case.has("out.pred") {
        produced.push(Produced::whole(
            "out.pred",
            &detector.predict(&observations)?,
        ));
    }
    Ok(produced)
}
