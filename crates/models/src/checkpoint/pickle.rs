//! A look over a pickle before it is parsed: where each instruction ends, and how many there are.
//!
//! The parser (pytorch-reader) bounds nesting, copies and tensors, but it keeps up to a hundred bytes for every
//! one-byte instruction. A state dict needs some thirty instructions a tensor; a stream that goes on and on is hostile.

use std::io::BufRead;

/// Instructions that a checkpoint's pickles may have together; a real one has tens of thousands.
const MOST_INSTRUCTIONS: usize = 1_000_000;

/// Walks over one pickle up to and with its STOP, counting down `left`.
pub(super) fn walk(stream: &mut impl BufRead, left: &mut usize) -> Result<(), String> {
    loop {
        *left = left.checked_sub(1).ok_or_else(|| {
            format!("its pickle has more than {MOST_INSTRUCTIONS} instructions, no state dict has")
        })?;
        let [instruction] = bytes::<1>(stream)?;
        let argument = match instruction {
            b'.' => return Ok(()),
            b'('
            | b'0'
            | b'1'
            | b'2'
            | b'N'
            | b'R'
            | b'b'
            | b'd'
            | b'l'
            | b't'
            | b's'
            | b'a'
            | b')'
            | b']'
            | b'}'
            | b'e'
            | b'u'
            | b'Q'
            | b'o'
            | 0x81
            | 0x85..=0x89
            | 0x8f..=0x94
            | 0x97
            | 0x98 => 0,
            b'I' | b'L' | b'F' | b'V' | b'g' | b'p' | b'P' | b'S' => {
                line(stream)?;
                0
            }
            b'c' | b'i' => {
                line(stream)?;
                line(stream)?;
                0
            }
            b'K' | b'h' | b'q' | 0x80 | 0x82 => 1,
            b'M' | 0x83 => 2,
            b'J' | b'j' | b'r' | 0x84 => 4,
            b'G' | 0x95 => 8,
            b'U' | b'C' | 0x8a | 0x8c => u64::from(bytes::<1>(stream)?[0]),
            b'T' | b'X' | b'B' | 0x8b => u64::from(u32::from_le_bytes(bytes(stream)?)),
            0x8d | 0x8e | 0x96 => u64::from_le_bytes(bytes(stream)?),
            other => {
                return Err(format!(
                    "its pickle has the unknown instruction {other:#04x}"
                ));
            }
        };
        skip(stream, argument)?;
    }
}

/// The budget of [`walk`] at the start of a file.
pub(super) fn budget() -> usize {
    MOST_INSTRUCTIONS
}

fn early() -> String {
    "its pickle ends too early".into()
}

fn bytes<const N: usize>(stream: &mut impl BufRead) -> Result<[u8; N], String> {
    let mut bytes = [0; N];
    stream.read_exact(&mut bytes).map_err(|_| early())?;
    Ok(bytes)
}

fn line(stream: &mut impl BufRead) -> Result<(), String> {
    match stream.skip_until(b'\n') {
        Ok(count) if count > 0 => Ok(()),
        _ => Err(early()),
    }
}

fn skip(stream: &mut impl BufRead, mut count: u64) -> Result<(), String> {
    while count > 0 {
        let held = stream.fill_buf().map_err(|_| early())?.len();
        if held == 0 {
            return Err(early());
        }
        let step = count.min(held as u64);
        stream.consume(step as usize);
        count -= step;
    }
    Ok(())
}
