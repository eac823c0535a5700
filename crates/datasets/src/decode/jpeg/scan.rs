//! Frames, scans and their entropy coding.

use super::{Tables, ZIGZAG};

/// Codes of up to this many bits are looked up.
const QUICK: u32 = 9;

/// A table of codes.
pub(super) struct Huffman {
    /// For the next bits: the symbol, and its code's length in the upper byte; 0 where the code is longer.
    quick: [u16; 1 << QUICK],
    /// For each length: the first code above those of that length, left-aligned in 16 bits.
    ends: [u32; 17],
    /// For each length: what is added to a code to find its symbol.
    offsets: [i32; 17],
    symbols: Vec<u8>,
}

impl Huffman {
    pub(super) fn new(counts: &[u8; 16], symbols: &[u8]) -> Option<Self> {
        let mut table = Self {
            quick: [0; 1 << QUICK],
            ends: [0; 17],
            offsets: [0; 17],
            symbols: symbols.to_vec(),
        };
        let (mut code, mut met) = (0u32, 0usize);
        for (length, &count) in (1..=16u32).zip(counts) {
            table.offsets[length as usize] = met as i32 - code as i32;
            for _ in 0..count {
                if code >= 1 << length {
                    return None;
                }
                if length <= QUICK {
                    let first = (code << (QUICK - length)) as usize;
                    let entry = (length as u16) << 8 | u16::from(symbols[met]);
                    table.quick[first..first + (1 << (QUICK - length))].fill(entry);
                }
                code += 1;
                met += 1;
            }
            table.ends[length as usize] = code << (16 - length);
            code <<= 1;
        }
        Some(table)
    }
}

/// A colour of a frame.
pub(super) struct Component {
    pub(super) id: u8,
    /// Samples for each of the frame's coarsest.
    pub(super) across: usize,
    pub(super) down: usize,
    /// The place of its quantisation table, and the table.
    pub(super) selector: usize,
    pub(super) table: Option<[u16; 64]>,
    /// Blocks, filled up to whole units.
    pub(super) columns: usize,
    pub(super) rows: usize,
    /// Blocks that hold a part of the picture.
    own: (usize, usize),
    /// The coefficients, 64 a block.
    pub(super) blocks: Vec<i16>,
}

/// What is decoded.
pub(super) struct Frame {
    pub(super) width: usize,
    pub(super) height: usize,
    pub(super) across: usize,
    pub(super) down: usize,
    progressive: bool,
    pub(super) components: Vec<Component>,
}

impl Frame {
    pub(super) fn read(
        body: &[u8],
        progressive: bool,
        fits: &impl Fn(u64, u64) -> bool,
    ) -> Option<Self> {
        let (&[8, h1, h0, w1, w0, count], rest) = body.split_first_chunk::<6>()? else {
            return None;
        };
        let height = usize::from(u16::from_be_bytes([h1, h0]));
        let width = usize::from(u16::from_be_bytes([w1, w0]));
        if width == 0 || height == 0 || !fits(width as u64, height as u64) {
            return None;
        }
        if !matches!(count, 1 | 3) || rest.len() != 3 * usize::from(count) {
            return None;
        }
        let kinds = rest.as_chunks::<3>().0;
        let factor = |pick: fn(u8) -> u8| kinds.iter().map(|kind| usize::from(pick(kind[1]))).max();
        let (mut across, mut down) = (factor(|f| f >> 4)?, factor(|f| f & 15)?);
        if !matches!((across, down), (1 | 2, 1 | 2)) {
            return None;
        }
        if count == 1 {
            // A single component has whatever factors mean nothing.
            (across, down) = (1, 1);
        }
        let units = (height.div_ceil(8 * down), width.div_ceil(8 * across));
        let component = |&[id, factors, selector]: &[u8; 3]| {
            let (mut own_across, mut own_down) =
                (usize::from(factors >> 4), usize::from(factors & 15));
            if count == 1 {
                (own_across, own_down) = (1, 1);
            }
            if own_across == 0 || own_down == 0 || selector > 3 {
                return None;
            }
            let (columns, rows) = (units.1 * own_across, units.0 * own_down);
            Some(Component {
                id,
                across: own_across,
                down: own_down,
                selector: usize::from(selector),
                table: None,
                columns,
                rows,
                own: (
                    (height * own_down).div_ceil(8 * down),
                    (width * own_across).div_ceil(8 * across),
                ),
                blocks: vec![0; columns * rows * 64],
            })
        };
        Some(Self {
            width,
            height,
            across,
            down,
            progressive,
            components: kinds.iter().map(component).collect::<Option<_>>()?,
        })
    }
}

/// One pass over some of the coefficients of some of the components.
pub(super) struct Scan {
    /// Place in the frame, tables for the first coefficient and for the others.
    pub(super) components: Vec<(usize, usize, usize)>,
    first: usize,
    last: usize,
    high: u8,
    low: u8,
}

impl Scan {
    pub(super) fn read(body: &[u8], frame: &Frame) -> Option<Self> {
        let (&count, rest) = body.split_first()?;
        let (kinds, rest) = rest.split_at_checked(2 * usize::from(count))?;
        let &[first, last, bits] = rest else {
            return None;
        };
        let mut components: Vec<(usize, usize, usize)> = Vec::new();
        for &[id, tables] in kinds.as_chunks::<2>().0 {
            let place = frame.components.iter().position(|c| c.id == id)?;
            let (dc, ac) = (usize::from(tables >> 4), usize::from(tables & 15));
            if dc > 3 || ac > 3 || components.iter().any(|&(other, ..)| other == place) {
                return None;
            }
            components.push((place, dc, ac));
        }
        let scan = Self {
            components,
            first: usize::from(first),
            last: usize::from(last),
            high: bits >> 4,
            low: bits & 15,
        };
        let sound = if frame.progressive {
            let span = match first {
                0 => last == 0,
                _ => first <= last && last < 64 && count == 1,
            };
            span && scan.low < 14 && (scan.high == 0 || scan.high == scan.low + 1)
        } else {
            (first, last, bits) == (0, 63, 0)
        };
        (sound && count > 0).then_some(scan)
    }

    /// Decodes the scan that `bytes` begin with; how many of them it takes.
    pub(super) fn decode(&self, frame: &mut Frame, tables: &Tables, bytes: &[u8]) -> Option<usize> {
        let mut bits = Bits::new(bytes);
        let mut state = State::default();
        let alone = self.components.len() == 1;
        let (rows, columns) = match self.components[..] {
            [(place, ..)] => frame.components[place].own,
            _ => (
                frame.height.div_ceil(8 * frame.down),
                frame.width.div_ceil(8 * frame.across),
            ),
        };
        let mut left = tables.restart;
        for unit in 0..rows * columns {
            if tables.restart > 0 {
                if left == 0 {
                    bits.restart()?;
                    state = State::default();
                    left = tables.restart;
                }
                left -= 1;
            }
            let (row, column) = (unit / columns, unit % columns);
            for (slot, &(place, dc, ac)) in self.components.iter().enumerate() {
                let component = &mut frame.components[place];
                let (down, across) = match alone {
                    true => (1, 1),
                    false => (component.down, component.across),
                };
                for inner in 0..down * across {
                    let row = row * down + inner / across;
                    let column = column * across + inner % across;
                    let start = (row * component.columns + column) * 64;
                    let block = component.blocks[start..].first_chunk_mut::<64>()?;
                    let (dc, ac) = (tables.dc[dc].as_ref(), tables.ac[ac].as_ref());
                    let last = &mut state.last[slot];
                    match (frame.progressive, self.first, self.high) {
                        (false, ..) => sequential(block, &mut bits, last, dc?, ac?)?,
                        (true, 0, 0) => {
                            *last = last.wrapping_add(bits.difference(dc?)?);
                            block[0] = last.wrapping_shl(u32::from(self.low));
                        }
                        (true, 0, _) => block[0] |= (bits.take(1) as i16) << self.low,
                        (true, _, 0) => self.first_pass(block, &mut bits, &mut state.run, ac?)?,
                        (true, _, _) => self.refine(block, &mut bits, &mut state.run, ac?)?,
                    }
                }
            }
        }
        bits.end()
    }

    /// The first pass over some coefficients but the first.
    fn first_pass(
        &self,
        block: &mut [i16; 64],
        bits: &mut Bits,
        run: &mut u32,
        ac: &Huffman,
    ) -> Option<()> {
        if *run > 0 {
            *run -= 1;
            return Some(());
        }
        let mut place = self.first;
        while place <= self.last {
            let symbol = bits.symbol(ac)?;
            let (zeros, size) = (symbol >> 4, symbol & 15);
            if size == 0 {
                if zeros < 15 {
                    *run = (1 << zeros) - 1 + bits.take(u32::from(zeros));
                    break;
                }
                place += 16;
                continue;
            }
            place += usize::from(zeros);
            let value = bits.signed(u32::from(size));
            block[usize::from(*ZIGZAG.get(place)?)] = value << self.low;
            place += 1;
        }
        Some(())
    }

    /// A further bit of some coefficients.
    fn refine(
        &self,
        block: &mut [i16; 64],
        bits: &mut Bits,
        run: &mut u32,
        ac: &Huffman,
    ) -> Option<()> {
        let one = 1i16 << self.low;
        let better = |value: &mut i16, bits: &mut Bits| {
            if bits.take(1) == 1 && *value & one == 0 {
                *value += if *value >= 0 { one } else { -one };
            }
        };
        let mut place = self.first;
        if *run == 0 {
            while place <= self.last {
                let symbol = bits.symbol(ac)?;
                let (mut zeros, size) = (symbol >> 4, symbol & 15);
                let mut new = 0;
                if size == 1 {
                    new = if bits.take(1) == 1 { one } else { -one };
                } else if size != 0 {
                    return None;
                } else if zeros < 15 {
                    *run = (1 << zeros) + bits.take(u32::from(zeros));
                    break;
                }
                while place <= self.last {
                    let value = &mut block[usize::from(ZIGZAG[place])];
                    place += 1;
                    if *value != 0 {
                        better(value, bits);
                    } else if zeros == 0 {
                        *value = new;
                        break;
                    } else {
                        zeros -= 1;
                    }
                }
            }
        }
        if *run > 0 {
            for &place in &ZIGZAG[place.min(64)..=self.last.max(place.min(64) - 1)] {
                let value = &mut block[usize::from(place)];
                if *value != 0 {
                    better(value, bits);
                }
            }
            *run -= 1;
        }
        Some(())
    }
}

/// What one block leaves to the next.
#[derive(Default)]
struct State {
    /// The last first coefficient of each component.
    last: [i16; 4],
    /// How many blocks without further coefficients follow.
    run: u32,
}

/// A whole block.
fn sequential(
    block: &mut [i16; 64],
    bits: &mut Bits,
    last: &mut i16,
    dc: &Huffman,
    ac: &Huffman,
) -> Option<()> {
    *last = last.wrapping_add(bits.difference(dc)?);
    block[0] = *last;
    let mut place = 1;
    while place < 64 {
        let symbol = bits.symbol(ac)?;
        let (zeros, size) = (symbol >> 4, symbol & 15);
        if size == 0 {
            if zeros < 15 {
                break;
            }
            place += 16;
            continue;
        }
        place += usize::from(zeros);
        block[usize::from(*ZIGZAG.get(place)?)] = bits.signed(u32::from(size));
        place += 1;
    }
    Some(())
}

/// Bits of a scan, the highest of each byte first. After its end come zeros, which are counted.
struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
    /// Bits at hand, in the lowest places.
    buffer: u64,
    count: u32,
    /// How many of them are no part of the scan.
    made_up: u32,
}

impl<'a> Bits<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        Self {
            bytes,
            at: 0,
            buffer: 0,
            count: 0,
            made_up: 0,
        }
    }

    fn fill(&mut self) {
        while self.count <= 48 {
            let byte = match self.bytes.get(self.at..) {
                Some([0xff, 0, ..]) => {
                    self.at += 2;
                    0xff
                }
                Some([byte, ..]) if *byte != 0xff => {
                    self.at += 1;
                    *byte
                }
                _ => {
                    self.made_up += 8;
                    0
                }
            };
            self.buffer = self.buffer << 8 | u64::from(byte);
            self.count += 8;
        }
    }

    /// The next `count` bits, at most 16.
    fn peek(&mut self, count: u32) -> u32 {
        if self.count < count {
            self.fill();
        }
        (self.buffer >> (self.count - count)) as u32 & ((1 << count) - 1)
    }

    fn take(&mut self, count: u32) -> u32 {
        let bits = self.peek(count);
        self.count -= count;
        bits
    }

    fn symbol(&mut self, table: &Huffman) -> Option<u8> {
        let next = self.peek(16);
        let quick = table.quick[(next >> (16 - QUICK)) as usize];
        if quick != 0 {
            self.count -= u32::from(quick >> 8);
            return Some(quick as u8);
        }
        let length = (QUICK + 1..=16).find(|&length| next < table.ends[length as usize])?;
        self.count -= length;
        let place = (next >> (16 - length)) as i32 + table.offsets[length as usize];
        table.symbols.get(usize::try_from(place).ok()?).copied()
    }

    /// A number of `size` bits; those that begin with 0 are negative.
    fn signed(&mut self, size: u32) -> i16 {
        if size == 0 {
            return 0;
        }
        let bits = self.take(size) as i32;
        let value = match bits >> (size - 1) {
            0 => bits - (1 << size) + 1,
            _ => bits,
        };
        value as i16
    }

    fn difference(&mut self, table: &Huffman) -> Option<i16> {
        let size = self.symbol(table)?;
        (size <= 15).then(|| self.signed(u32::from(size)))
    }

    /// Whether no made-up bit was taken and less than a byte is left over; then the place of the mark that follows.
    fn end(&mut self) -> Option<usize> {
        let left = self.count.checked_sub(self.made_up)?;
        // Whole bytes that were fetched beyond the last code, filled up with ones.
        (left < 8 && self.bytes.get(self.at) == Some(&0xff)).then_some(self.at)
    }

    /// Passes over a restart mark.
    fn restart(&mut self) -> Option<()> {
        self.fill();
        self.end()?;
        while *self.bytes.get(self.at)? == 0xff {
            self.at += 1;
        }
        if !matches!(self.bytes[self.at], 0xd0..=0xd7) {
            return None;
        }
        *self = Self {
            at: self.at + 1,
            ..Self::new(self.bytes)
        };
        Some(())
    }
}
