//! Whether a file is the one that was meant.

use std::fmt::Write;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use sha2::{Digest, Sha256};

use super::Source;
use crate::Error;

/// Bytes that are read at once.
const BLOCK: usize = 1 << 20;

fn hexadecimal(digest: &[u8]) -> String {
    digest.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// SHA-256 of bytes, in hexadecimal.
pub fn sha256(bytes: &[u8]) -> String {
    hexadecimal(&Sha256::digest(bytes))
}

/// SHA-256 of a file of any size, in hexadecimal.
///
/// # Errors
/// [`Error::Read`] when it cannot be read.
pub fn file_sha256(path: &Path) -> Result<String, Error> {
    let unreadable = |source| Error::Read {
        path: path.to_owned(),
        source,
    };
    let mut file = File::open(path).map_err(unreadable)?;
    let mut digest = Sha256::new();
    let mut block = vec![0; BLOCK];
    loop {
        match file.read(&mut block).map_err(unreadable)? {
            0 => return Ok(hexadecimal(&digest.finalize())),
            count => digest.update(&block[..count]),
        }
    }
}

/// Opens a checkpoint, and refuses it when its SHA-256 is not the `expected` one (where one is known).
///
/// # Errors
/// [`Error::Checksum`] when it is not the file that was meant, else as [`Source::open`].
pub fn open_verified(path: &Path, expected: Option<&str>) -> Result<Source, Error> {
    if let Some(expected) = expected {
        let found = file_sha256(path)?;
        if expected != found {
            return Err(Error::Checksum {
                path: path.to_owned(),
                expected: expected.to_owned(),
                found,
            });
        }
    }
    Source::open(path)
}
