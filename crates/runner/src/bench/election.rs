//! The election of the headline setting, on validation data alone, and its run with oracle labels.

use std::collections::BTreeMap;

use diffguard_guidance::{LabelSource, SimilarityName};
use serde::{Deserialize, Serialize};

use super::{Done, run_guards};
use crate::experiment::{Combination, Experiment, FAST, Guard, HEADLINE, ORACLE, Reference};
use crate::networks::Networks;
use crate::parts::Part;
use crate::pipeline::Pipeline;
use crate::scores::Scores;
use crate::spent::GuardCost;
use crate::{Error, Result, evaluate};

/// What the election of the headline row found, on validation data alone.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Chosen {
    /// The guard.
    pub guard: String,
    /// What the synthesis is compared with.
    pub reference: Reference,
    /// The similarity, or the pair whose z-scores are averaged.
    pub similarities: Vec<SimilarityName>,
    /// Mean AUROC on the validation sets.
    pub validation_auroc: f64,
    /// All candidates and their mean validation AUROC, best first.
    pub candidates: Vec<(String, f64)>,
    /// The cheapest candidate within [`FAST_WITHIN`] of the elected one, where it was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fast: Option<String>,
}

/// What the validation AUROC of `diffguard-fast` may lie under that of `diffguard`.
pub const FAST_WITHIN: f64 = 0.005;

impl Chosen {
    /// The row that was elected.
    pub fn elected(&self) -> &str {
        self.candidates.first().map_or("", |(name, _)| name)
    }
}

/// Chooses the headline setting by its mean validation AUROC, and adds its column under the name `diffguard`.
pub(super) fn elect(
    experiment: &Experiment,
    costs: &BTreeMap<String, GuardCost>,
    scores: &mut Scores,
) -> Result<Chosen> {
    let headline = experiment
        .headline
        .clone()
        .unwrap_or(crate::experiment::Headline {
            guards: None,
            tandems: Vec::new(),
            oracle: false,
            fast: false,
        });
    let mut candidates: Vec<(Chosen, String, Vec<f64>)> = Vec::new();
    for guard in &experiment.guards {
        if guard.label != LabelSource::Predicted || !headline.names(&guard.name) {
            continue;
        }
        for reference in &guard.reference {
            let singles = guard.similarity.iter().map(|similarity| vec![*similarity]);
            let tandems = headline
                .tandems
                .iter()
                .filter(|pair| {
                    pair.iter()
                        .all(|similarity| guard.similarity.contains(similarity))
                })
                .map(|pair| pair.to_vec());
            for similarities in singles.chain(tandems) {
                let (name, values) = candidate(guard, *reference, &similarities, scores)?;
                let validation_auroc = evaluate::validation_auroc(&name, &values, scores)?;
                let chosen = Chosen {
                    guard: guard.name.clone(),
                    reference: *reference,
                    similarities,
                    validation_auroc,
                    candidates: Vec::new(),
                    fast: None,
                };
                candidates.push((chosen, name, values));
            }
        }
    }
    candidates.sort_by(|a, b| b.0.validation_auroc.total_cmp(&a.0.validation_auroc));
    let list = candidates
        .iter()
        .map(|(chosen, name, _)| (name.clone(), chosen.validation_auroc))
        .collect();
    let cost = |chosen: &Chosen| {
        let reconstructs = chosen.reference.needs_reconstruction();
        let cost = GuardCost::find(costs, &chosen.guard, reconstructs);
        cost.map_or(f64::INFINITY, |cost| {
            cost.unet_evaluations + cost.unet_gradients
        })
    };
    // Of equally cheap ones the first, which is the better one.
    let fast = candidates
        .first()
        .map(|(best, ..)| best.validation_auroc - FAST_WITHIN)
        .and_then(|floor| {
            candidates
                .iter()
                .filter(|(chosen, ..)| chosen.validation_auroc >= floor)
                .min_by(|a, b| cost(&a.0).total_cmp(&cost(&b.0)))
        })
        .filter(|_| headline.fast)
        .map(|(_, name, values)| (name.clone(), values.clone()));
    let Some((mut chosen, _, values)) = candidates.into_iter().next() else {
        return Err(Error::Setting(
            "headline: no guard follows predicted labels, so there is none to choose".into(),
        ));
    };
    chosen.candidates = list;
    scores.push(HEADLINE, values)?;
    if let Some((name, values)) = fast {
        scores.push(FAST, values)?;
        chosen.fast = Some(name);
    }
    Ok(chosen)
}

/// The column of one similarity, or the mean of z-scores of a tandem.
pub(crate) fn candidate(
    guard: &Guard,
    reference: Reference,
    similarities: &[SimilarityName],
    scores: &Scores,
) -> Result<(String, Vec<f64>)> {
    let names: Vec<String> = similarities
        .iter()
        .map(|s| guard.column(reference, *s))
        .collect();
    if let [name] = names.as_slice() {
        return Ok((
            name.clone(),
            scores.column(name).unwrap_or_default().to_vec(),
        ));
    }
    let title: Vec<&str> = similarities.iter().map(|s| s.as_str()).collect();
    let name = guard.column_called(reference, &title.join("&"));
    let combination = Combination {
        name: name.clone(),
        of: names,
        log_odds: Vec::new(),
        rule: "mean_z".into(),
        parameters: toml::Table::new(),
    };
    Ok((name, evaluate::fuse(&combination, scores)?))
}

/// The chosen setting again with oracle labels: true ones in-distribution, random ones out of distribution.
pub(super) fn oracle(
    experiment: &Experiment,
    chosen: &Chosen,
    networks: &Networks,
    parts: &[Part],
    units: &mut [Done],
    pipeline: &Pipeline,
    scores: &mut Scores,
) -> Result<()> {
    let Some(guard) = experiment
        .guards
        .iter()
        .find(|guard| guard.name == chosen.guard)
    else {
        return Ok(());
    };
    let guard = Guard {
        name: format!("{}-oracle", guard.name),
        label: LabelSource::Oracle,
        reference: vec![chosen.reference],
        similarity: chosen.similarities.clone(),
        ..guard.clone()
    };
    let mut all = scores.clone();
    for (name, values) in run_guards(
        experiment,
        std::slice::from_ref(&guard),
        networks,
        parts,
        units,
        pipeline,
        None,
    )? {
        all.push(name, values)?;
    }
    let (_, values) = candidate(&guard, chosen.reference, &chosen.similarities, &all)?;
    scores.push(ORACLE, values)
}
