//! One run at a time in an output directory.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;

use crate::{Error, Result};

/// Holds an output directory until it is dropped or the process ends, however it ends.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl Lock {
    /// Makes the directory and takes its lock.
    ///
    /// # Errors
    /// [`Error::Locked`] names the process that holds it.
    pub fn take(directory: &Path) -> Result<Self> {
        std::fs::create_dir_all(directory).map_err(|error| Error::io(directory, &error))?;
        let path = directory.join(".lock");
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(|error| Error::io(&path, &error))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut owner = String::new();
                let _ = file.read_to_string(&mut owner);
                let owner = match owner.trim() {
                    "" => "another process".to_owned(),
                    owner => owner.to_owned(),
                };
                return Err(Error::Locked {
                    path: directory.to_owned(),
                    owner,
                });
            }
            Err(TryLockError::Error(error)) => return Err(Error::io(&path, &error)),
        }
        let owner = format!("process {} ({})\n", std::process::id(), command());
        file.set_len(0)
            .and_then(|()| file.seek(SeekFrom::Start(0)))
            .and_then(|_| file.write_all(owner.as_bytes()))
            .map_err(|error| Error::io(&path, &error))?;
        Ok(Self { _file: file })
    }
}

fn command() -> String {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    format!("cargo xtask {}", arguments.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_one_is_told_who_holds_the_directory() {
        let directory = tempfile::tempdir().unwrap();
        let first = Lock::take(directory.path()).unwrap();
        let error = Lock::take(directory.path()).unwrap_err().to_string();
        assert!(
            error.contains(&format!("process {}", std::process::id())),
            "{error}"
        );
        drop(first);
        Lock::take(directory.path()).unwrap();
    }
}
