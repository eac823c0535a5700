//! The sizes in a Parquet file's footer and page headers, before anything is set aside for them.
//!
//! Both are structs in Thrift's compact protocol, walked through here without regard to what most fields mean.

use parquet::file::metadata::ColumnChunkMetaData;

use super::GROUP_LIMIT;
use crate::container::{EXPANSION, Source};

/// The most bytes of a footer.
const FOOTER_LIMIT: u64 = 64 << 20;

/// The most columns and groups of columns.
const MOST_NODES: usize = 1000;

/// The most bytes of a page's header.
const HEADER_LIMIT: usize = 64 << 10;

/// What a page may hold unpacked beside [`EXPANSION`] times its packed size.
const PAGE_FLOOR: i64 = 1 << 20;

/// The deepest nesting.
const DEEPEST: usize = 16;

type Checked<T = ()> = Result<T, String>;

/// Whether a footer is there and announces no more than it holds.
pub(super) fn check_footer(source: &Source) -> Checked {
    let length = source.length();
    let tail = length
        .checked_sub(8)
        .and_then(|start| source.bytes_at(start, 8).ok())
        .ok_or("the file is too short")?;
    if !tail.ends_with(b"PAR1") {
        return Err("not a Parquet file, or cut short".into());
    }
    let size = u64::from(u32::from_le_bytes([tail[0], tail[1], tail[2], tail[3]]));
    if size > FOOTER_LIMIT {
        return Err(format!("a footer of {size} bytes"));
    }
    let start = (length - 8)
        .checked_sub(size)
        .ok_or_else(|| format!("{size} bytes are announced, the file has {length}"))?;
    let footer = source
        .bytes_at(start, size)
        .map_err(|error| error.to_string())?;
    let (mut nodes, mut children) = (0, 0i64);
    // The schema is field 2: of each of its elements, field 4 is the name and field 5 the number of children.
    walk(
        &mut &footer[..],
        &mut Vec::new(),
        &mut |path, value| match path {
            [2, 4] => nodes += 1,
            [2, 5] => children = children.max(if value < 0 { i64::MAX } else { value }),
            _ => {}
        },
    )?;
    if nodes > MOST_NODES || children > MOST_NODES as i64 {
        return Err(format!("more than {MOST_NODES} columns"));
    }
    Ok(())
}

/// Whether the pages of a column announce sizes that their bytes allow.
pub(super) fn check_pages(source: &Source, chunk: &ColumnChunkMetaData, rows: usize) -> Checked {
    let first = chunk
        .dictionary_page_offset()
        .unwrap_or(chunk.data_page_offset());
    let place = |number: i64| u64::try_from(number).map_err(|_| format!("an offset of {number}"));
    let mut at = place(first)?;
    place(chunk.data_page_offset())?;
    let end = at.saturating_add(place(chunk.compressed_size())?);
    if end > source.length() {
        return Err("a column reaches beyond the end of the file".into());
    }
    let mut unpacked = 0u64;
    while at < end {
        let room = (end - at).min(HEADER_LIMIT as u64);
        let bytes = source
            .bytes_at(at, room)
            .map_err(|error| error.to_string())?;
        let mut rest = &bytes[..];
        let (mut large, mut small, mut values, mut dictionary, mut worst) = (0, 0, 0, 0, 0);
        walk(&mut rest, &mut Vec::new(), &mut |path, value| {
            match path {
                [2] => large = value,
                [3] => small = value,
                [5 | 8, 1] => values = value,
                [7, 1] => dictionary = value,
                _ => {}
            }
            // No number in a page's header but a checksum and statistics is negative.
            if matches!(path, [2 | 3] | [5 | 7 | 8, 1] | [8, 2..=6]) {
                worst = worst.min(value);
            }
        })?;
        if worst < 0 {
            return Err(format!("a page announces {worst}"));
        }
        if large > PAGE_FLOOR + EXPANSION as i64 * small {
            return Err(format!(
                "a page announces {large} bytes out of {small}: a bomb"
            ));
        }
        if values > rows as i64 {
            return Err(format!("a page announces {values} of {rows} rows"));
        }
        // A value takes four bytes at least: a number, or the length of a text.
        if dictionary > large / 4 {
            return Err(format!(
                "a dictionary announces {dictionary} values in {large} bytes"
            ));
        }
        unpacked += large as u64;
        if unpacked > GROUP_LIMIT {
            return Err(format!("more than {GROUP_LIMIT} bytes in a row group"));
        }
        at += (bytes.len() - rest.len()) as u64 + small as u64;
    }
    Ok(())
}

/// Walks through a struct: whole numbers with their value and texts with their length are given to `visit`, with the
/// fields that lead to them. Lists may not announce more elements than bytes follow.
fn walk(rest: &mut &[u8], path: &mut Vec<i16>, visit: &mut dyn FnMut(&[i16], i64)) -> Checked {
    if path.len() >= DEEPEST {
        return Err("nested too deep".into());
    }
    let mut field = 0i16;
    loop {
        let byte = byte(rest)?;
        if byte == 0 {
            return Ok(());
        }
        field = match byte >> 4 {
            0 => signed(rest)? as i16,
            step => field.wrapping_add(i16::from(step)),
        };
        path.push(field);
        // True and false are in the type itself.
        if !matches!(byte & 15, 1 | 2) {
            value(byte & 15, rest, path, visit, 0)?;
        }
        path.pop();
    }
}

fn value(
    kind: u8,
    rest: &mut &[u8],
    path: &mut Vec<i16>,
    visit: &mut dyn FnMut(&[i16], i64),
    depth: usize,
) -> Checked {
    if depth > DEEPEST {
        return Err("nested too deep".into());
    }
    match kind {
        1..=3 => {
            byte(rest)?;
        }
        4..=6 => visit(path, signed(rest)?),
        7 => pass(rest, 8)?,
        8 => {
            let length = number(rest)?;
            pass(rest, length)?;
            visit(path, length as i64);
        }
        9 | 10 => {
            let head = byte(rest)?;
            let count = match head >> 4 {
                15 => number(rest)?,
                count => u64::from(count),
            };
            if count > rest.len() as u64 {
                return Err(format!("{count} elements in {} bytes", rest.len()));
            }
            for _ in 0..count {
                value(head & 15, rest, path, visit, depth + 1)?;
            }
        }
        12 => walk(rest, path, visit)?,
        _ => return Err(format!("a value of type {kind}")),
    }
    Ok(())
}

fn byte(rest: &mut &[u8]) -> Checked<u8> {
    let (&byte, after) = rest.split_first().ok_or("it ends in the middle")?;
    *rest = after;
    Ok(byte)
}

fn pass(rest: &mut &[u8], bytes: u64) -> Checked {
    let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
    *rest = rest.get(bytes..).ok_or("it ends in the middle")?;
    Ok(())
}

/// Seven bits a byte, the lowest first.
fn number(rest: &mut &[u8]) -> Checked<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let byte = byte(rest)?;
        number |= u64::from(byte & 127) << shift;
        if byte < 128 {
            return Ok(number);
        }
    }
    Err("a number of more than 64 bits".into())
}

/// The sign in the lowest bit.
fn signed(rest: &mut &[u8]) -> Checked<i64> {
    let number = number(rest)?;
    Ok((number >> 1).cast_signed() ^ -(number & 1).cast_signed())
}
