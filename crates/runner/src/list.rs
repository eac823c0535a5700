//! `cargo xtask list`: every name that an experiment or the command line can use.

use std::path::Path;

use diffguard_datasets::benchmark::BENCHMARKS;
use diffguard_guidance::SIMILARITIES;
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

/// The network families.
const NETWORKS: [(&str, &str); 2] = [
    (
        "cifar-resnet",
        "classifier: He et al. 2016, depth 6n + 2, option A shortcuts",
    ),
    (
        "quick-unet",
        "diffusion: class-conditional U-Net with a null label on space-to-depth images",
    ),
];

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
    section("Networks", NETWORKS.map(owned).to_vec());
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
