//! The picture grid of a run.

use diffguard_datasets::ImageShape;
use diffguard_datasets::benchmark::OpenBenchmark;
use diffguard_report::pictures::{
    Caption, DifferenceScale, GridGroup, GridRow, PictureGrid, Tile, Verdict,
};

use super::Run;
use crate::Result;
use crate::bench::Shown;
use crate::experiment::HEADLINE;
use crate::parts::Split;

/// Input, reconstruction (where there are any), synthesis and difference, for samples of every test set; of a gallery, the
/// input and the syntheses that it names.
pub fn grid(run: &Run, benchmark: &OpenBenchmark, shown: &Shown) -> Result<PictureGrid> {
    let gallery = run.record.configuration.gallery.is_some();
    let pictures = &shown.pictures;
    let shape = benchmark.id_test.shape();
    let tile = |values: &[f32]| tile(shape, values);
    let scale = DifferenceScale::default();
    let threshold = threshold(run)?;
    let class = |label: i64| {
        usize::try_from(label)
            .ok()
            .and_then(|label| benchmark.class_names.get(label))
            .cloned()
    };
    let headline = run.scores.column(HEADLINE);
    let reconstructed = pictures.iter().any(|it| it.reconstruction.is_some());
    let mut groups: Vec<GridGroup> = Vec::new();
    for picture in pictures {
        let sample = &run.scores.samples[picture.sample];
        let heading = format!("{} ({})", sample.set, sample.split.name());
        let input = tile(&picture.input)?;
        let syntheses = picture.syntheses.iter().map(|made| tile(made));
        let syntheses = syntheses.collect::<Result<Vec<_>, _>>()?;
        let difference = match (&syntheses[..], gallery) {
            ([synthesis], false) => Some(Tile::difference(&input, synthesis, scale)?),
            _ => None,
        };
        let mut lines = Vec::new();
        lines.extend(class(sample.label).map(|name| format!("is {name}")));
        lines.extend(class(sample.predicted).map(|name| format!("predicted {name}")));
        let verdict = headline.zip(threshold).map(|(column, threshold)| {
            let score = column[picture.sample];
            lines.push(format!("score {score:.3}"));
            let accepted = score >= threshold;
            Verdict {
                text: if accepted { "accepted" } else { "rejected" }.into(),
                right: accepted == (sample.split == Split::IdTest),
            }
        });
        let mut tiles = vec![Some(input)];
        tiles.extend(syntheses.into_iter().map(Some));
        tiles.extend(difference.map(Some));
        if reconstructed {
            let reconstruction = picture.reconstruction.as_deref();
            tiles.insert(1, reconstruction.map(tile).transpose()?);
        }
        let row = GridRow {
            tiles,
            caption: Caption { lines, verdict },
        };
        match groups.last_mut() {
            Some(group) if group.heading == heading => group.rows.push(row),
            _ => groups.push(GridGroup {
                heading,
                rows: vec![row],
            }),
        }
    }
    let mut columns = vec!["input".to_owned()];
    columns.extend(reconstructed.then(|| "reconstruction".to_owned()));
    columns.extend(shown.columns.iter().cloned());
    columns.extend((!gallery).then(|| "difference".to_owned()));
    let under = match gallery {
        true => "side by side",
        false => "under the predicted label",
    };
    Ok(PictureGrid {
        title: format!("{}: synthesis {under}", run.record.experiment),
        columns,
        groups,
        factor: factor(shape.height),
        differences: (!gallery).then_some(scale),
    })
}

/// An image in [-1, 1].
///
/// # Errors
/// When the values are not those of such an image.
pub(crate) fn tile(shape: ImageShape, values: &[f32]) -> Result<Tile, diffguard_report::Error> {
    let (channels, height, width) = (shape.channels, shape.height, shape.width);
    Tile::from_planes(channels, height, width, values, (-1.0, 1.0))
}

/// How much larger an image of `side` pixels is drawn: small ones so that they can be seen, large ones as they are.
pub(crate) fn factor(side: usize) -> usize {
    (96 / side.max(1)).max(1)
}

/// The headline score above which 95 % of the in-distribution validation images lie.
fn threshold(run: &Run) -> Result<Option<f64>> {
    let Some(values) = run.scores.column(HEADLINE) else {
        return Ok(None);
    };
    let mut validation = run.scores.of(values, Split::IdVal, None);
    Ok(diffguard_ood::quantile(&mut validation, 0.05))
}
