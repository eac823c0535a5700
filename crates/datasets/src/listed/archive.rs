//! Images that are files in a folder or an archive.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use super::Pictures;
use crate::container::Container;
use crate::lists::{Naming, Target};
use crate::transforms::Picture;
use crate::{Error, Result, decode};

/// A container whose files are found by the last parts of their paths.
pub(super) struct Files {
    container: Container,
    naming: Naming,
    /// By the last parts; `None` where two files end alike.
    places: HashMap<String, Option<usize>>,
}

impl Files {
    pub(super) fn new(container: Container, parts: usize) -> Self {
        let mut places = HashMap::with_capacity(container.len());
        for (index, entry) in container.entries().iter().enumerate() {
            let Some(end) = crate::lists::last_parts(&entry.name, parts) else {
                continue;
            };
            match places.entry(end.to_owned()) {
                Entry::Vacant(place) => {
                    place.insert(Some(index));
                }
                Entry::Occupied(mut place) => {
                    place.insert(None);
                }
            }
        }
        Self {
            container,
            naming: Naming::Path(parts),
            places,
        }
    }
}

impl Pictures for Files {
    fn find(&self, name: &str) -> Result<Option<usize>> {
        let Target::Entry(end) = self.naming.target(name)? else {
            return Ok(None);
        };
        match self.places.get(&end) {
            None => Ok(None),
            Some(Some(index)) => Ok(Some(*index)),
            Some(None) => Err(Error::format(
                self.container.path(),
                end,
                "two files end like this; which of them is meant cannot be known",
                "point to the folder of this one data set",
            )),
        }
    }

    fn encoded(&self, number: usize) -> Result<Option<Vec<u8>>> {
        self.container.read_index(number).map(Some)
    }

    fn picture(&self, number: usize) -> Result<Picture> {
        let entry = &self.container.entries()[number].name;
        decode::rgb(
            &self.container.read_index(number)?,
            self.container.path(),
            entry,
        )
    }

    fn path(&self) -> String {
        self.container.path().display().to_string()
    }
}
