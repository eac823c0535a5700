//! Samples whose pictures go into the grid.

use super::{Chosen, Done};
use crate::Result;
use crate::experiment::{Experiment, Guard};
use crate::parts::{Part, Split};
use crate::pipeline::Pipeline;
use crate::store::Array;

/// A sample with its pictures, each `[channel, height, width]` in [-1, 1].
#[derive(Clone, Debug)]
pub struct Picture {
    /// Position in [`Scores::samples`].
    pub sample: usize,
    /// The input.
    pub input: Vec<f32>,
    /// The unconditional reconstruction, where the experiment compares with it.
    pub reconstruction: Option<Vec<f32>>,
    /// The syntheses that are shown, in the order of [`Shown::columns`].
    pub syntheses: Vec<Vec<f32>>,
}

/// What the picture grid shows.
#[derive(Clone, Debug, Default)]
pub struct Shown {
    /// Headings of the syntheses.
    pub columns: Vec<String>,
    /// The samples.
    pub pictures: Vec<Picture>,
}

/// Pictures of each set in the grid.
const PICTURES_PER_SET: usize = 4;

/// The guards whose syntheses are shown, and their columns' headings: those of the gallery, else the chosen one (or the
/// first).
pub(super) fn guards<'a>(
    experiment: &'a Experiment,
    chosen: Option<&Chosen>,
) -> Vec<(&'a Guard, String)> {
    let named = |name: &str| experiment.guards.iter().find(|guard| guard.name == name);
    match &experiment.gallery {
        Some(gallery) => {
            let columns = match gallery.columns.is_empty() {
                true => &gallery.guards,
                false => &gallery.columns,
            };
            let guards = gallery.guards.iter().zip(columns);
            guards
                .filter_map(|(name, column)| Some((named(name)?, column.clone())))
                .collect()
        }
        None => {
            let guard = match chosen {
                Some(chosen) => named(&chosen.guard),
                None => experiment.guards.first(),
            };
            guard
                .map(|guard| (guard, "synthesis".to_owned()))
                .into_iter()
                .collect()
        }
    }
}

/// A few samples of each test set, of different classes or spread over it.
pub(super) fn pictures(
    experiment: &Experiment,
    chosen: Option<&Chosen>,
    parts: &[Part],
    units: &[Done],
    pipeline: &Pipeline,
) -> Result<Shown> {
    let guards = guards(experiment, chosen);
    let Some((first, _)) = guards.first() else {
        return Ok(Shown::default());
    };
    let shown: Vec<Vec<usize>> = parts.iter().map(shown).collect();
    let mut pictures = Vec::new();
    let mut position = 0;
    for done in units {
        let part = &parts[done.part];
        let size = part.set.shape().len();
        let image = |array: &Array, i: usize| array.values[i * size..(i + 1) * size].to_vec();
        let here = done.unit.first..done.unit.first + done.unit.len();
        let shown = shown[done.part].iter();
        let shown: Vec<&usize> = shown.filter(|index| here.contains(index)).collect();
        let made: Option<Vec<_>> = guards
            .iter()
            // Of noised images the first draw.
            .map(|(guard, _)| done.synthesised.get(&guard.name)?.first())
            .collect();
        if let Some(made) = made
            && !shown.is_empty()
        {
            let input = done.unit.images()?;
            let made = made.iter().map(|synthesis| synthesis.image.get(pipeline));
            let made = made.collect::<Result<Vec<_>>>()?;
            let reconstruction = match experiment.gallery {
                Some(_) => None,
                None => {
                    let made = done.reconstructed.get(&first.reconstruction().0);
                    made.and_then(|made| made.first())
                }
            };
            let reconstruction = reconstruction
                .map(|made| made.image.get(pipeline))
                .transpose()?;
            for index in shown {
                let i = index - done.unit.first;
                pictures.push(Picture {
                    sample: position + i,
                    input: image(&input, i),
                    reconstruction: reconstruction.as_deref().map(|made| image(made, i)),
                    syntheses: made.iter().map(|made| image(made, i)).collect(),
                });
            }
        }
        position += done.unit.len();
    }
    let columns = guards.into_iter().map(|(_, column)| column).collect();
    Ok(Shown { columns, pictures })
}

/// Which images of a test set are shown: one of each of the first classes that occur, or an even spread.
fn shown(part: &Part) -> Vec<usize> {
    let set = &part.set;
    match part.split {
        Split::IdTest => {
            let mut classes = Vec::new();
            let first_of_class = |index: &usize| {
                let new = !classes.contains(&set.labels()[*index]);
                classes.push(set.labels()[*index]);
                new
            };
            (0..set.len())
                .filter(first_of_class)
                .take(PICTURES_PER_SET)
                .collect()
        }
        Split::Near | Split::Far | Split::Extra => {
            let step = (set.len() / PICTURES_PER_SET).max(1);
            (0..set.len())
                .step_by(step)
                .take(PICTURES_PER_SET)
                .collect()
        }
        _ => Vec::new(),
    }
}
