//! The picture strip of scored images.

use diffguard_datasets::ImageShape;
use diffguard_guidance::Report;
use diffguard_report::pictures::{Caption, DifferenceScale, GridGroup, GridRow, PictureGrid, Tile};

use super::Finding;
use crate::pipeline::array;
use crate::{Result, outputs};

/// Input, reconstruction, synthesis and difference of each image of a batch.
pub(super) fn tiles(
    inputs: &[Vec<f32>],
    report: &Report,
    shape: ImageShape,
) -> Result<Vec<GridRow>> {
    let tile = |values: &[f32]| outputs::tile(shape, values);
    let synthesis = array(report.synthesis.clone())?.values;
    let reconstruction = match &report.reconstruction {
        Some(image) => Some(array(image.clone())?.values),
        None => None,
    };
    let part = |values: &[f32], i: usize| tile(&values[i * shape.len()..(i + 1) * shape.len()]);
    inputs
        .iter()
        .enumerate()
        .map(|(i, input)| {
            let (input, synthesis) = (tile(input)?, part(&synthesis, i)?);
            let difference = Tile::difference(&input, &synthesis, DifferenceScale::default())?;
            let reconstruction = match &reconstruction {
                Some(values) => Some(part(values, i)?),
                None => None,
            };
            Ok(GridRow {
                tiles: vec![
                    Some(input),
                    reconstruction,
                    Some(synthesis),
                    Some(difference),
                ],
                caption: Caption::default(),
            })
        })
        .collect()
}

pub(super) fn caption(finding: &Finding) -> Caption {
    let name = finding
        .image
        .file_name()
        .unwrap_or_default()
        .to_string_lossy();
    let verdict = match finding.out_of_distribution {
        true => "out-of-distribution",
        false => "in-distribution",
    };
    Caption {
        lines: vec![
            name.into_owned(),
            format!("{} ({:.0} %)", finding.label, 100.0 * finding.confidence),
            format!(
                "score {:.3}, percentile {:.0}",
                finding.judge.score, finding.judge.percentile
            ),
            verdict.into(),
        ],
        verdict: None,
    }
}

pub(super) fn grid(rows: Vec<GridRow>, title: &str) -> PictureGrid {
    let names = ["input", "reconstruction", "synthesis", "difference"];
    PictureGrid {
        title: title.to_owned(),
        columns: names.iter().map(|name| (*name).to_owned()).collect(),
        groups: vec![GridGroup {
            heading: String::new(),
            rows,
        }],
        factor: 3,
        differences: Some(DifferenceScale::default()),
    }
}
