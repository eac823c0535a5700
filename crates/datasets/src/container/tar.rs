//! Tar archives, plain and gzipped: ustar, GNU long names and pax.
//!
//! Headers are decoded by the crate `tar`; walking from one to the next is done here, so that a hostile size meets
//! a limit before anything is read.

use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use ::tar::{EntryType, Header, PaxExtensions};

use super::gzip::{Gunzip, Index};
use super::{AGAIN, ENTRY_LIMIT, Entry, FOREIGN, Format, NAME_LIMIT, Source, count, name};
use crate::{Error, Result};

/// Everything in a tar begins at a multiple of this.
const BLOCK: u64 = 512;

/// The most bytes of a long name or of extended attributes.
const EXTENSION_LIMIT: u64 = 64 << 10;

/// Whether a file that begins with these bytes is a tar: a header whose checksum is right, or the end mark alone.
pub(super) fn is_header(head: &[u8]) -> bool {
    let Ok(block) = <&[u8; BLOCK as usize]>::try_from(head) else {
        return false;
    };
    block.iter().all(|&byte| byte == 0) || checked(block).is_ok()
}

/// A header whose checksum is right.
fn checked(block: &[u8; BLOCK as usize]) -> std::result::Result<&Header, &'static str> {
    let header = Header::from_byte_slice(block);
    let sum = |bytes: &[u8]| bytes.iter().map(|&byte| u32::from(byte)).sum::<u32>();
    // The checksum's own eight bytes count as blanks.
    let sum = sum(&block[..148]) + 8 * u32::from(b' ') + sum(&block[156..]);
    match header.cksum() {
        Ok(announced) if announced == sum => Ok(header),
        _ => Err("the header's checksum does not fit"),
    }
}

/// A stream of blocks that is read forward.
trait Forward {
    /// Fills the buffer or fails.
    fn fill(&mut self, buffer: &mut [u8]) -> io::Result<()>;
    /// Passes over bytes, which have to be there.
    fn skip(&mut self, bytes: u64) -> io::Result<()>;
}

/// A plain tar from its first byte on.
struct Plain {
    source: Source,
    position: u64,
}

impl Forward for Plain {
    fn fill(&mut self, buffer: &mut [u8]) -> io::Result<()> {
        if self.source.read_at(buffer, self.position)? < buffer.len() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.position += buffer.len() as u64;
        Ok(())
    }

    fn skip(&mut self, bytes: u64) -> io::Result<()> {
        let end = self.position.checked_add(bytes);
        self.position = end
            .filter(|&end| end <= self.source.length())
            .ok_or(io::ErrorKind::UnexpectedEof)?;
        Ok(())
    }
}

impl Forward for Gunzip {
    fn fill(&mut self, buffer: &mut [u8]) -> io::Result<()> {
        self.read_exact(buffer)
    }

    fn skip(&mut self, bytes: u64) -> io::Result<()> {
        self.pass(bytes)
    }
}

/// The files of a tar and where the bytes of each begin.
fn list(path: &Path, stream: &mut impl Forward) -> Result<(Vec<Entry>, Vec<u64>)> {
    let (mut entries, mut offsets) = (Vec::new(), Vec::new());
    let mut at = 0u64;
    let mut long_name: Option<Vec<u8>> = None;
    let mut last = String::from("first header");
    loop {
        let mut block = [0; BLOCK as usize];
        stream.fill(&mut block).map_err(|error| {
            let problem = format!("no end mark follows ({error})");
            Error::format(path, format!("after {last}"), problem, AGAIN)
        })?;
        at += BLOCK;
        if block.iter().all(|&byte| byte == 0) {
            break;
        }
        let header = checked(&block)
            .map_err(|problem| Error::format(path, format!("after {last}"), problem, AGAIN))?;
        let raw = long_name
            .clone()
            .unwrap_or_else(|| header.path_bytes().into_owned());
        let fault =
            |problem: &str, mend: &str| Error::format(path, name::shown(&raw), problem, mend);
        let size = header
            .entry_size()
            .map_err(|error| fault(&error.to_string(), AGAIN))?;
        let padded = size
            .checked_next_multiple_of(BLOCK)
            .filter(|padded| padded.checked_add(at).is_some())
            .ok_or_else(|| fault("its size overflows", FOREIGN))?;
        let kind = header.entry_type();
        match kind {
            EntryType::GNULongName | EntryType::XHeader | EntryType::XGlobalHeader => {
                if size > EXTENSION_LIMIT {
                    let problem = format!("{size} bytes of attributes; at most {EXTENSION_LIMIT}");
                    return Err(fault(&problem, FOREIGN));
                }
                let mut bytes = vec![0; padded as usize];
                stream
                    .fill(&mut bytes)
                    .map_err(|error| fault(&error.to_string(), AGAIN))?;
                bytes.truncate(size as usize);
                match kind {
                    EntryType::GNULongName => {
                        let end = bytes.iter().position(|&byte| byte == 0);
                        bytes.truncate(end.unwrap_or(bytes.len()));
                        long_name = Some(bytes);
                    }
                    EntryType::XHeader => {
                        long_name = pax_path(&bytes)
                            .map_err(|problem| fault(problem, FOREIGN))?
                            .or(long_name);
                    }
                    _ => {}
                }
            }
            EntryType::Regular | EntryType::Continuous | EntryType::Directory => {
                let folder = kind.is_dir() || raw.ends_with(b"/");
                // A folder's name may be that of the root itself.
                if !(folder && is_root(&raw)) {
                    let name = name::normalised(&raw).map_err(|problem| fault(problem, FOREIGN))?;
                    if !folder {
                        count(path, entries.len())?;
                        offsets.push(at);
                        entries.push(Entry { name, bytes: size });
                    }
                }
                stream.skip(padded).map_err(|error| {
                    let problem = format!("{size} bytes are announced and not there ({error})");
                    fault(&problem, AGAIN)
                })?;
                long_name = None;
            }
            EntryType::Symlink | EntryType::Link | EntryType::GNULongLink => {
                return Err(fault("a link", FOREIGN));
            }
            _ => return Err(fault("neither a file nor a folder", FOREIGN)),
        }
        at += padded;
        last = name::shown(&raw[..raw.len().min(NAME_LIMIT)]);
    }
    Ok((entries, offsets))
}

fn is_root(raw: &[u8]) -> bool {
    matches!(raw, b"." | b"./" | b"/")
}

/// The name among pax attributes. A size there replaces the header's; only files too large to be read have one.
fn pax_path(bytes: &[u8]) -> std::result::Result<Option<Vec<u8>>, &'static str> {
    let mut path = None;
    for attribute in PaxExtensions::new(bytes) {
        let attribute = attribute.map_err(|_| "attributes that are not pax")?;
        match attribute.key_bytes() {
            b"path" => path = Some(attribute.value_bytes().to_vec()),
            b"size" => return Err("a size among the attributes: larger than 8 GiB, or made so"),
            b"GNU.sparse.major" | b"GNU.sparse.name" => return Err("a file with holes"),
            _ => {}
        }
    }
    Ok(path)
}

/// A plain tar.
pub(super) struct Tar {
    path: PathBuf,
    source: Source,
    offsets: Vec<u64>,
}

pub(super) fn open_plain(path: &Path, source: Source) -> Result<(Vec<Entry>, Tar)> {
    let mut stream = Plain {
        source: source.clone(),
        position: 0,
    };
    let (entries, offsets) = list(path, &mut stream)?;
    let tar = Tar {
        path: path.to_path_buf(),
        source,
        offsets,
    };
    Ok((entries, tar))
}

impl Format for Tar {
    fn read(&self, index: usize, entry: &Entry) -> Result<Vec<u8>> {
        self.source
            .bytes_at(self.offsets[index], entry.bytes)
            .map_err(|error| Error::format(&self.path, &entry.name, error.to_string(), AGAIN))
    }
}

/// A gzipped tar.
pub(super) struct TarGz {
    path: PathBuf,
    index: Index,
    /// Where the last read ended: the next file usually follows.
    last: Mutex<Option<Gunzip>>,
    offsets: Vec<u64>,
}

pub(super) fn open_gzip(path: &Path, source: Source) -> Result<(Vec<Entry>, TarGz)> {
    let mut stream = Gunzip::indexing(source);
    let (entries, offsets) = list(path, &mut stream)?;
    let index = stream
        .finish()
        .map_err(|error| Error::format(path, "gzip stream", error.to_string(), AGAIN))?;
    let tar = TarGz {
        path: path.to_path_buf(),
        index,
        last: Mutex::new(None),
        offsets,
    };
    Ok((entries, tar))
}

impl Format for TarGz {
    fn read(&self, index: usize, entry: &Entry) -> Result<Vec<u8>> {
        let offset = self.offsets[index];
        // A panic elsewhere leaves no half-read stream here: it is put back only when the read is done.
        let mut last = self
            .last
            .lock()
            .unwrap_or_else(|broken| broken.into_inner());
        let mut stream = self.index.seek(last.take(), offset);
        let mut bytes = Vec::new();
        let read = stream
            .pass(offset.saturating_sub(stream.position()))
            .and_then(|()| {
                Read::take(&mut stream, entry.bytes.min(ENTRY_LIMIT)).read_to_end(&mut bytes)
            });
        let fault = |problem: String| Error::format(&self.path, &entry.name, problem, AGAIN);
        read.map_err(|error| fault(error.to_string()))?;
        if bytes.len() as u64 != entry.bytes {
            return Err(fault(format!(
                "{} bytes where {} are announced",
                bytes.len(),
                entry.bytes
            )));
        }
        *last = Some(stream);
        Ok(bytes)
    }

    fn sequential(&self) -> bool {
        true
    }
}
