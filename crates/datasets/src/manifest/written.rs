//! The entries of `datasets.toml` as they are written, and what they have to agree on to mean something.

use serde::Deserialize;

use super::{Archive, Checkpoint, Checksum, Holds, Place};
use crate::lists::Naming;

/// The keys of an archive as they are written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WrittenArchive {
    url: Option<String>,
    google_drive: Option<String>,
    google_drive_folder: Option<String>,
    npm: Option<String>,
    debian: Option<String>,
    by_hand: Option<String>,
    file: Option<String>,
    #[serde(default)]
    also: Vec<String>,
    #[serde(default)]
    unpacked: Vec<String>,
    holds: Holds,
    names: Option<Naming>,
    md5: Option<String>,
    sha256: Option<String>,
    sha256_prefix: Option<String>,
    #[serde(default)]
    unverified: bool,
    bytes: WrittenBytes,
    part: Option<String>,
    layout: String,
}

/// The keys of a checkpoint as they are written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WrittenCheckpoint {
    name: String,
    what: String,
    licence: String,
    used_by: Option<String>,
    caveat: Option<String>,
    url: Option<String>,
    google_drive: Option<String>,
    google_drive_folder: Option<String>,
    by_hand: Option<String>,
    file: Option<String>,
    #[serde(default)]
    also: Vec<String>,
    md5: Option<String>,
    sha256: Option<String>,
    sha256_prefix: Option<String>,
    #[serde(default)]
    unverified: bool,
    bytes: WrittenBytes,
    network: Option<toml::Table>,
}

/// A size, or the word `unknown`.
#[derive(Deserialize)]
#[serde(untagged)]
enum WrittenBytes {
    Known(u64),
    Word(String),
}

impl TryFrom<WrittenArchive> for Archive {
    type Error = String;

    fn try_from(raw: WrittenArchive) -> std::result::Result<Self, String> {
        let place = place([
            raw.url.map(Place::Url),
            raw.google_drive.map(Place::GoogleDrive),
            raw.google_drive_folder.map(Place::GoogleDriveFolder),
            raw.npm.map(Place::Npm),
            raw.debian.map(Place::Debian),
            raw.by_hand.map(Place::ByHand),
        ])?;
        if let Some(bad) = raw
            .unpacked
            .iter()
            .chain(&raw.also)
            .find(|folder| !is_plain(folder))
        {
            return Err(format!("unpacked, also: `{bad}` is no plain relative path"));
        }
        match (raw.holds, raw.names) {
            (Holds::Images, Some(Naming::Path(parts))) if parts > 0 => {}
            (Holds::Images, _) => return Err("images need names = { path = N }, N above 0".into()),
            (Holds::Other, Some(_)) => return Err("`other` has no names".into()),
            _ => {}
        }
        Ok(Self {
            file: file_name(&place, raw.file)?,
            also: raw.also,
            place,
            unpacked: raw.unpacked,
            holds: raw.holds,
            names: raw.names,
            checksum: checksum(raw.md5, raw.sha256, raw.sha256_prefix, raw.unverified)?,
            bytes: raw.bytes.known()?,
            part: raw.part,
            layout: raw.layout,
        })
    }
}

impl TryFrom<WrittenCheckpoint> for Checkpoint {
    type Error = String;

    fn try_from(raw: WrittenCheckpoint) -> std::result::Result<Self, String> {
        let place = place([
            raw.url.map(Place::Url),
            raw.google_drive.map(Place::GoogleDrive),
            raw.google_drive_folder.map(Place::GoogleDriveFolder),
            raw.by_hand.map(Place::ByHand),
        ])?;
        Ok(Self {
            name: raw.name,
            what: raw.what,
            licence: raw.licence,
            used_by: raw.used_by,
            caveat: raw.caveat,
            file: file_name(&place, raw.file)?,
            also: raw.also,
            place,
            checksum: checksum(raw.md5, raw.sha256, raw.sha256_prefix, raw.unverified)?,
            bytes: raw.bytes.known()?,
            network: raw.network,
        })
    }
}

impl WrittenBytes {
    fn known(self) -> std::result::Result<Option<u64>, String> {
        match self {
            Self::Known(bytes) => Ok(Some(bytes)),
            Self::Word(word) if word == "unknown" => Ok(None),
            Self::Word(word) => Err(format!("bytes = \"{word}\": give a number or \"unknown\"")),
        }
    }
}

/// The one place that is given.
fn place<const N: usize>(given: [Option<Place>; N]) -> std::result::Result<Place, String> {
    exactly_one(given).ok_or_else(|| {
        "give exactly one of url, google_drive, google_drive_folder, npm, debian, by_hand".into()
    })
}

/// The name of the file that a place gives: its own, unless one is given.
fn file_name(place: &Place, given: Option<String>) -> std::result::Result<String, String> {
    let name = match (given, place) {
        (Some(name), _) => name,
        (None, Place::Url(url)) => url.rsplit('/').next().unwrap_or_default().to_owned(),
        // `npm pack` names its file so.
        (None, Place::Npm(package)) => format!("{}.tgz", package.replace('@', "-")),
        (None, Place::ByHand(path)) => path.clone(),
        (None, Place::Debian(package)) => package.clone(),
        (None, Place::GoogleDriveFolder(id)) => id.clone(),
        (None, Place::GoogleDrive(_)) => {
            return Err("a file on Google Drive needs a name: file = \"...\"".into());
        }
    };
    match is_plain(&name) {
        true => Ok(name),
        false => Err(format!("file: `{name}` is no plain relative path")),
    }
}

/// Whether a path stays inside the folder that it is joined to.
fn is_plain(path: &str) -> bool {
    !path.contains(['\\', ':', '?'])
        && path
            .split('/')
            .all(|part| !part.is_empty() && part != "." && part != "..")
}

/// The one checksum that is given, if it can be one.
fn checksum(
    md5: Option<String>,
    sha256: Option<String>,
    sha256_prefix: Option<String>,
    unverified: bool,
) -> std::result::Result<Checksum, String> {
    let given = [
        md5.map(Checksum::Md5),
        sha256.map(Checksum::Sha256),
        sha256_prefix.map(Checksum::Sha256Prefix),
        unverified.then_some(Checksum::Unverified),
    ];
    let checksum = exactly_one(given)
        .ok_or("give exactly one of md5, sha256, sha256_prefix, unverified = true")?;
    let (digits, lengths) = match &checksum {
        Checksum::Md5(digits) => (digits.as_str(), 32..=32),
        Checksum::Sha256(digits) => (digits.as_str(), 64..=64),
        Checksum::Sha256Prefix(digits) => (digits.as_str(), 8..=63),
        Checksum::Unverified => ("", 0..=0),
    };
    let hexadecimal = digits
        .bytes()
        .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    if !hexadecimal || !lengths.contains(&digits.len()) {
        return Err(format!(
            "`{digits}` is no checksum of that kind in lower-case hexadecimal"
        ));
    }
    Ok(checksum)
}

fn exactly_one<T, const N: usize>(given: [Option<T>; N]) -> Option<T> {
    let mut given = given.into_iter().flatten();
    let first = given.next()?;
    given.next().is_none().then_some(first)
}
