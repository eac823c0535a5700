//! `cargo xtask list`: every name that an experiment or the command line can use.

use std::path::Path;

use diffguard_datasets::benchmark::BENCHMARKS;
use diffguard_guidance::SIMILARITIES;
use diffguard_models::network::CLASSIFIERS;
use diffguard_ood::combine::RULES;
use diffguard_ood::detectors::DETECTORS;

use crate::experiment::{Experiment, names};
use crate::{Result, Root};

/// The guidance techniques; their settings are documented in `diffguard_guidance::guidance`.
const GUIDANCE: [(&str, &str); 3] = [
    ("none", "unconditional reconstruction"),
    (
        "classifier-free",
        "Ho & Salimans 2022 (paper, eq. 5); with dsg_cut: distinct semantic guidance",
    ),
    (
        "classifier",
        "gradient of log p(y) (paper, eq. 4) with Clean Grad: x0hat, cutouts, temperature, normalisation",
    ),
];

/// What is recorded at every noise level.
const TRACES: [(&str, &str); 2] = [
    (
        "inversion",
        "PSNR of x_t and x0hat against the input along the inversion (paper, figure 4)",
    ),
    (
        "classification",
        "what a noisy classifier and the one under protection predict on x_t and x0hat (paper, figure 2)",
    ),
];

/// The diffusion families that can be trained here; the classifiers' list is the models crate's.
const DIFFUSION: [(&str, &str); 1] = [(
    "quick-unet",
    "diffusion: class-conditional U-Net with a null label on space-to-depth images",
)];

/// The list as text.
///
/// # Errors
/// When the experiments' folder cannot be read.
pub fn text(root: &Root) -> Result<String> {
    let mut text = String::new();
    let mut section = |title: &str, lines: Vec<(String, String)>| {
        text += &format!("{title}\n");
        let width = lines.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
        for (name, summary) in lines {
            text += &format!("  {name:<width$}  {summary}\n");
        }
        text.push('\n');
    };
    let owned = |(name, summary): (&str, &str)| (name.to_owned(), summary.to_owned());
    let experiments = names(root)?
        .into_iter()
        .map(|name| {
            let title = match Experiment::read(&name, root) {
                Ok((_, experiment)) => experiment.title,
                Err(error) => format!("cannot be read: {error}"),
            };
            (name, title)
        })
        .collect();
    section("Experiments (cargo xtask bench NAME)", experiments);
    section(
        "Benchmarks",
        BENCHMARKS
            .iter()
            .map(|entry| owned((entry.name, entry.summary)))
            .collect(),
    );
    section(
        "Guidance techniques ([[guard]] guidance.kind)",
        GUIDANCE.map(owned).to_vec(),
    );
    let similarities = SIMILARITIES
        .iter()
        .map(|similarity| owned((similarity.name, similarity.summary)));
    section(
        "Similarities ([[guard]] similarity)",
        similarities.collect(),
    );
    let detectors = DETECTORS
        .iter()
        .map(|entry| owned((entry.name, entry.summary)));
    section("Baselines ([[detector]] name)", detectors.collect());
    section(
        "Fusions ([[combine]] rule)",
        RULES
            .iter()
            .map(|entry| owned((entry.name, entry.summary)))
            .collect(),
    );
    section("Traces ([[trace]] what.kind)", TRACES.map(owned).to_vec());
    let networks = CLASSIFIERS
        .iter()
        .map(|(name, summary)| ((*name).to_owned(), format!("classifier: {summary}")));
    section("Networks", networks.chain(DIFFUSION.map(owned)).collect());
    section("Data sets (datasets.toml)", datasets(root.path()));
    Ok(text.trim_end().to_owned())
}

fn datasets(root: &Path) -> Vec<(String, String)> {
    match diffguard_datasets::manifest::Manifest::read(&root.join("datasets.toml")) {
        Ok(manifest) => manifest
            .datasets
            .iter()
            .map(|dataset| (dataset.name.clone(), dataset.what.clone()))
            .collect(),
        Err(error) => vec![("datasets.toml".into(), format!("cannot be read: {error}"))],
    }
}
