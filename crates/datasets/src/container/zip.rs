//! Zip archives.

use std::io::Read;
use std::path::{Path, PathBuf};

use ::zip::ZipArchive;
use ::zip::result::ZipError;

use super::{AGAIN, ENTRY_LIMIT, Entry, FOREIGN, Format, Source, count, expansion, name};
use crate::{Error, Result};

/// A central directory, and for each entry its number in it.
pub(super) struct Zip {
    path: PathBuf,
    archive: ZipArchive<Source>,
    numbers: Vec<usize>,
}

pub(super) fn open(path: &Path, source: Source) -> Result<(Vec<Entry>, Zip)> {
    let packed = source.length();
    let fault = |entry: &str, error: ZipError| Error::format(path, entry, error.to_string(), AGAIN);
    let mut archive = ZipArchive::new(source).map_err(|error| fault("central directory", error))?;
    if archive.has_duplicate_names() {
        let problem = "a name occurs twice; which of the files is meant cannot be known";
        return Err(Error::format(path, "central directory", problem, FOREIGN));
    }
    let (mut entries, mut numbers) = (Vec::new(), Vec::new());
    let mut unpacked = 0u64;
    for number in 0..archive.len() {
        let file = archive
            .by_index_raw(number)
            .map_err(|error| fault(&format!("entry {number}"), error))?;
        let raw = file.name_raw();
        let refused = |problem: &str| Error::format(path, name::shown(raw), problem, FOREIGN);
        if file.is_symlink() {
            return Err(refused("a link"));
        }
        if file.encrypted() {
            return Err(refused("encrypted"));
        }
        let name = name::normalised(raw).map_err(refused)?;
        if file.is_dir() {
            continue;
        }
        unpacked = unpacked.saturating_add(file.size());
        if unpacked > expansion(packed) {
            return Err(refused(
                "the archive announces more than 100 times its own size: a bomb",
            ));
        }
        count(path, entries.len())?;
        numbers.push(number);
        entries.push(Entry {
            name,
            bytes: file.size(),
        });
    }
    let zip = Zip {
        path: path.to_path_buf(),
        archive,
        numbers,
    };
    Ok((entries, zip))
}

impl Format for Zip {
    fn read(&self, index: usize, entry: &Entry) -> Result<Vec<u8>> {
        let fault =
            |problem: String| Error::format(&self.path, entry.name.as_str(), problem, AGAIN);
        // A copy shares the directory and has a position of its own.
        let mut archive = self.archive.clone();
        let file = archive
            .by_index(self.numbers[index])
            .map_err(|error| fault(error.to_string()))?;
        let announced = entry.bytes.min(ENTRY_LIMIT);
        let mut bytes = Vec::new();
        // The checksum is compared where the file ends, so one byte more is asked for.
        file.take(announced + 1)
            .read_to_end(&mut bytes)
            .map_err(|error| fault(error.to_string()))?;
        if bytes.len() as u64 != entry.bytes {
            let (found, entry) = (bytes.len(), entry.bytes);
            return Err(fault(format!(
                "{found} bytes or more where {entry} are announced"
            )));
        }
        Ok(bytes)
    }
}
