//! The IDX format of MNIST and Fashion-MNIST, plain or gzipped.
//!
//! A file is a magic number `00 00 TT DD` (type, dimensions), one big-endian 32-bit count for each dimension, and
//! the values. The reader trusts none of it: every count is weighed against the length of the file before memory
//! is set aside for it.

use std::fs;
use std::io::Read;
use std::path::Path;

use flate2::Crc;
use flate2::bufread::GzDecoder;

use crate::{Error, Result};

/// The most bytes that an IDX file may hold when unpacked (the largest in use, MNIST's, has 47 million).
pub const LIMIT: u64 = 1 << 30;

/// Deflate packs no byte better than this, so a gzip file cannot hold more.
const DEFLATE_RATIO: u64 = 1032;

/// The type code for unsigned bytes, the only one that image data sets use.
const UNSIGNED_BYTE: u8 = 0x08;

/// The most dimensions that are read.
const MOST_DIMENSIONS: u8 = 4;

/// Unsigned bytes with a shape.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Idx {
    /// The extent of each dimension, slowest first; images are `[sample, height, width]`.
    pub dims: Vec<usize>,
    /// The values, `dims` multiplied of them.
    pub data: Vec<u8>,
}

/// Reads an IDX file of unsigned bytes with `dimensions` dimensions (3 for images, 1 for labels).
///
/// # Errors
///
/// A system error, or [`Error::Format`] where the file is not a whole IDX file of that kind.
pub fn read(path: &Path, dimensions: usize) -> Result<Idx> {
    let length = fs::metadata(path)
        .map_err(Error::io(path, "look at the file"))?
        .len();
    if length > LIMIT {
        return Err(too_large(path, "file", length));
    }
    let bytes = fs::read(path).map_err(Error::io(path, "read the file"))?;
    parse(path, &bytes, dimensions)
}

/// Reads IDX `bytes`, plain or gzipped; `path` only names them in errors.
///
/// # Errors
///
/// [`Error::Format`] where they are not a whole IDX file with `dimensions` dimensions.
pub fn parse(path: &Path, bytes: &[u8], dimensions: usize) -> Result<Idx> {
    let idx = if bytes.starts_with(&[0x1f, 0x8b]) {
        parse_gzip(path, bytes)?
    } else {
        parse_plain(path, bytes)?
    };
    if idx.dims.len() != dimensions {
        return Err(Error::format(
            path,
            "magic number",
            format!(
                "{} dimension(s) where {dimensions} are needed",
                idx.dims.len()
            ),
            "images have 3 dimensions and labels 1: check that the two files are not interchanged",
        ));
    }
    Ok(idx)
}

/// Unpacks a gzip stream whose unpacked size is at most [`LIMIT`]; plain bytes are returned as they are. What comes
/// back is not yet known to be IDX; `path` only names the bytes in errors.
///
/// # Errors
///
/// [`Error::Format`] where the stream is damaged or too large.
pub fn unpack(path: &Path, bytes: &[u8]) -> Result<Vec<u8>> {
    if !bytes.starts_with(&[0x1f, 0x8b]) {
        return Ok(bytes.to_vec());
    }
    let mut unpacked = Vec::new();
    let mut decoder = GzDecoder::new(bytes);
    decoder
        .by_ref()
        .take(LIMIT + 1)
        .read_to_end(&mut unpacked)
        .map_err(|error| damaged(path, &error))?;
    if unpacked.len() as u64 > LIMIT {
        return Err(too_large(path, "gzip stream", unpacked.len() as u64));
    }
    nothing_after(path, decoder.into_inner())?;
    Ok(unpacked)
}

/// The bytes of an IDX file, gzipped without name or time, so that equal values give equal bytes.
///
/// # Errors
///
/// [`Error::Invalid`] where `dims` do not fit `data` or the format.
pub fn write_gzip(dims: &[usize], data: &[u8]) -> Result<Vec<u8>> {
    let invalid = |problem: String| Error::Invalid {
        what: "IDX array".into(),
        problem,
    };
    if dims.is_empty() || dims.len() > usize::from(MOST_DIMENSIONS) {
        return Err(invalid(format!(
            "{} dimensions; 1 to {MOST_DIMENSIONS} can be written",
            dims.len()
        )));
    }
    let size = dims
        .iter()
        .try_fold(1usize, |size, &dim| size.checked_mul(dim));
    if size != Some(data.len()) {
        return Err(invalid(format!(
            "shape {dims:?} does not fit {} values",
            data.len()
        )));
    }
    let mut plain = vec![0, 0, UNSIGNED_BYTE, dims.len() as u8];
    for &dim in dims {
        let dim = u32::try_from(dim)
            .map_err(|_| invalid(format!("an extent of {dim} does not fit 32 bits")))?;
        plain.extend(dim.to_be_bytes());
    }
    plain.extend_from_slice(data);
    Ok(pack(&plain))
}

/// A gzip stream that follows from `plain` alone: the header has no name and no time and calls the system unknown
/// (255). The compressor is named here, since the default one of [`flate2`] depends on what else is built with it
/// and the fastest ones depend on the processor.
fn pack(plain: &[u8]) -> Vec<u8> {
    const BEST: u8 = 10;
    let mut sum = Crc::new();
    sum.update(plain);
    let mut packed = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 2, 255];
    packed.extend(miniz_oxide::deflate::compress_to_vec(plain, BEST));
    packed.extend(sum.sum().to_le_bytes());
    packed.extend(sum.amount().to_le_bytes());
    packed
}

/// Reads a plain IDX file, whose length is known.
fn parse_plain(path: &Path, bytes: &[u8]) -> Result<Idx> {
    let mut rest = bytes;
    let dims = read_header(path, &mut rest)?;
    let expected = size_of(path, &dims)?;
    let found = rest.len() as u64;
    if found != expected {
        return Err(wrong_length(path, &dims, expected, found));
    }
    Ok(Idx {
        dims,
        data: rest.to_vec(),
    })
}

/// Reads a gzipped IDX file: the header first, then no more than it announces and the packed bytes can hold.
fn parse_gzip(path: &Path, bytes: &[u8]) -> Result<Idx> {
    let mut decoder = GzDecoder::new(bytes);
    let dims = read_header(path, &mut decoder)?;
    let expected = size_of(path, &dims)?;
    let bound = (bytes.len() as u64).saturating_mul(DEFLATE_RATIO);
    if expected > bound {
        return Err(wrong_length(path, &dims, expected, bound));
    }
    let mut data = Vec::with_capacity(expected as usize);
    decoder
        .by_ref()
        .take(expected + 1)
        .read_to_end(&mut data)
        .map_err(|error| damaged(path, &error))?;
    if data.len() as u64 != expected {
        return Err(wrong_length(path, &dims, expected, data.len() as u64));
    }
    nothing_after(path, decoder.into_inner())?;
    Ok(Idx { dims, data })
}

/// Reads magic number and counts.
fn read_header(path: &Path, source: &mut impl Read) -> Result<Vec<usize>> {
    let magic = read_word(path, source, "magic number")?;
    let [zero, also_zero, kind, dimensions] = magic;
    if [zero, also_zero] != [0, 0] {
        let little_endian = [kind, dimensions] == [0, 0] && also_zero == UNSIGNED_BYTE;
        let (problem, mend) = if little_endian {
            (
                "bytes in reverse order: the file was written little-endian",
                "write it big-endian, as IDX demands",
            )
        } else {
            (
                "not an IDX file",
                "download the file again; a web page saved under its name looks like this",
            )
        };
        return Err(Error::format(
            path,
            "magic number",
            format!("{problem} ({magic:02x?})"),
            mend,
        ));
    }
    if kind != UNSIGNED_BYTE {
        return Err(Error::format(
            path,
            "magic number",
            format!("value type 0x{kind:02x} where unsigned bytes (0x08) are needed"),
            "convert the values to unsigned bytes",
        ));
    }
    if !(1..=MOST_DIMENSIONS).contains(&dimensions) {
        return Err(Error::format(
            path,
            "magic number",
            format!("{dimensions} dimensions; 1 to {MOST_DIMENSIONS} can be read"),
            "download the file again",
        ));
    }
    (0..dimensions)
        .map(|dimension| {
            let word = read_word(path, source, &format!("count of dimension {dimension}"))?;
            Ok(u32::from_be_bytes(word) as usize)
        })
        .collect()
}

/// Reads four bytes.
fn read_word(path: &Path, source: &mut impl Read, entry: &str) -> Result<[u8; 4]> {
    let mut word = [0; 4];
    source.read_exact(&mut word).map_err(|error| {
        Error::format(
            path,
            entry,
            format!("the file ends or is damaged here ({error})"),
            "download the file again",
        )
    })?;
    Ok(word)
}

/// The number of values that `dims` announce, if it is within [`LIMIT`].
fn size_of(path: &Path, dims: &[usize]) -> Result<u64> {
    let size = dims
        .iter()
        .try_fold(1u64, |size, &dim| size.checked_mul(dim as u64))
        .unwrap_or(u64::MAX);
    if size <= LIMIT {
        return Ok(size);
    }
    let swapped = dims.iter().try_fold(1u64, |size, &dim| {
        size.checked_mul(u64::from((dim as u32).swap_bytes()))
    });
    if swapped.is_some_and(|size| size <= LIMIT) {
        return Err(Error::format(
            path,
            "counts",
            format!(
                "{dims:?} values, plausible only in reverse byte order: the file was written little-endian"
            ),
            "write it big-endian, as IDX demands",
        ));
    }
    Err(too_large(path, "counts", size))
}

fn wrong_length(path: &Path, dims: &[usize], expected: u64, found: u64) -> Error {
    let problem = if found < expected {
        format!("the header announces {expected} bytes ({dims:?}), the file can give only {found}")
    } else {
        format!("bytes follow after the {expected} ({dims:?}) that the header announces")
    };
    Error::format(
        path,
        "values",
        problem,
        "the file is cut short or joined with another: download it again",
    )
}

fn too_large(path: &Path, entry: &str, size: u64) -> Error {
    let problem = if size == u64::MAX {
        "overflow".into()
    } else {
        format!("{size} bytes")
    };
    Error::format(
        path,
        entry,
        format!("{problem}; at most {LIMIT} are read"),
        "check that this is the data set's own file",
    )
}

fn damaged(path: &Path, error: &std::io::Error) -> Error {
    Error::format(
        path,
        "gzip stream",
        format!("damaged or cut short ({error})"),
        "download the file again",
    )
}

fn nothing_after(path: &Path, rest: &[u8]) -> Result<()> {
    if rest.is_empty() {
        return Ok(());
    }
    let problem = format!("{} bytes follow after its end", rest.len());
    Err(Error::format(
        path,
        "gzip stream",
        problem,
        "download the file again",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(dims: &[u32], data: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0, 0, 8, dims.len() as u8];
        dims.iter().for_each(|dim| bytes.extend(dim.to_be_bytes()));
        bytes.extend_from_slice(data);
        bytes
    }

    fn message(bytes: &[u8], dimensions: usize) -> String {
        parse(Path::new("some/file.gz"), bytes, dimensions)
            .unwrap_err()
            .to_string()
    }

    #[test]
    fn reads_what_it_writes() {
        let data: Vec<u8> = (0..60).collect();
        let packed = write_gzip(&[3, 4, 5], &data).unwrap();
        assert_eq!(packed, write_gzip(&[3, 4, 5], &data).unwrap());
        assert_eq!(&packed[4..8], [0; 4], "no time in the gzip header");
        let idx = parse(Path::new("x"), &packed, 3).unwrap();
        assert_eq!((idx.dims, idx.data), (vec![3, 4, 5], data));
    }

    #[test]
    fn write_refuses_a_shape_that_does_not_fit() {
        assert!(write_gzip(&[3, 4], &[0; 13]).is_err());
        assert!(write_gzip(&[], &[]).is_err());
    }

    #[test]
    fn errors_name_file_entry_and_mend() {
        let whole = plain(&[2, 2, 2], &[7; 8]);
        let text = message(&whole[..whole.len() - 1], 3);
        for part in ["some/file.gz", "values", "announces 8", "mend: "] {
            assert!(text.contains(part), "{part} in {text}");
        }
        let mut longer = whole.clone();
        longer.push(0);
        assert!(message(&longer, 3).contains("bytes follow"));
        assert!(message(&whole, 1).contains("interchanged"));
        assert!(message(b"<html>", 3).contains("web page"));
        assert!(message(&[0, 0, 0x0d, 1, 0, 0, 0, 0], 1).contains("unsigned bytes"));
        assert!(message(&[0, 0], 1).contains("magic number"));
    }

    #[test]
    fn little_endian_files_are_recognised() {
        assert!(message(&[3, 8, 0, 0, 1, 0, 0, 0], 3).contains("little-endian"));
        let mut bytes = vec![0, 0, 8, 3];
        [10_000u32, 28, 28]
            .iter()
            .for_each(|dim| bytes.extend(dim.to_le_bytes()));
        assert!(message(&bytes, 3).contains("little-endian"));
    }

    #[test]
    fn huge_counts_are_refused_before_memory_is_set_aside() {
        assert!(message(&plain(&[u32::MAX, u32::MAX, u32::MAX], &[]), 3).contains("at most"));
        // Within the limit, but more than these few packed bytes could ever hold.
        assert!(message(&pack(&plain(&[1 << 30], &[1; 100])), 1).contains("can give only"));
    }

    #[test]
    fn gzip_faults_are_named() {
        let packed = write_gzip(&[64], &[9; 64]).unwrap();
        assert!(message(&packed[..packed.len() - 1], 1).contains("gzip stream"));
        let mut flipped = packed.clone();
        let crc = flipped.len() - 6;
        flipped[crc] ^= 1;
        assert!(message(&flipped, 1).contains("gzip stream"));
        let mut longer = packed;
        longer.extend([0; 5]);
        assert!(message(&longer, 1).contains("5 bytes follow"));
    }
}
