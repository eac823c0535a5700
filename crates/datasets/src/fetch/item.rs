//! A data set or a checkpoint as something to fetch: the ways to get it, each a number of parts, each part with the
//! places that have it.

use std::collections::{BTreeMap, BTreeSet};

use crate::manifest::{Checkpoint, Checksum, Dataset, Manifest, Place};
use crate::{Error, Result};

/// What a name in the manifest stands for.
#[derive(Clone, Debug)]
pub struct Item<'a> {
    /// Its name.
    pub name: &'a str,
    /// What it is.
    pub what: &'a str,
    /// Its licence, or `unknown`.
    pub licence: &'a str,
    /// The benchmarks' use of it.
    pub role: &'a str,
    /// A page about it.
    pub page: Option<&'a str>,
    /// Anything else worth knowing.
    pub note: Option<&'a str>,
    /// Where the repository has what is read of it.
    pub in_repository: Option<&'a str>,
    /// The ways to have it, the preferred one first.
    pub ways: Vec<Way<'a>>,
}

/// One way to have all of an item: one file, or all its parts.
#[derive(Clone, Debug)]
pub struct Way<'a> {
    /// For each part, the same file at one or more places.
    pub parts: Vec<Vec<Offer<'a>>>,
    /// Folders that hold the same, unpacked.
    pub unpacked: &'a [String],
    /// Which of the manifest's archives its first file is.
    pub archive: usize,
}

/// A file and where it can be had.
#[derive(Clone, Copy, Debug)]
pub struct Offer<'a> {
    /// Where.
    pub place: &'a Place,
    /// Under which name it is kept.
    pub file: &'a str,
    /// Under which other paths it may lie in a data folder.
    pub also: &'a [String],
    /// How to know that it is whole.
    pub checksum: &'a Checksum,
    /// Its size, where known.
    pub bytes: Option<u64>,
    /// Whether a file of another item has the same name, so that one found outside the item's own folder may be that.
    pub shared_name: bool,
}

impl Manifest {
    /// The data set or checkpoint called `name`.
    ///
    /// # Errors
    ///
    /// [`Error::Unknown`] lists the names there are.
    pub fn item(&self, name: &str) -> Result<Item<'_>> {
        self.items()
            .find(|item| item.name == name)
            .ok_or_else(|| Error::Unknown {
                kind: "data set or checkpoint",
                name: name.into(),
                known: self
                    .items()
                    .map(|item| item.name)
                    .collect::<Vec<_>>()
                    .join(", "),
            })
    }

    /// Every data set, then every checkpoint.
    pub fn items(&self) -> impl Iterator<Item = Item<'_>> {
        let mut owners: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for dataset in &self.datasets {
            for archive in &dataset.archives {
                owners
                    .entry(&archive.file)
                    .or_default()
                    .insert(&dataset.name);
            }
        }
        for checkpoint in &self.checkpoints {
            owners
                .entry(&checkpoint.file)
                .or_default()
                .insert(&checkpoint.name);
        }
        let datasets = self.datasets.iter().map(Item::from);
        let checkpoints = self.checkpoints.iter().map(Item::from);
        datasets.chain(checkpoints).map(move |mut item| {
            for offer in item
                .ways
                .iter_mut()
                .flat_map(|way| way.parts.iter_mut().flatten())
            {
                offer.shared_name = owners.get(offer.file).is_some_and(|names| names.len() > 1);
            }
            item
        })
    }
}

impl<'a> From<&'a Dataset> for Item<'a> {
    fn from(dataset: &'a Dataset) -> Self {
        let mut ways: Vec<Way> = Vec::new();
        let mut in_parts: Option<(usize, Vec<&str>)> = None;
        for (index, archive) in dataset.archives.iter().enumerate() {
            let offer = Offer {
                place: &archive.place,
                file: &archive.file,
                also: &archive.also,
                checksum: &archive.checksum,
                bytes: archive.bytes,
                shared_name: false,
            };
            let Some(part) = archive.part.as_deref() else {
                ways.push(Way {
                    parts: vec![vec![offer]],
                    unpacked: &archive.unpacked,
                    archive: index,
                });
                continue;
            };
            let (way, names) = in_parts.get_or_insert_with(|| {
                ways.push(Way {
                    parts: Vec::new(),
                    unpacked: &archive.unpacked,
                    archive: index,
                });
                (ways.len() - 1, Vec::new())
            });
            match names.iter().position(|name| *name == part) {
                Some(at) => ways[*way].parts[at].push(offer),
                None => {
                    names.push(part);
                    ways[*way].parts.push(vec![offer]);
                }
            }
        }
        Self {
            name: &dataset.name,
            what: &dataset.what,
            licence: &dataset.licence,
            role: &dataset.role,
            page: dataset.page.as_deref(),
            note: dataset.note.as_deref(),
            in_repository: dataset.in_repository.as_deref(),
            ways,
        }
    }
}

impl<'a> From<&'a Checkpoint> for Item<'a> {
    fn from(checkpoint: &'a Checkpoint) -> Self {
        Self {
            name: &checkpoint.name,
            what: &checkpoint.what,
            licence: &checkpoint.licence,
            role: checkpoint.used_by.as_deref().unwrap_or(&checkpoint.what),
            page: None,
            note: checkpoint.caveat.as_deref(),
            in_repository: None,
            ways: vec![Way {
                parts: vec![vec![Offer {
                    place: &checkpoint.place,
                    file: &checkpoint.file,
                    also: &checkpoint.also,
                    checksum: &checkpoint.checksum,
                    bytes: checkpoint.bytes,
                    shared_name: false,
                }]],
                unpacked: &[],
                archive: 0,
            }],
        }
    }
}

impl Item<'_> {
    /// The first way that the program can go by itself, with its size where that is known.
    pub fn free(&self) -> Option<(&Way<'_>, Option<u64>)> {
        let way = self.ways.iter().find(|way| way.is_free())?;
        Some((way, way.bytes()))
    }

    /// Whether the preferred way is the user's hands: the program then fetches nothing by itself.
    pub fn is_by_hand(&self) -> bool {
        let mut first = self.ways.iter().take(1).flat_map(Way::places);
        first.any(|place| matches!(place, Place::ByHand(_)))
    }

    /// How to get it: the command that fetches it, else what the user has to do.
    pub fn mend(&self) -> String {
        match self.is_by_hand() || self.free().is_none() {
            true => self.by_hand(),
            false => super::command(&[self.name]),
        }
    }

    /// What the user has to do where no way is free.
    pub fn by_hand(&self) -> String {
        let mut steps = Vec::new();
        for place in self.ways.iter().flat_map(Way::places) {
            match place {
                Place::ByHand(path) => steps.push(format!(
                    "put it into the data folder (--data DIR or DIFFGUARD_DATA) as {path}"
                )),
                Place::Debian(package) => steps.push(format!("sudo apt install {package}")),
                Place::GoogleDriveFolder(_) => steps.push(format!("fetch it from {place}")),
                _ => {}
            }
        }
        let mut text = steps.join(", or ");
        if let Some(note) = self.note.filter(|_| !text.is_empty()) {
            text = format!("{note}; {text}");
        }
        text
    }
}

impl Way<'_> {
    /// Its size, where that of every part is known.
    pub fn bytes(&self) -> Option<u64> {
        self.parts
            .iter()
            .map(|offers| offers.iter().find_map(|offer| offer.bytes))
            .sum()
    }

    /// Whether the program can fetch every part.
    pub fn is_free(&self) -> bool {
        self.parts
            .iter()
            .all(|offers| offers.iter().any(|offer| offer.place.is_free()))
    }

    /// Every place that it names.
    pub fn places(&self) -> impl Iterator<Item = &Place> {
        self.parts.iter().flatten().map(|offer| offer.place)
    }
}

impl Place {
    /// Whether the program can fetch from it.
    pub fn is_free(&self) -> bool {
        matches!(self, Self::Url(_) | Self::GoogleDrive(_) | Self::Npm(_))
    }
}
