//! `score`: single images by a finished benchmark.

use std::path::PathBuf;

use clap::Args;

use super::data_folders;
use crate::experiment::HEADLINE;
use crate::score::{Finding, score};
use crate::{Error, Result, Root, device};

/// Exit status when an image is judged out-of-distribution.
const OUT_OF_DISTRIBUTION: u8 = 1;

/// Arguments of `score`.
#[derive(Debug, Args)]
pub struct Score {
    /// Image files (PNG or JPEG); resized, cropped and turned grey as the model needs it
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<PathBuf>,
    /// A finished benchmark (results/NAME), whose elected setting and validation scores judge
    #[arg(long, default_value = "quick", value_name = "NAME")]
    model: String,
    /// The row of its tables that judges: one of a guard's similarities, a detector, denoising, a fusion
    #[arg(long, default_value = HEADLINE, value_name = "ROW")]
    by: String,
    /// The pictures: input, reconstruction, synthesis, difference [default: runs/score/NAME.png]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// One line of JSON an image in place of the report
    #[arg(long)]
    json: bool,
    /// Device, as for `bench`
    #[arg(long, default_value = "cpu", value_name = "NAME")]
    device: String,
}

impl Score {
    pub(crate) fn run(self) -> Result<u8> {
        let root = Root::find()?.with_data(Some(data_folders(None, None)?));
        let device = device::parse(&self.device)?;
        let folder = root.results().join(&self.model);
        if !folder.is_dir() {
            return Err(unknown(&self.model, &root));
        }
        let scored = score(&self.images, &folder, &self.by, &root, &device)?;
        let out = self.out.unwrap_or_else(|| {
            root.runs()
                .join("score")
                .join(format!("{}.png", self.model))
        });
        if let Some(parent) = out.parent() {
            std::fs::create_dir_all(parent).map_err(|error| Error::io(parent, &error))?;
        }
        scored.pictures.write(&out)?;
        for finding in &scored.findings {
            match self.json {
                true => println!(
                    "{}",
                    serde_json::to_string(finding).map_err(|e| Error::Setting(e.to_string()))?
                ),
                false => println!("{}\n", text(finding)),
            }
        }
        if !self.json {
            for column in &scored.left_out {
                println!("left out: {column}, whose diffusion network is not the guard's\n");
            }
            let images = scored.findings.len() as u64;
            println!(
                "an image took {} U-Net rows and {} classifier rows; pictures: {}",
                scored.cost.unet_rows / images,
                scored.cost.classifier_rows / images,
                out.display()
            );
        }
        match scored
            .findings
            .iter()
            .any(|finding| finding.out_of_distribution)
        {
            true => Ok(OUT_OF_DISTRIBUTION),
            false => Ok(0),
        }
    }
}

fn unknown(model: &str, root: &Root) -> Error {
    let names: Vec<String> = std::fs::read_dir(root.results())
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| entry.path().join("run.json").is_file())
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    let hint = match diffguard_ood::suggest(model, names.iter().map(String::as_str)) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("there are: {}", names.join(", ")),
    };
    Error::Setting(format!(
        "no finished benchmark `{model}` in results/; {hint}"
    ))
}

fn text(finding: &Finding) -> String {
    let mut lines = vec![format!(
        "{}: {}, confidence {:.1} %",
        finding.image.display(),
        finding.label,
        100.0 * finding.confidence
    )];
    let width = finding.rows.iter().map(|s| s.name.len()).max().unwrap_or(0);
    for placed in &finding.rows {
        lines.push(format!(
            "  {:width$}  {:>10.4}  percentile {:>5.1}",
            placed.name, placed.score, placed.percentile
        ));
    }
    let (relation, verdict) = match finding.out_of_distribution {
        true => ("<", "OUT-OF-DISTRIBUTION"),
        false => (">=", "in-distribution"),
    };
    lines.push(format!(
        "  {verdict}: {} = {:.4} {relation} {:.4}, which 95 % of the validation images reach",
        finding.judge.name, finding.judge.score, finding.threshold
    ));
    lines.join("\n")
}
