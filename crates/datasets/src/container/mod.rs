//! Folders and archives whose files are read by name, without unpacking.
//!
//! A [`Container`] is a folder, a `.tar`, a `.tar.gz` or a `.zip`; which of them, its content says. Opening it lists
//! its files; [`read`](Container::read) then fetches any of them, from any thread:
//!
//! | format | how a file is found | cost of one |
//! | --- | --- | --- |
//! | folder | its path | the file |
//! | `.tar` | offsets, noted when opened | the file |
//! | `.zip` | the central directory | inflating the file |
//! | `.tar.gz` | decompressor states, noted when opened (see [`gzip`]) | inflating some megabytes; the next file at once |
//!
//! Nothing is ever written. Archives come from strangers: a name that leads out of the archive, a link, a name that
//! occurs twice and a size beyond the limits below are errors when it is opened, and no size that an archive
//! announces is believed before the bytes are there.

mod folder;
pub mod gzip;
mod name;
mod source;
mod tar;
mod zip;

use std::collections::HashMap;
use std::collections::hash_map::Entry as Place;
use std::fmt;
use std::path::{Path, PathBuf};

pub use source::Source;

use crate::{Error, Result};

/// The most bytes of one file (the largest in use, CIFAR-100's `train.bin`, has 154 million).
pub const ENTRY_LIMIT: u64 = 256 << 20;

/// The most files.
pub const ENTRIES_LIMIT: usize = 4_000_000;

/// The longest name, in bytes.
pub const NAME_LIMIT: usize = 1024;

/// What a compressed archive may hold unpacked: [`EXPANSION_FLOOR`], and this many times its own size more. Pictures
/// hardly shrink; what exceeds this is a bomb.
pub const EXPANSION: u64 = 100;

/// See [`EXPANSION`].
pub const EXPANSION_FLOOR: u64 = 64 << 20;

/// What to do about a damaged archive.
const AGAIN: &str = "the archive is damaged or cut short: download it again";

/// What to do about an archive that no data set ships.
const FOREIGN: &str = "no data set ships such an archive: get it from the official source";

/// A file in a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its name from the container's root down, parts divided by `/`, none of them `.` or `..`.
    pub name: String,
    /// Its size.
    pub bytes: u64,
}

/// A format: the files of a container by their number.
trait Format: Send + Sync {
    /// The bytes of a file.
    fn read(&self, index: usize, entry: &Entry) -> Result<Vec<u8>>;

    /// Whether a file after another is much cheaper than one before it.
    fn sequential(&self) -> bool {
        false
    }
}

/// A folder or an archive, opened.
pub struct Container {
    path: PathBuf,
    entries: Vec<Entry>,
    places: HashMap<String, usize>,
    format: Box<dyn Format>,
}

impl fmt::Debug for Container {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Container({}, {} files)",
            self.path.display(),
            self.len()
        )
    }
}

impl Container {
    /// Opens a folder or an archive and lists its files.
    ///
    /// # Errors
    ///
    /// [`Error::Io`]; [`Error::Format`] for what is none of the formats, is damaged, or holds what is refused.
    pub fn open(path: &Path) -> Result<Self> {
        let metadata = path
            .metadata()
            .map_err(Error::io(path, "look at the folder or archive"))?;
        if metadata.is_dir() {
            let (entries, format) = folder::open(path)?;
            return Self::new(path, entries, Box::new(format));
        }
        Self::archive(path, Source::open(path)?)
    }

    /// Opens an archive that is in memory; `path` only names it in errors.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    pub fn from_bytes(path: &Path, bytes: Vec<u8>) -> Result<Self> {
        Self::archive(path, Source::memory(bytes))
    }

    fn archive(path: &Path, source: Source) -> Result<Self> {
        let mut head = [0; 512];
        let read = source
            .read_at(&mut head, 0)
            .map_err(Error::io(path, "read the archive"))?;
        match &head[..read] {
            [0x1f, 0x8b, ..] => {
                let (entries, format) = tar::open_gzip(path, source)?;
                Self::new(path, entries, Box::new(format))
            }
            [b'P', b'K', 3, 4, ..] | [b'P', b'K', 5, 6, ..] => {
                let (entries, format) = zip::open(path, source)?;
                Self::new(path, entries, Box::new(format))
            }
            head if tar::is_header(head) => {
                let (entries, format) = tar::open_plain(path, source)?;
                Self::new(path, entries, Box::new(format))
            }
            _ => Err(Error::format(
                path,
                "first bytes",
                "neither a tar, a gzipped tar nor a zip",
                "download the file again; a web page saved under its name looks like this",
            )),
        }
    }

    fn new(path: &Path, entries: Vec<Entry>, format: Box<dyn Format>) -> Result<Self> {
        let mut places = HashMap::with_capacity(entries.len());
        for (index, entry) in entries.iter().enumerate() {
            match places.entry(entry.name.clone()) {
                Place::Vacant(place) => place.insert(index),
                Place::Occupied(_) => {
                    return Err(Error::format(
                        path,
                        &entry.name,
                        "the name occurs twice; which of the files is meant cannot be known",
                        FOREIGN,
                    ));
                }
            };
        }
        Ok(Self {
            path: path.to_path_buf(),
            entries,
            places,
            format,
        })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its files, in the order in which they lie (in a folder: by name).
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Number of files.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether it holds no file.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The place of a file in [`entries`](Self::entries).
    pub fn position(&self, name: &str) -> Option<usize> {
        self.places.get(name).copied()
    }

    /// Whether there is a file of that name.
    pub fn contains(&self, name: &str) -> bool {
        self.places.contains_key(name)
    }

    /// Whether files that are read in the order of [`entries`](Self::entries) come much cheaper (`.tar.gz`).
    pub fn sequential(&self) -> bool {
        self.format.sequential()
    }

    /// The bytes of a file.
    ///
    /// # Errors
    ///
    /// [`Error::Missing`] where there is none of that name, [`Error::Format`] where it is damaged or larger than
    /// [`ENTRY_LIMIT`], [`Error::Io`].
    pub fn read(&self, name: &str) -> Result<Vec<u8>> {
        let index = self.position(name).ok_or_else(|| Error::Missing {
            what: format!("file `{name}`"),
            looked: self.path.display().to_string(),
            mend: match self.entries.first() {
                Some(first) => {
                    let first = &first.name;
                    format!("check that this is the right archive; its first file is `{first}`")
                }
                None => "it is empty: download or unpack the data set again".into(),
            },
        })?;
        self.read_index(index)
    }

    /// The bytes of the file at a place in [`entries`](Self::entries).
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read).
    ///
    /// # Panics
    ///
    /// If `index` is not below [`len`](Self::len).
    pub fn read_index(&self, index: usize) -> Result<Vec<u8>> {
        let entry = &self.entries[index];
        if entry.bytes > ENTRY_LIMIT {
            let problem = format!("{} bytes; at most {ENTRY_LIMIT} are read", entry.bytes);
            return Err(Error::format(&self.path, &entry.name, problem, FOREIGN));
        }
        self.format.read(index, entry)
    }
}

/// An error where there are more files than [`ENTRIES_LIMIT`].
fn count(path: &Path, entries: usize) -> Result<()> {
    if entries < ENTRIES_LIMIT {
        return Ok(());
    }
    let problem = format!("more than {ENTRIES_LIMIT} files");
    Err(Error::format(path, "list of files", problem, FOREIGN))
}

/// The most bytes that an archive of `packed` bytes may hold.
fn expansion(packed: u64) -> u64 {
    EXPANSION_FLOOR.saturating_add(packed.saturating_mul(EXPANSION))
}
