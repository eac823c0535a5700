//! Which files were checked already, so that gigabytes are not hashed again to say that they are still there.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::UNIX_EPOCH;

use serde::{Deserialize, Serialize};

use crate::manifest::{Checksum, Place};
use crate::{Error, Result};

/// What is known of a file on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// Its checksum is the published one.
    Whole,
    /// Nobody has published a checksum; its size is right where that is known.
    Unverified,
    /// It is not the published file.
    Damaged(String),
}

/// The record of checks, `verified.json` in the cache.
#[derive(Debug)]
pub(super) struct Verified {
    path: PathBuf,
    checks: Mutex<BTreeMap<String, Check>>,
}

/// A check of one file; it holds as long as size and time are the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Check {
    bytes: u64,
    modified_ns: u128,
    checksum: String,
    damage: Option<String>,
}

impl Verified {
    /// The record in `cache`; one that cannot be read counts as empty.
    pub(super) fn open(cache: &Path) -> Self {
        let path = cache.join("verified.json");
        let checks = fs::read(&path)
            .ok()
            .and_then(|bytes| serde_json::from_slice(&bytes).ok());
        Self {
            path,
            checks: Mutex::new(checks.unwrap_or_default()),
        }
    }

    /// The condition of the file at `path`, which should be `bytes` long; hashes it only if it was not hashed since
    /// it was last changed.
    pub(super) fn condition(
        &self,
        path: &Path,
        checksum: &Checksum,
        bytes: Option<u64>,
        place: &Place,
    ) -> Result<Condition> {
        let metadata = fs::metadata(path).map_err(Error::io(path, "look at the file"))?;
        if let Some(bytes) = bytes.filter(|&bytes| bytes != metadata.len()) {
            let problem = format!("{} bytes where {bytes} are published", metadata.len());
            return Ok(Condition::Damaged(problem));
        }
        if metadata.len() == 0 {
            return Ok(Condition::Damaged("it is empty".into()));
        }
        if *checksum == Checksum::Unverified {
            return Ok(Condition::Unverified);
        }
        let modified = metadata.modified().ok();
        let modified_ns = modified
            .and_then(|time| time.duration_since(UNIX_EPOCH).ok())
            .map_or(0, |age| age.as_nanos());
        let key = fs::canonicalize(path)
            .unwrap_or_else(|_| path.to_path_buf())
            .display()
            .to_string();
        let wanted = checksum.to_string();
        let known = self.lock().get(&key).cloned().filter(|check| {
            modified_ns != 0
                && (check.bytes, check.modified_ns) == (metadata.len(), modified_ns)
                && check.checksum == wanted
        });
        let damage = match known {
            Some(check) => check.damage,
            None => {
                let damage = match checksum.check(path, place) {
                    Ok(_) => None,
                    Err(Error::Checksum {
                        expected, found, ..
                    }) => Some(format!("its {found} is not the published {expected}")),
                    Err(error) => return Err(error),
                };
                let check = Check {
                    bytes: metadata.len(),
                    modified_ns,
                    checksum: wanted,
                    damage: damage.clone(),
                };
                self.remember(key, check);
                damage
            }
        };
        Ok(damage.map_or(Condition::Whole, Condition::Damaged))
    }

    /// Adds a check; a record that cannot be written costs time later, nothing else.
    fn remember(&self, key: String, check: Check) {
        let mut checks = self.lock();
        checks.insert(key, check);
        let Some(folder) = self.path.parent() else {
            return;
        };
        let written = serde_json::to_vec_pretty(&*checks).ok().and_then(|bytes| {
            fs::create_dir_all(folder).ok()?;
            let file = tempfile::NamedTempFile::new_in(folder).ok()?;
            fs::write(file.path(), bytes).ok()?;
            file.persist(&self.path).ok()
        });
        let _ = written;
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Check>> {
        self.checks
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}
