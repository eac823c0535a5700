//! What of an item is at hand, and where.

use std::ffi::OsStr;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use super::item::{Item, Offer, Way};
use super::verified::{Condition, Verified};
use crate::manifest::Manifest;
use crate::{Error, Result};

/// The folders in which data is looked for and kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DataDirs {
    /// Folders that are only read, looked into first, in this order.
    pub data: Vec<PathBuf>,
    /// The folder that fetched files are kept in, one folder an item.
    pub cache: PathBuf,
}

/// What of an item is at hand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Presence {
    /// All of it.
    Present(Found),
    /// The beginning of a file, from a fetch that was stopped.
    Begun {
        /// The unfinished file.
        path: PathBuf,
        /// Bytes that are there.
        bytes: u64,
    },
    /// Some of its parts, the others not.
    Incomplete {
        /// How many parts are there.
        have: usize,
        /// How many are needed.
        need: usize,
    },
    /// A file that is not the published one, and nothing in its place.
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// Nothing.
    Missing,
}

/// Where an item is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Which of the data set's archives in the manifest it is (the first, where it comes in parts).
    pub archive: usize,
    /// Its files, one a part, or the folder that it is unpacked in.
    pub paths: Vec<PathBuf>,
    /// Whether every byte was checked against a published checksum.
    pub verified: bool,
    /// Whether it is an unpacked folder.
    pub unpacked: bool,
}

impl DataDirs {
    /// Where fetched files of `item` are kept.
    pub fn cache_of(&self, item: &str) -> PathBuf {
        self.cache.join(item)
    }

    /// Looks for `item`: every way in each data folder, then in the cache.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] where a file cannot be read.
    pub fn presence(&self, item: &Item<'_>) -> Result<Presence> {
        self.look(item, &Verified::open(&self.cache))
    }

    /// Where all of `name` is.
    ///
    /// # Errors
    ///
    /// [`Error::Unknown`]; [`Error::Missing`] with the command that fetches it, or with what the user has to put where;
    /// [`Error::Format`] for a damaged file; [`Error::Io`] where a file cannot be read.
    pub fn find(&self, manifest: &Manifest, name: &str) -> Result<Found> {
        let item = manifest.item(name)?;
        match self.presence(&item)? {
            Presence::Present(found) => Ok(found),
            Presence::Damaged { path, problem } => {
                Err(Error::format(&path, name, problem, item.mend()))
            }
            Presence::Missing => Err(self.missing(name.into(), &item)),
            part => Err(self.missing(format!("all of {name} ({part})"), &item)),
        }
    }

    fn missing(&self, what: String, item: &Item<'_>) -> Error {
        let dirs = self.data.iter().chain([&self.cache]);
        let looked: Vec<String> = dirs.map(|dir| dir.display().to_string()).collect();
        Error::Missing {
            what,
            looked: looked.join(", "),
            mend: item.mend(),
        }
    }

    pub(super) fn look(&self, item: &Item<'_>, verified: &Verified) -> Result<Presence> {
        let (mut damaged, mut incomplete, mut begun) = (None, None, None);
        for way in &item.ways {
            if let Some(found) = self.whole(item, way, verified, &mut damaged, &mut incomplete)? {
                return Ok(Presence::Present(found));
            }
            if let Some(folder) = self.unpacked(item, way) {
                return Ok(Presence::Present(Found {
                    archive: way.archive,
                    paths: vec![folder],
                    verified: false,
                    unpacked: true,
                }));
            }
            for offer in way.parts.iter().flatten() {
                let path = part_file(&self.cache_of(item.name).join(offer.file));
                if let Ok(metadata) = fs::metadata(&path) {
                    begun.get_or_insert(Presence::Begun {
                        path,
                        bytes: metadata.len(),
                    });
                }
            }
        }
        Ok(damaged
            .or(begun)
            .or(incomplete)
            .unwrap_or(Presence::Missing))
    }

    /// The files of one way, if all are there and none is damaged.
    fn whole(
        &self,
        item: &Item<'_>,
        way: &Way<'_>,
        verified: &Verified,
        damaged: &mut Option<Presence>,
        incomplete: &mut Option<Presence>,
    ) -> Result<Option<Found>> {
        let (mut paths, mut checked) = (Vec::new(), true);
        for offers in &way.parts {
            if let Some((path, condition)) = self.part(item, offers, verified, damaged)? {
                checked &= condition == Condition::Whole;
                paths.push(path);
            }
        }
        let (have, need) = (paths.len(), way.parts.len());
        if have < need {
            if have > 0 {
                incomplete.get_or_insert(Presence::Incomplete { have, need });
            }
            return Ok(None);
        }
        Ok(Some(Found {
            archive: way.archive,
            paths,
            verified: checked,
            unpacked: false,
        }))
    }

    /// The first undamaged file that is one of `offers`.
    pub(super) fn part(
        &self,
        item: &Item<'_>,
        offers: &[Offer<'_>],
        verified: &Verified,
        damaged: &mut Option<Presence>,
    ) -> Result<Option<(PathBuf, Condition)>> {
        for offer in offers {
            let data = self.data.iter().flat_map(|dir| {
                let own = [
                    (dir.join(item.name).join(offer.file), false),
                    (dir.join(offer.file), offer.shared_name),
                ];
                let also = offer.also.iter().map(|path| (dir.join(path), false));
                own.into_iter().chain(also)
            });
            let cached = self.cache_of(item.name).join(offer.file);
            for (path, may_be_another) in data.chain([(cached, false)]) {
                if !path.is_file() {
                    continue;
                }
                match verified.condition(&path, offer.checksum, offer.bytes, offer.place)? {
                    Condition::Damaged(_) if may_be_another => {}
                    Condition::Damaged(problem) => {
                        damaged.get_or_insert(Presence::Damaged { path, problem });
                    }
                    condition => return Ok(Some((path, condition))),
                }
            }
        }
        Ok(None)
    }

    /// The folder that somebody has unpacked the item into: there is more in it than its archive, fetched or half fetched. (Several
    /// files may be what others pack otherwise, as Debian does Fashion-MNIST.)
    fn unpacked(&self, item: &Item<'_>, way: &Way<'_>) -> Option<PathBuf> {
        let whole = item.ways.iter().filter(|way| way.parts.len() == 1);
        let offers = whole.flat_map(|way| way.parts.iter().flatten());
        let archives: Vec<&OsStr> = offers
            .filter_map(|offer| Path::new(offer.file).file_name())
            .collect();
        let is_content = |name: &OsStr| {
            let text = name.to_string_lossy();
            let is_part = archives.iter().any(|archive| {
                let archive = archive.to_string_lossy();
                text.strip_prefix(&*archive)
                    .is_some_and(|rest| rest.starts_with(".part"))
            });
            !text.starts_with('.') && !is_part && !archives.contains(&name)
        };
        let folders = self
            .data
            .iter()
            .flat_map(|dir| way.unpacked.iter().map(|name| dir.join(name)));
        folders.into_iter().find(|folder| {
            fs::read_dir(folder).is_ok_and(|entries| {
                entries
                    .flatten()
                    .any(|entry| is_content(&entry.file_name()))
            })
        })
    }
}

impl Presence {
    /// What is there of it, if anything is, before what is to be done.
    pub(super) fn before(&self, mend: String) -> String {
        match self {
            Self::Missing => mend,
            there => format!("what is there is {there}\n  {mend}"),
        }
    }
}

impl fmt::Display for Presence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Present(found) if found.unpacked => f.write_str("present, unpacked"),
            Self::Present(found) if !found.verified => f.write_str("present, unverified"),
            Self::Present(_) => f.write_str("present"),
            Self::Begun { bytes, .. } => write!(f, "begun, {bytes} bytes"),
            Self::Incomplete { have, need } => write!(f, "incomplete, {have} of {need} files"),
            Self::Damaged { path, problem } => write!(f, "damaged: {}: {problem}", path.display()),
            Self::Missing => f.write_str("missing"),
        }
    }
}

/// Where the beginning of `file` is kept until all of it is there.
pub(super) fn part_file(file: &Path) -> PathBuf {
    with_suffix(file, ".part")
}

/// `file` with something more at the end of its name.
pub(super) fn with_suffix(file: &Path, suffix: &str) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}
