//! Safetensors files: the header once, then each tensor by its place in the file.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::sync::{Arc, Mutex, PoisonError};

use safetensors::tensor::{Dtype as Stored, Metadata};

use super::source::{Dtype, Entry};

/// The largest header that the format allows.
const LARGEST_HEADER: u64 = 100_000_000;
/// Bytes of the header's length, in front of it.
const PREFIX: u64 = 8;

type Entries = BTreeMap<String, Entry>;
type Bytes = dyn Fn(u64, usize) -> Result<Vec<u8>, String> + Send + Sync;

/// Whether a file that begins with `start` is one: the header's length, then the header's brace.
pub(super) fn begins_like(start: &[u8]) -> bool {
    start.get(PREFIX as usize) == Some(&b'{')
}

/// The tensors of an open file of `length` bytes.
pub(super) fn entries(file: File, length: u64) -> Result<Entries, String> {
    let file = Mutex::new(file);
    let read = move |from: u64, count: usize| {
        let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
        let mut bytes = vec![0; count];
        file.seek(SeekFrom::Start(from))
            .and_then(|_| file.read_exact(&mut bytes))
            .map_err(|error| error.to_string())?;
        Ok(bytes)
    };
    parse(length, Arc::new(read))
}

/// The tensors of a file that lies in memory.
pub(super) fn entries_of_bytes(bytes: Vec<u8>) -> Result<Entries, String> {
    let length = bytes.len() as u64;
    let read = move |from: u64, count: usize| {
        let from = from as usize;
        bytes
            .get(from..from + count)
            .map(<[u8]>::to_vec)
            .ok_or_else(|| "it ends too early".to_owned())
    };
    parse(length, Arc::new(read))
}

/// `read(from, count)` gives the bytes of a file of `length` bytes.
fn parse(length: u64, read: Arc<Bytes>) -> Result<Entries, String> {
    let damaged = |why: String| format!("it is not a whole safetensors file ({why})");
    if length < PREFIX {
        return Err(damaged("too short".into()));
    }
    let prefix = read(0, PREFIX as usize)?;
    let prefix = <[u8; PREFIX as usize]>::try_from(prefix.as_slice())
        .map_err(|_| damaged("too short".into()))?;
    let header = u64::from_le_bytes(prefix);
    if header > LARGEST_HEADER || header > length - PREFIX {
        return Err(damaged(format!("a header of {header} bytes")));
    }
    let text = read(PREFIX, header as usize)?;
    let metadata: Metadata =
        serde_json::from_slice(&text).map_err(|error| damaged(error.to_string()))?;
    let data = PREFIX + header;
    let mut entries = Entries::new();
    let mut end = data;
    let mut tensors: Vec<_> = metadata.tensors().into_iter().collect();
    tensors.sort_by_key(|(_, info)| info.data_offsets);
    for (name, info) in tensors {
        let dtype = match info.dtype {
            Stored::F64 => Dtype::F64,
            Stored::F32 => Dtype::F32,
            Stored::F16 => Dtype::F16,
            Stored::BF16 => Dtype::BF16,
            Stored::I64 | Stored::U64 => Dtype::Whole(8),
            Stored::I32 | Stored::U32 => Dtype::Whole(4),
            Stored::I16 | Stored::U16 => Dtype::Whole(2),
            Stored::I8 | Stored::U8 | Stored::BOOL => Dtype::Whole(1),
            other => return Err(damaged(format!("`{name}` has the type {other:?}"))),
        };
        let bytes = info
            .shape
            .iter()
            .try_fold(dtype.size(), |n, &axis| n.checked_mul(axis))
            .ok_or_else(|| damaged(format!("`{name}` has the shape {:?}", info.shape)))?;
        let from = data.checked_add(info.data_offsets.0 as u64);
        let to = from.and_then(|from| from.checked_add(bytes as u64));
        let ends = data.checked_add(info.data_offsets.1 as u64);
        let (Some(from), Some(to)) = (from, to) else {
            return Err(damaged(format!("`{name}` lies outside the file")));
        };
        if from != end || ends != Some(to) || to > length {
            return Err(damaged(format!("`{name}` lies outside its place")));
        }
        end = to;
        let read = read.clone();
        entries.insert(
            name,
            Entry::new(dtype, info.shape.clone(), move || read(from, bytes)),
        );
    }
    match end == length {
        true => Ok(entries),
        false => Err(damaged(format!("{length} bytes where {end} are due"))),
    }
}
