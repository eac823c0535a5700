//! A folder of files. It is the user's own: links in it are followed.

use std::fs;
use std::path::{Path, PathBuf};

use super::{AGAIN, Entry, Format, count, name};
use crate::{Error, Result};

/// The deepest folder that is looked into; a link that leads back into itself ends here.
const DEEPEST: usize = 32;

/// Where it is.
pub(super) struct Folder(PathBuf);

pub(super) fn open(path: &Path) -> Result<(Vec<Entry>, Folder)> {
    let mut entries = Vec::new();
    walk(path, "", 0, &mut entries)?;
    entries.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    Ok((entries, Folder(path.to_path_buf())))
}

/// Appends the files under `root/below`.
fn walk(root: &Path, below: &str, depth: usize, entries: &mut Vec<Entry>) -> Result<()> {
    let dir = root.join(below);
    if depth > DEEPEST {
        let problem = format!("more than {DEEPEST} folders deep");
        let mend = "remove the link that leads back into the folder";
        return Err(Error::format(root, below, problem, mend));
    }
    for found in fs::read_dir(&dir).map_err(Error::io(&dir, "list the folder"))? {
        let found = found.map_err(Error::io(&dir, "list the folder"))?;
        let own = found.file_name();
        let own = name::normalised(own.as_encoded_bytes()).map_err(|problem| {
            let shown = name::shown(own.as_encoded_bytes());
            let mend = "rename the file or move it elsewhere";
            Error::format(&dir, shown, problem, mend)
        })?;
        let name = match below {
            "" => own,
            below => format!("{below}/{own}"),
        };
        let path = found.path();
        let metadata = fs::metadata(&path).map_err(Error::io(&path, "look at the file"))?;
        if metadata.is_dir() {
            walk(root, &name, depth + 1, entries)?;
        } else if metadata.is_file() {
            count(root, entries.len())?;
            entries.push(Entry {
                name,
                bytes: metadata.len(),
            });
        }
    }
    Ok(())
}

impl Format for Folder {
    fn read(&self, _: usize, entry: &Entry) -> Result<Vec<u8>> {
        let path = self.0.join(&entry.name);
        let bytes = fs::read(&path).map_err(Error::io(&path, "read the file"))?;
        if bytes.len() as u64 != entry.bytes {
            let problem = format!("{} bytes where {} were", bytes.len(), entry.bytes);
            return Err(Error::format(&self.0, &entry.name, problem, AGAIN));
        }
        Ok(bytes)
    }
}
