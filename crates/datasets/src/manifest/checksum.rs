//! How a download is told from a damaged one.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use md5::Md5;
use sha2::{Digest, Sha256};

use super::Place;
use crate::hash::hex;
use crate::{Error, Result};

/// What the publisher says about the bytes of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Checksum {
    /// MD5 in hexadecimal.
    Md5(String),
    /// SHA-256 in hexadecimal.
    Sha256(String),
    /// The first hexadecimal digits of the SHA-256.
    Sha256Prefix(String),
    /// None is known.
    Unverified,
}

impl Checksum {
    /// Checks the file at `path`. `true`: it is the published one; `false`: nobody has published a checksum, which
    /// the caller must pass on to the user.
    ///
    /// # Errors
    ///
    /// [`Error::Checksum`] where it is another file; `place` says where to get the right one.
    pub fn check(&self, path: &Path, place: &Place) -> Result<bool> {
        let (algorithm, expected, found) = match self {
            Self::Md5(expected) => ("md5", expected, digest::<Md5>(path)?),
            Self::Sha256(expected) | Self::Sha256Prefix(expected) => {
                ("sha256", expected, digest::<Sha256>(path)?)
            }
            Self::Unverified => return Ok(false),
        };
        let whole = !matches!(self, Self::Sha256Prefix(_));
        if found == *expected || (!whole && found.starts_with(expected)) {
            return Ok(true);
        }
        Err(Error::Checksum {
            path: path.to_path_buf(),
            expected: format!("{algorithm} {expected}{}", if whole { "" } else { "..." }),
            found: format!("{algorithm} {found}"),
            mend: format!("delete it and get it again: {place}"),
        })
    }
}

impl fmt::Display for Checksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Md5(digits) => write!(f, "md5 {digits}"),
            Self::Sha256(digits) => write!(f, "sha256 {digits}"),
            Self::Sha256Prefix(digits) => write!(f, "sha256 {digits}..."),
            Self::Unverified => f.write_str("unverified"),
        }
    }
}

/// The digest of a file of any size.
fn digest<D: Digest>(path: &Path) -> Result<String> {
    let mut file = File::open(path).map_err(Error::io(path, "open the file"))?;
    let mut digest = D::new();
    let mut block = vec![0; 1 << 20];
    loop {
        let count = file
            .read(&mut block)
            .map_err(Error::io(path, "read the file"))?;
        if count == 0 {
            return Ok(hex(&digest.finalize()));
        }
        digest.update(&block[..count]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::sha256_hex;

    #[test]
    fn checksums_tell_the_right_file_from_another() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        std::fs::write(&path, b"abc").unwrap();
        let place = Place::Url("https://example.org/file".into());
        let sha256 = sha256_hex(b"abc");
        assert!(
            Checksum::Sha256(sha256.clone())
                .check(&path, &place)
                .unwrap()
        );
        assert!(
            Checksum::Sha256Prefix(sha256[..8].into())
                .check(&path, &place)
                .unwrap()
        );
        assert!(
            Checksum::Md5("900150983cd24fb0d6963f7d28e17f72".into())
                .check(&path, &place)
                .unwrap()
        );
        assert!(!Checksum::Unverified.check(&path, &place).unwrap());
        let text = Checksum::Sha256Prefix("00000000".into())
            .check(&path, &place)
            .unwrap_err()
            .to_string();
        assert!(
            text.contains("example.org") && text.contains("00000000..."),
            "{text}"
        );
    }
}
