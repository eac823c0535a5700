//! Files in a folder of this machine, or in memory.

use std::collections::BTreeMap;
use std::io::ErrorKind;
#[cfg(unix)]
use std::path::Path;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use diffguard_report::write_atomic;

use super::Files;
use crate::{Error, Result};

/// A folder; it is made when something is written.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
}

impl Folder {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path }
    }
}

impl Files for Folder {
    fn read(&self, folder: &str, name: &str) -> Result<Option<Vec<u8>>> {
        let path = self.path.join(folder).join(name);
        match std::fs::read(&path) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::io(&path, &error)),
        }
    }

    fn write(&self, folder: &str, name: &str, bytes: Vec<u8>) -> Result<()> {
        let folder = self.path.join(folder);
        std::fs::create_dir_all(&folder).map_err(|error| Error::io(&folder, &error))?;
        Ok(write_atomic(folder.join(name), &bytes)?)
    }

    fn names(&self, folder: &str) -> Result<Vec<String>> {
        let folder = self.path.join(folder);
        let entries = match std::fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(Error::io(&folder, &error)),
        };
        // A file that a process was cut off from is hidden, and none.
        Ok(entries
            .flatten()
            .filter_map(|entry| entry.file_name().into_string().ok())
            .filter(|name| !name.starts_with('.'))
            .collect())
    }

    fn place(&self) -> String {
        self.path.display().to_string()
    }

    #[cfg(unix)]
    fn free_bytes(&self) -> Option<u64> {
        // The folder itself may not be there yet.
        let there = self.path.ancestors().find(|path| path.exists())?;
        let there = match there.as_os_str().is_empty() {
            true => Path::new("."),
            false => there,
        };
        let system = rustix::fs::statvfs(there).ok()?;
        Some(system.f_bavail * system.f_frsize)
    }
}

/// Nothing is left of it after the run.
#[derive(Debug, Default)]
pub(super) struct Memory {
    files: Mutex<BTreeMap<(String, String), Vec<u8>>>,
}

impl Files for Memory {
    fn read(&self, folder: &str, name: &str) -> Result<Option<Vec<u8>>> {
        let files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(files.get(&(folder.to_owned(), name.to_owned())).cloned())
    }

    fn write(&self, folder: &str, name: &str, bytes: Vec<u8>) -> Result<()> {
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        files.insert((folder.to_owned(), name.to_owned()), bytes);
        Ok(())
    }

    fn names(&self, folder: &str) -> Result<Vec<String>> {
        let files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        let here = files.keys().filter(|(of, _)| of == folder);
        Ok(here.map(|(_, name)| name.clone()).collect())
    }

    fn place(&self) -> String {
        "memory".into()
    }
}
