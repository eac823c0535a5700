//! Files that are there whole or not at all.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::{Error, Result};

/// Writes `bytes` to `path` so that a reader sees the old file or the new one, never a part.
///
/// The bytes go to a temporary sibling (`.<name>.<process>.tmp`), are flushed to the disk, and the sibling is
/// renamed over `path`. Missing parent directories are created.
///
/// # Errors
///
/// [`Error::Write`] with the path and what mends it; the temporary sibling is removed again.
pub fn write_atomic(path: impl AsRef<Path>, bytes: impl AsRef<[u8]>) -> Result<()> {
    let path = path.as_ref();
    let sibling = sibling(path).map_err(|source| failure(path, source))?;
    replace(path, &sibling, bytes.as_ref()).map_err(|source| {
        // The first failure is the one worth reporting; a sibling that was never made cannot be removed.
        let _ = fs::remove_file(&sibling);
        failure(path, source)
    })
}

fn replace(path: &Path, sibling: &Path, bytes: &[u8]) -> io::Result<()> {
    let parent = parent(path);
    fs::create_dir_all(parent)?;
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .open(sibling)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    drop(file);
    fs::rename(sibling, path)?;
    // The rename is on the disk only once the directory is; some file systems cannot sync a directory.
    if let Ok(directory) = File::open(parent) {
        let _ = directory.sync_all();
    }
    Ok(())
}

fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

fn sibling(path: &Path) -> io::Result<PathBuf> {
    let Some(name) = path.file_name() else {
        return Err(io::Error::new(
            io::ErrorKind::IsADirectory,
            "the path names no file",
        ));
    };
    let mut hidden = OsString::from(".");
    hidden.push(name);
    hidden.push(format!(".{}.tmp", std::process::id()));
    Ok(parent(path).join(hidden))
}

fn failure(path: &Path, source: io::Error) -> Error {
    let directory = parent(path).display();
    let mend = match source.kind() {
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            format!("make the directory {directory} writable or choose another output directory")
        }
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "the disk is full, free some space and run the command again".to_owned()
        }
        io::ErrorKind::NotADirectory | io::ErrorKind::AlreadyExists => {
            format!("a file stands where the directory {directory} should be, move it away")
        }
        io::ErrorKind::IsADirectory => "it names a directory, give the path of a file".to_owned(),
        io::ErrorKind::FileTooLarge => {
            "it is larger than this process may write, raise the limit (ulimit -f) and run the command again".to_owned()
        }
        _ => format!("{source}; check the directory {directory} and run the command again"),
    };
    Error::Write {
        path: path.to_owned(),
        mend,
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replaces_the_file_and_leaves_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/er/metrics.csv");
        write_atomic(&path, "old").unwrap();
        write_atomic(&path, "new").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "new");
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }

    #[test]
    fn a_failure_names_the_path_and_the_mend_and_cleans_up() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "in the way").unwrap();
        let text = write_atomic(file.join("metrics.csv"), "x")
            .unwrap_err()
            .to_string();
        assert!(
            text.contains("metrics.csv") && text.contains("move it away"),
            "{text}"
        );

        let text = write_atomic(folder.path(), "x").unwrap_err().to_string();
        assert!(text.contains("give the path of a file"), "{text}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
