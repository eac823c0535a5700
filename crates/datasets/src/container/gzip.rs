//! Random access into a gzip stream.
//!
//! Deflate can only be read from its beginning, unless the state of the decompressor is known somewhere further on.
//! The pass that lists an archive (and compares its checksums) notes that state every so often; a read later starts
//! from the last one before its place. A state takes 43 KiB; there are at most [`MOST_POINTS`] of them (22 MB): one
//! a megabyte in archives up to half a gigabyte unpacked, in larger ones every 2, 4, 8 … megabytes.

use std::io::{self, Read};

use flate2::Crc;
use miniz_oxide::inflate::TINFLStatus;
use miniz_oxide::inflate::core::inflate_flags::TINFL_FLAG_HAS_MORE_INPUT;
use miniz_oxide::inflate::core::{DecompressorOxide, decompress};

use super::{Source, expansion};

/// The most states that are kept.
pub const MOST_POINTS: usize = 512;

/// The least distance between two states, in unpacked bytes.
const SPACING: u64 = 1 << 20;

/// How far back deflate can refer.
const WINDOW: usize = 32 << 10;

/// How much is read at once.
const INPUT: usize = 64 << 10;

/// A decompressor between two outputs: all that is needed to go on from here.
#[derive(Clone)]
struct State {
    inflate: Box<DecompressorOxide>,
    /// The last bytes that came out, in a ring.
    window: Box<[u8]>,
    /// Where in the ring the next byte goes.
    next: usize,
    /// Packed bytes consumed.
    consumed: u64,
    /// Unpacked bytes put into the ring.
    produced: u64,
    stage: Stage,
}

/// Where in a gzip file.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Header,
    Body,
    End,
}

/// The states of a stream at some of its places, ascending.
pub(super) struct Index {
    source: Source,
    points: Vec<State>,
}

impl Index {
    /// A stream that stands at or before `offset`: `last` where that is the nearest.
    pub(super) fn seek(&self, last: Option<Gunzip>, offset: u64) -> Gunzip {
        let after = self
            .points
            .partition_point(|point| point.produced <= offset);
        // The first state is that of the beginning.
        let point = &self.points[after.saturating_sub(1)];
        match last {
            Some(last) if (point.produced..=offset).contains(&last.position()) => last,
            _ => Gunzip::new(self.source.clone(), point.clone(), None),
        }
    }
}

/// What the first pass does beside unpacking.
struct Pass {
    points: Vec<State>,
    spacing: u64,
    crc: Crc,
    limit: u64,
}

/// Unpacks a gzip file (of one or more members).
pub(super) struct Gunzip {
    source: Source,
    state: State,
    input: Vec<u8>,
    /// The part of `input` that is still to come.
    unread: std::ops::Range<usize>,
    /// How many of the ring's last bytes are still to be handed out.
    pending: usize,
    pass: Option<Box<Pass>>,
}

impl Gunzip {
    /// From the beginning, noting states and comparing checksums.
    pub(super) fn indexing(source: Source) -> Self {
        let state = State {
            inflate: Box::default(),
            window: vec![0; WINDOW].into(),
            next: 0,
            consumed: 0,
            produced: 0,
            stage: Stage::Header,
        };
        let pass = Pass {
            points: vec![state.clone()],
            spacing: SPACING,
            crc: Crc::new(),
            limit: expansion(source.length()),
        };
        Self::new(source, state, Some(Box::new(pass)))
    }

    fn new(source: Source, state: State, pass: Option<Box<Pass>>) -> Self {
        Self {
            source,
            state,
            input: Vec::new(),
            unread: 0..0,
            pending: 0,
            pass,
        }
    }

    /// Unpacked bytes handed out so far.
    pub(super) fn position(&self) -> u64 {
        self.state.produced - self.pending as u64
    }

    /// Passes over bytes, which have to be there.
    pub(super) fn pass(&mut self, mut bytes: u64) -> io::Result<()> {
        while bytes > 0 {
            if self.pending == 0 {
                self.produce()?;
                if self.pending == 0 {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
            }
            let step = bytes.min(self.pending as u64);
            self.pending -= step as usize;
            bytes -= step;
        }
        Ok(())
    }

    /// Unpacks the rest (only zeros may follow the end of a tar) and returns the states.
    pub(super) fn finish(mut self) -> io::Result<Index> {
        loop {
            let (first, second) = self.last();
            if first.iter().chain(second).any(|&byte| byte != 0) {
                return Err(damaged("something follows after the end mark"));
            }
            self.pending = 0;
            self.produce()?;
            if self.pending == 0 {
                break;
            }
        }
        let points = self.pass.take().map_or_else(Vec::new, |pass| pass.points);
        Ok(Index {
            source: self.source,
            points,
        })
    }

    /// The pending bytes, in the two pieces that a ring makes of them.
    fn last(&self) -> (&[u8], &[u8]) {
        let State { window, next, .. } = &self.state;
        match next.checked_sub(self.pending) {
            Some(start) => (&window[start..*next], &[]),
            None => (&window[WINDOW - (self.pending - next)..], &window[..*next]),
        }
    }

    /// Unpacks some bytes; none at the end.
    fn produce(&mut self) -> io::Result<()> {
        debug_assert_eq!(self.pending, 0);
        loop {
            match self.state.stage {
                Stage::End => return Ok(()),
                Stage::Header => self.header()?,
                Stage::Body => {
                    self.note();
                    self.fill()?;
                    let start = self.state.next;
                    let (status, consumed, written) = decompress(
                        &mut self.state.inflate,
                        &self.input[self.unread.clone()],
                        &mut self.state.window,
                        start,
                        TINFL_FLAG_HAS_MORE_INPUT,
                    );
                    let starved = self.unread.is_empty();
                    self.consume(consumed);
                    self.state.next = (start + written) % WINDOW;
                    self.state.produced += written as u64;
                    if let Some(pass) = &mut self.pass {
                        pass.crc.update(&self.state.window[start..start + written]);
                        if self.state.produced > pass.limit {
                            return Err(damaged(format!(
                                "more than {} bytes come out of {}: a bomb",
                                pass.limit,
                                self.source.length()
                            )));
                        }
                    }
                    match status {
                        TINFLStatus::Done => self.trailer()?,
                        TINFLStatus::HasMoreOutput => {}
                        TINFLStatus::NeedsMoreInput if !starved || written > 0 => {}
                        TINFLStatus::NeedsMoreInput => return Err(damaged("it is cut short")),
                        _ => return Err(damaged("the packed bytes make no sense")),
                    }
                    if written > 0 {
                        self.pending = written;
                        return Ok(());
                    }
                }
            }
        }
    }

    /// Keeps the state where the last one kept is far enough away.
    fn note(&mut self) {
        let Some(pass) = &mut self.pass else { return };
        let last = pass.points.last().map_or(0, |point| point.produced);
        if self.state.produced < last + pass.spacing {
            return;
        }
        if pass.points.len() == MOST_POINTS {
            let mut even = false;
            pass.points.retain(|_| {
                even = !even;
                even
            });
            pass.spacing *= 2;
        }
        pass.points.push(self.state.clone());
    }

    /// Sees to it that there is input, if the file has any more.
    fn fill(&mut self) -> io::Result<()> {
        if self.unread.is_empty() {
            self.input.resize(INPUT, 0);
            let read = self.source.read_at(&mut self.input, self.state.consumed)?;
            self.unread = 0..read;
        }
        Ok(())
    }

    fn consume(&mut self, bytes: usize) {
        self.unread.start += bytes;
        self.state.consumed += bytes as u64;
    }

    fn byte(&mut self) -> io::Result<u8> {
        self.fill()?;
        let byte = *self
            .input
            .get(self.unread.start)
            .filter(|_| !self.unread.is_empty())
            .ok_or_else(|| damaged("it is cut short"))?;
        self.consume(1);
        Ok(byte)
    }

    fn word(&mut self) -> io::Result<u32> {
        let bytes = [self.byte()?, self.byte()?, self.byte()?, self.byte()?];
        Ok(u32::from_le_bytes(bytes))
    }

    /// Reads a member's header (RFC 1952).
    fn header(&mut self) -> io::Result<()> {
        let fixed: Vec<u8> = (0..10).map(|_| self.byte()).collect::<io::Result<_>>()?;
        let flags = fixed[3];
        if fixed[..3] != [0x1f, 0x8b, 8] || flags & 0xe0 != 0 {
            return Err(damaged("no gzip header where one is due"));
        }
        if flags & 4 != 0 {
            let length = u16::from_le_bytes([self.byte()?, self.byte()?]);
            for _ in 0..length {
                self.byte()?;
            }
        }
        // Name and comment end with a zero.
        for bit in [8, 16] {
            while flags & bit != 0 && self.byte()? != 0 {}
        }
        if flags & 2 != 0 {
            self.byte()?;
            self.byte()?;
        }
        *self.state.inflate = DecompressorOxide::new();
        self.state.stage = Stage::Body;
        Ok(())
    }

    /// Reads a member's checksum and length, and looks whether another follows.
    fn trailer(&mut self) -> io::Result<()> {
        let (crc, length) = (self.word()?, self.word()?);
        if let Some(pass) = &mut self.pass {
            if (crc, length) != (pass.crc.sum(), pass.crc.amount()) {
                return Err(damaged("the checksum does not fit"));
            }
            pass.crc.reset();
        }
        self.fill()?;
        self.state.stage = match self.unread.is_empty() {
            true => Stage::End,
            false => Stage::Header,
        };
        Ok(())
    }
}

impl Read for Gunzip {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.pending == 0 && !buffer.is_empty() {
            self.produce()?;
        }
        let (first, second) = self.last();
        let from = if first.is_empty() { second } else { first };
        let read = from.len().min(buffer.len());
        buffer[..read].copy_from_slice(&from[..read]);
        self.pending -= read;
        Ok(read)
    }
}

fn damaged(problem: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, problem.into())
}
