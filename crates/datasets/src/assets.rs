//! A folder of files that come with the repository, each listed with its checksum in a manifest beside them.

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::hash::sha256_hex;
use crate::{Error, Result, toml_file};

/// The manifest that lists the files of an asset folder.
pub const MANIFEST: &str = "manifest.toml";

/// One listed file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AssetFile {
    /// Where it lies, relative to the manifest, with forward slashes.
    pub path: String,
    /// What it is.
    pub what: String,
    /// Where it comes from.
    pub origin: String,
    /// Its licence.
    pub licence: String,
    /// Its size in bytes.
    pub bytes: u64,
    /// Its SHA-256 in hexadecimal.
    pub sha256: String,
}

/// The manifest as it is written.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Manifest {
    /// One `[[file]]` table each.
    #[serde(default)]
    file: Vec<AssetFile>,
}

/// An asset folder whose manifest has been read.
#[derive(Clone, Debug)]
pub struct Assets {
    dir: PathBuf,
    manifest: PathBuf,
    files: Vec<AssetFile>,
}

impl Assets {
    /// Reads `dir/manifest` (usually [`MANIFEST`]).
    ///
    /// # Errors
    ///
    /// [`Error::Missing`] without a manifest, [`Error::Format`] where it is not one.
    pub fn open(dir: &Path, manifest: &str) -> Result<Self> {
        let manifest = dir.join(manifest);
        if !manifest.is_file() {
            return Err(Error::Missing {
                what: format!("asset manifest {}", manifest.display()),
                looked: dir.display().to_string(),
                mend: format!(
                    "run from the repository's root, or bring it back with {}",
                    restore(dir)
                ),
            });
        }
        let Manifest { file: files } = toml_file::read(&manifest, &restore(dir))?;
        Ok(Self {
            dir: dir.to_path_buf(),
            manifest,
            files,
        })
    }

    /// The listed files.
    pub fn files(&self) -> &[AssetFile] {
        &self.files
    }

    /// The entry of the file listed as `path`.
    ///
    /// # Errors
    ///
    /// [`Error::Format`] where the manifest does not list it.
    pub fn entry(&self, path: &str) -> Result<&AssetFile> {
        self.files
            .iter()
            .find(|file| file.path == path)
            .ok_or_else(|| {
                Error::format(
                    &self.manifest,
                    format!("`{path}`"),
                    "not listed as a [[file]]",
                    restore(&self.dir),
                )
            })
    }

    /// Where the file listed as `path` lies.
    pub fn locate(&self, path: &str) -> PathBuf {
        self.dir.join(path)
    }

    /// The bytes of the file listed as `path`, checked.
    ///
    /// # Errors
    ///
    /// [`Error::Checksum`] where size or checksum are not the listed ones; [`Error::Io`]; [`Error::Format`] where
    /// it is not listed.
    pub fn read(&self, path: &str) -> Result<Vec<u8>> {
        let entry = self.entry(path)?;
        let place = self.locate(path);
        if !place.is_file() {
            return Err(Error::Missing {
                what: format!("asset {}", place.display()),
                looked: self.dir.display().to_string(),
                mend: restore(&self.dir),
            });
        }
        let bytes = fs::read(&place).map_err(Error::io(&place, "read the asset"))?;
        let found = sha256_hex(&bytes);
        if bytes.len() as u64 != entry.bytes || found != entry.sha256 {
            return Err(Error::Checksum {
                expected: format!("sha256 {} ({} bytes)", entry.sha256, entry.bytes),
                found: format!("sha256 {found} ({} bytes)", bytes.len()),
                mend: restore(&self.dir),
                path: place,
            });
        }
        Ok(bytes)
    }

    /// Reads every listed file and checks it.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read), for the first file at fault.
    pub fn verify(&self) -> Result<()> {
        self.files
            .iter()
            .try_for_each(|file| self.read(&file.path).map(drop))
    }
}

/// The text of a manifest that lists `files`, under `heading` (plain text, becomes comments).
///
/// # Errors
///
/// [`Error::Invalid`] where the entries cannot be written as TOML.
pub fn manifest_text(heading: &str, files: Vec<AssetFile>) -> Result<String> {
    let body = toml::to_string(&Manifest { file: files }).map_err(|error| Error::Invalid {
        what: "asset manifest".into(),
        problem: error.to_string(),
    })?;
    let heading: String = heading.lines().map(|line| format!("# {line}\n")).collect();
    Ok(format!("{heading}\n{body}"))
}

/// How to get the files of `dir` as they were.
fn restore(dir: &Path) -> String {
    format!(
        "`git checkout -- {}`, or clone the repository again",
        dir.display()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("a.bin"), b"abc").unwrap();
        let file = AssetFile {
            path: "a.bin".into(),
            what: "three letters".into(),
            origin: "the alphabet".into(),
            licence: "none".into(),
            bytes: 3,
            sha256: sha256_hex(b"abc"),
        };
        fs::write(
            dir.path().join(MANIFEST),
            manifest_text("What this is.", vec![file]).unwrap(),
        )
        .unwrap();
        dir
    }

    #[test]
    fn reads_listed_files() {
        let dir = folder();
        let assets = Assets::open(dir.path(), MANIFEST).unwrap();
        assert_eq!(assets.read("a.bin").unwrap(), b"abc");
        assets.verify().unwrap();
        assert!(
            assets
                .read("b.bin")
                .unwrap_err()
                .to_string()
                .contains("not listed")
        );
    }

    #[test]
    fn a_changed_file_names_both_checksums_and_the_mend() {
        let dir = folder();
        fs::write(dir.path().join("a.bin"), b"abd").unwrap();
        let text = Assets::open(dir.path(), MANIFEST)
            .unwrap()
            .read("a.bin")
            .unwrap_err()
            .to_string();
        for part in [
            "a.bin",
            &sha256_hex(b"abc"),
            &sha256_hex(b"abd"),
            "git checkout",
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
    }

    #[test]
    fn missing_and_malformed_manifests_are_named() {
        let dir = tempfile::tempdir().unwrap();
        assert!(
            Assets::open(dir.path(), MANIFEST)
                .unwrap_err()
                .to_string()
                .contains("git checkout")
        );
        fs::write(
            dir.path().join(MANIFEST),
            "[[file]]\npath = 'a'\ncolour = 'red'\n",
        )
        .unwrap();
        let text = Assets::open(dir.path(), MANIFEST).unwrap_err().to_string();
        assert!(text.contains("colour") && text.contains("line 3"), "{text}");
    }
}
