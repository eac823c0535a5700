//! Bytes that many threads read at once, each where it likes.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::Arc;

use crate::{Error, Result};

/// A file, or bytes in memory. Copies share them; each has a position of its own.
#[derive(Clone, Debug)]
pub struct Source {
    bytes: Bytes,
    length: u64,
    position: u64,
}

#[derive(Clone, Debug)]
enum Bytes {
    #[cfg(unix)]
    File(Arc<File>),
    #[cfg(not(unix))]
    File(Arc<std::sync::Mutex<File>>),
    Memory(Arc<Vec<u8>>),
}

impl Source {
    /// Opens a file.
    ///
    /// # Errors
    ///
    /// [`Error::Io`].
    pub fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).map_err(Error::io(path, "open the file"))?;
        let metadata = file
            .metadata()
            .map_err(Error::io(path, "look at the file"))?;
        #[cfg(not(unix))]
        let file = std::sync::Mutex::new(file);
        Ok(Self {
            bytes: Bytes::File(Arc::new(file)),
            length: metadata.len(),
            position: 0,
        })
    }

    /// Bytes in memory.
    pub fn memory(bytes: Vec<u8>) -> Self {
        Self {
            length: bytes.len() as u64,
            bytes: Bytes::Memory(Arc::new(bytes)),
            position: 0,
        }
    }

    /// Number of bytes.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Fills `buffer` from `offset` on, as far as there are bytes; how many came.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut filled = 0;
        while filled < buffer.len() {
            match self.read_some(&mut buffer[filled..], offset + filled as u64) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(filled)
    }

    fn read_some(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        match &self.bytes {
            #[cfg(unix)]
            Bytes::File(file) => std::os::unix::fs::FileExt::read_at(&**file, buffer, offset),
            #[cfg(not(unix))]
            Bytes::File(file) => {
                let mut file = file.lock().unwrap_or_else(|broken| broken.into_inner());
                file.seek(SeekFrom::Start(offset))?;
                file.read(buffer)
            }
            Bytes::Memory(bytes) => {
                let start = usize::try_from(offset).map_or(bytes.len(), |o| o.min(bytes.len()));
                (&bytes[start..]).read(buffer)
            }
        }
    }

    /// `size` bytes from `offset` on; memory is set aside only for what the source can give.
    ///
    /// # Errors
    ///
    /// The system's, or that it ends before.
    pub fn bytes_at(&self, offset: u64, size: u64) -> io::Result<Vec<u8>> {
        let end = offset.checked_add(size).filter(|&end| end <= self.length);
        let size = match (end, usize::try_from(size)) {
            (Some(_), Ok(size)) => size,
            _ => return Err(io::ErrorKind::UnexpectedEof.into()),
        };
        let mut bytes = vec![0; size];
        if self.read_at(&mut bytes, offset)? < size {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(bytes)
    }
}

impl Read for Source {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.read_at(buffer, self.position)?;
        self.position += read as u64;
        Ok(read)
    }
}

impl Seek for Source {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let place = match to {
            SeekFrom::Start(place) => Some(place),
            SeekFrom::End(by) => self.length.checked_add_signed(by),
            SeekFrom::Current(by) => self.position.checked_add_signed(by),
        };
        self.position = place.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.position)
    }
}
