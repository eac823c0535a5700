//! Samples whose pictures go into the grid.

use super::{Chosen, Done};
use crate::Result;
use crate::experiment::Experiment;
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
    /// The synthesis under the predicted label.
    pub synthesis: Vec<f32>,
}

/// Pictures of each set in the grid.
const PICTURES_PER_SET: usize = 4;

/// A few samples of each test set, of different classes or spread over it, by the chosen guard (or the first one).
pub(super) fn pictures(
    experiment: &Experiment,
    chosen: Option<&Chosen>,
    parts: &[Part],
    units: &[Done],
    pipeline: &Pipeline,
) -> Result<Vec<Picture>> {
    let guard = chosen
        .map(|chosen| chosen.guard.as_str())
        .or(experiment.guards.first().map(|g| g.name.as_str()));
    let guard = guard.and_then(|name| experiment.guards.iter().find(|guard| guard.name == name));
    let Some(guard) = guard else {
        return Ok(Vec::new());
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
        if let Some(synthesis) = done.synthesised.get(&guard.name)
            && !shown.is_empty()
        {
            let (input, made) = (done.unit.images()?, synthesis.image.get(pipeline)?);
            let reconstruction = done.reconstructed.get(&guard.reconstruction().0);
            let reconstruction = reconstruction
                .map(|made| made.image.get(pipeline))
                .transpose()?;
            for index in shown {
                let i = index - done.unit.first;
                pictures.push(Picture {
                    sample: position + i,
                    input: image(&input, i),
                    reconstruction: reconstruction.as_deref().map(|made| image(made, i)),
                    synthesis: image(&made, i),
                });
            }
        }
        position += done.unit.len();
    }
    Ok(pictures)
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
