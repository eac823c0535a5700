//! OpenOOD's image lists (v1 and v1.5): which image belongs to which split, and where it is in the official archives.
//!
//! The lists come with the crate, compressed (`lists/openood.tar.zst`); where they are from is told in
//! `lists/README.md`.

mod list;
mod naming;

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;

pub use list::{ImageList, ListEntry};
pub(crate) use naming::last_parts;
pub use naming::{Half, Naming, Target};

use crate::{Error, Result};

/// The archive that comes with the crate.
const ARCHIVE: &[u8] = include_bytes!("../../lists/openood.tar.zst");

/// What errors call it.
const ARCHIVE_NAME: &str = "crates/datasets/lists/openood.tar.zst";

/// The most that it may unpack to, bytes.
const UNPACKED_LIMIT: u64 = 64 << 20;

/// The text of every list.
#[derive(Clone, Debug)]
pub struct Lists(BTreeMap<String, String>);

impl Lists {
    /// Unpacks the lists that come with the crate, 24 MB of text.
    ///
    /// # Errors
    ///
    /// [`Error::Format`] where the crate was built from a damaged archive.
    pub fn open() -> Result<Self> {
        let path = Path::new(ARCHIVE_NAME);
        let fault = |error: std::io::Error| {
            let mend = format!("`git checkout -- {ARCHIVE_NAME}`, then build again");
            Error::format(path, "archive", error.to_string(), mend)
        };
        let unpacked = zstd::Decoder::new(ARCHIVE)
            .map_err(fault)?
            .take(UNPACKED_LIMIT);
        let mut lists = BTreeMap::new();
        for entry in tar::Archive::new(unpacked).entries().map_err(fault)? {
            let mut entry = entry.map_err(fault)?;
            let name = entry.path().map_err(fault)?.display().to_string();
            if let Some(name) = name.strip_suffix(".txt") {
                let mut text = String::new();
                entry.read_to_string(&mut text).map_err(fault)?;
                lists.insert(name.to_owned(), text);
            }
        }
        Ok(Self(lists))
    }

    /// The names of the lists, such as `v1/cifar10/test_mnist`, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// The text of the list called `name`, if there is one.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// The list called `name`.
    ///
    /// # Errors
    ///
    /// [`Error::Unknown`] lists the names there are; [`Error::Format`] names a line that is none.
    pub fn get(&self, name: &str) -> Result<ImageList> {
        let text = self.text(name).ok_or_else(|| Error::Unknown {
            kind: "image list",
            name: name.into(),
            known: self.names().collect::<Vec<_>>().join(", "),
        })?;
        ImageList::parse(name, text)
    }
}
