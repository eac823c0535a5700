//! Checksums as lowercase hexadecimal, and the keyed hash behind every random choice of this crate.

use md5::Md5;
use sha2::{Digest, Sha256};

/// SHA-256 of `bytes`, in hexadecimal.
pub fn sha256_hex(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// MD5 of `bytes`, in hexadecimal. Only to recognise files whose publishers print nothing better.
pub fn md5_hex(bytes: &[u8]) -> String {
    hex(&Md5::digest(bytes))
}

/// A SHA-256 over typed fields; lengths are part of it, so that fields cannot run into each other.
pub(crate) struct Fields(Sha256);

impl Fields {
    /// Starts a hash for one purpose.
    pub(crate) fn new(purpose: &str) -> Self {
        Self(Sha256::new()).bytes(purpose.as_bytes())
    }

    /// Adds bytes with their length.
    pub(crate) fn bytes(mut self, bytes: &[u8]) -> Self {
        self.0.update((bytes.len() as u64).to_le_bytes());
        self.0.update(bytes);
        self
    }

    /// Adds text with its length.
    pub(crate) fn text(self, text: &str) -> Self {
        self.bytes(text.as_bytes())
    }

    /// Adds a number.
    pub(crate) fn number(mut self, number: u64) -> Self {
        self.0.update(number.to_le_bytes());
        self
    }

    /// The hash in hexadecimal.
    pub(crate) fn hex(self) -> String {
        hex(&self.0.finalize())
    }

    /// The first eight bytes of the hash as a number: a uniform draw that depends on the fields alone.
    pub(crate) fn draw(self) -> u64 {
        self.0.finalize()[..8]
            .iter()
            .fold(0, |sum, &byte| sum << 8 | u64::from(byte))
    }

    /// The whole hash, to seed a random stream.
    pub(crate) fn seed(self) -> [u8; 32] {
        self.0.finalize().into()
    }
}

/// Lowercase hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_of_known_texts() {
        assert_eq!(md5_hex(b"abc"), "900150983cd24fb0d6963f7d28e17f72");
        assert_eq!(
            sha256_hex(b"abc"),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }

    #[test]
    fn fields_do_not_run_into_each_other() {
        let one = Fields::new("t").text("ab").text("c").hex();
        let other = Fields::new("t").text("a").text("bc").hex();
        assert_ne!(one, other);
    }
}
