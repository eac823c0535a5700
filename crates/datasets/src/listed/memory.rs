//! Images of archives that hold them as one block of values, such as CIFAR's and MNIST's: small, so read as a whole.

use std::path::PathBuf;

use super::Pictures;
use crate::lists::{Half, Naming, Target};
use crate::transforms::Picture;
use crate::{Error, ImageSet, ImageShape, Result};

/// One or both halves of a data set in memory.
pub(super) struct Block {
    path: PathBuf,
    naming: Naming,
    halves: Vec<(Half, ImageSet)>,
    /// For each half and class, the places of its images.
    classes: Vec<Vec<Vec<usize>>>,
}

impl Block {
    /// Takes halves with labels from 0, images in the archive's order.
    pub(super) fn new(path: PathBuf, naming: Naming, halves: Vec<(Half, ImageSet)>) -> Self {
        let places = |set: &ImageSet| {
            let mut places: Vec<Vec<usize>> = Vec::new();
            for (index, &label) in set.labels.iter().enumerate() {
                let label = usize::try_from(label).unwrap_or(0);
                if places.len() <= label {
                    places.resize_with(label + 1, Vec::new);
                }
                places[label].push(index);
            }
            places
        };
        Self {
            classes: halves.iter().map(|(_, set)| places(set)).collect(),
            path,
            naming,
            halves,
        }
    }

    /// The number of an image: those of the first half come first.
    fn number(&self, half: usize, index: usize) -> usize {
        let before = self.halves[..half].iter().map(|(_, set)| set.len());
        before.sum::<usize>() + index
    }
}

impl Pictures for Block {
    fn find(&self, name: &str) -> Result<Option<usize>> {
        let target = self.naming.target(name)?;
        let (wanted, index, expected) = match target {
            Target::Entry(_) => return Ok(None),
            Target::Nth { half, class, nth } => {
                let Some(at) = self.halves.iter().position(|(own, _)| *own == half) else {
                    return Ok(None);
                };
                let place = self.classes[at]
                    .get(class)
                    .and_then(|places| places.get(nth - 1));
                return Ok(place.map(|&index| self.number(at, index)));
            }
            Target::Record { half, index, label } => (half, index, label),
        };
        let Some(at) = self.halves.iter().position(|(half, _)| *half == wanted) else {
            return Ok(None);
        };
        let Some(&label) = self.halves[at].1.labels.get(index) else {
            return Ok(None);
        };
        if usize::try_from(label) != Ok(expected) {
            return Err(Error::format(
                &self.path,
                format!("{} image {index}", wanted.name()),
                format!("its label is {label} where the list name `{name}` says {expected}"),
                "this is another file than the official one: get it again",
            ));
        }
        Ok(Some(self.number(at, index)))
    }

    fn encoded(&self, _: usize) -> Result<Option<Vec<u8>>> {
        Ok(None)
    }

    fn picture(&self, number: usize) -> Result<Picture> {
        let mut index = number;
        for (_, set) in &self.halves {
            if index < set.len() {
                return in_colours(set.shape, set.image(index));
            }
            index -= set.len();
        }
        Err(Error::Invalid {
            what: self.path.display().to_string(),
            problem: format!("there is no image {number}"),
        })
    }

    fn path(&self) -> String {
        self.path.display().to_string()
    }
}

/// An image in three colours; grey becomes three equal ones, as PIL does it.
pub(crate) fn in_colours(shape: ImageShape, values: &[u8]) -> Result<Picture> {
    let copies = if shape.channels == 1 { 3 } else { 1 };
    let shape = ImageShape {
        channels: shape.channels * copies,
        ..shape
    };
    Picture::new(shape, values.repeat(copies))
}
