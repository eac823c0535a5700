//! JPEG as libjpeg decodes it, to the last bit: PIL, and so every published number, stands on it.
//!
//! The standard (ITU-T T.81) leaves the inverse transform's rounding and the upsampling of colour open; decoders differ
//! by some levels in every fifth value. Here they are libjpeg's: its "islow" integer transform after Loeffler, Ligtenberg
//! and Moschytz, its triangular ("fancy") upsampling, its 16-bit colour conversion. Covered is what photographs come as:
//! Huffman-coded, sequential or progressive, 8 bits, grey or three colours, colour at full or half resolution. The rest
//! (four colours, arithmetic coding), and whatever does not decode cleanly, is left to the general decoder.

mod blocks;
mod scan;

use blocks::{inverse, upsample};
use scan::{Component, Frame, Huffman, Scan};

use crate::ImageShape;

/// Where the coefficients of a block go, in the order in which they come.
#[rustfmt::skip]
const ZIGZAG: [u8; 64] = [
    0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5, 12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13, 6, 7, 14, 21, 28,
    35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51, 58, 59, 52, 45, 38, 31, 39, 46, 53, 60, 61, 54, 47, 55,
    62, 63,
];

/// What has been read on the way to the scans.
#[derive(Default)]
struct Tables {
    quantisation: [Option<[u16; 64]>; 4],
    dc: [Option<Huffman>; 4],
    ac: [Option<Huffman>; 4],
    restart: usize,
    jfif: bool,
    adobe: Option<u8>,
}

/// Three colours `[3, height, width]`, or `None` where the file is not of the kinds that are covered, or not clean.
/// `fits` is asked about width and height before memory is set aside.
pub(super) fn decode(
    bytes: &[u8],
    fits: impl Fn(u64, u64) -> bool,
) -> Option<(ImageShape, Vec<u8>)> {
    let mut tables = Tables::default();
    let mut frame: Option<Frame> = None;
    let mut at = 2;
    loop {
        if *bytes.get(at)? != 0xff {
            return None;
        }
        while *bytes.get(at)? == 0xff {
            at += 1;
        }
        let mark = bytes[at];
        at += 1;
        match mark {
            0xd9 => break,
            0xd0..=0xd8 | 0x00 | 0x01 => return None,
            _ => {}
        }
        let length = usize::from(u16::from_be_bytes([*bytes.get(at)?, *bytes.get(at + 1)?]));
        let body = bytes.get(at + 2..at + length)?;
        at += length;
        match mark {
            0xdb => tables.quantisation(body)?,
            0xc4 => tables.huffman(body)?,
            0xdd => {
                tables.restart = usize::from(u16::from_be_bytes([*body.first()?, *body.get(1)?]))
            }
            0xe0 if body.starts_with(b"JFIF\0") => tables.jfif = true,
            0xee if body.starts_with(b"Adobe") => tables.adobe = Some(*body.get(11)?),
            0xc0..=0xc2 => {
                if frame.is_some() {
                    return None;
                }
                frame = Some(Frame::read(body, mark == 0xc2, &fits)?);
            }
            0xc3..=0xcf => return None,
            0xda => {
                let frame = frame.as_mut()?;
                let scan = Scan::read(body, frame)?;
                // A component's table is the one that is there when its first scan begins.
                for &(place, ..) in &scan.components {
                    let component = &mut frame.components[place];
                    if component.table.is_none() {
                        component.table = tables.quantisation[component.selector];
                    }
                }
                at += scan.decode(frame, &tables, bytes.get(at..)?)?;
            }
            _ => {}
        }
    }
    picture(&frame?, &tables)
}

impl Tables {
    fn quantisation(&mut self, mut body: &[u8]) -> Option<()> {
        while let Some((&head, rest)) = body.split_first() {
            let wide = head >> 4 == 1;
            let size = if wide { 128 } else { 64 };
            let (values, rest) = rest.split_at_checked(size)?;
            let mut table = [0; 64];
            for (index, &place) in ZIGZAG.iter().enumerate() {
                table[usize::from(place)] = match wide {
                    true => u16::from_be_bytes([values[2 * index], values[2 * index + 1]]),
                    false => u16::from(values[index]),
                };
            }
            *self.quantisation.get_mut(usize::from(head & 15))? = Some(table);
            body = rest;
        }
        Some(())
    }

    fn huffman(&mut self, mut body: &[u8]) -> Option<()> {
        while let Some((&head, rest)) = body.split_first() {
            let (counts, rest) = rest.split_first_chunk::<16>()?;
            let total = counts.iter().map(|&count| usize::from(count)).sum();
            let (symbols, rest) = rest.split_at_checked(total)?;
            let tables = match head >> 4 {
                0 => &mut self.dc,
                1 => &mut self.ac,
                _ => return None,
            };
            *tables.get_mut(usize::from(head & 15))? = Some(Huffman::new(counts, symbols)?);
            body = rest;
        }
        Some(())
    }

    /// Whether three components are luminance and colour differences, by libjpeg's rules.
    fn differences(&self, frame: &Frame) -> bool {
        let ids = [0, 1, 2].map(|c| frame.components[c].id);
        match (self.jfif, self.adobe) {
            (true, _) => true,
            (false, Some(transform)) => transform != 0,
            (false, None) => ids != *b"RGB",
        }
    }
}

/// From coefficients to colours.
fn picture(frame: &Frame, tables: &Tables) -> Option<(ImageShape, Vec<u8>)> {
    let (width, height) = (frame.width, frame.height);
    let size = width * height;
    let shape = ImageShape {
        channels: 3,
        height,
        width,
    };
    let planes: Vec<Vec<u8>> = frame
        .components
        .iter()
        .map(|component| plane(frame, component))
        .collect::<Option<_>>()?;
    let mut pixels = vec![0; 3 * size];
    let (red, rest) = pixels.split_at_mut(size);
    let (green, blue) = rest.split_at_mut(size);
    if let [grey] = &planes[..] {
        red.copy_from_slice(grey);
        green.copy_from_slice(grey);
        blue.copy_from_slice(grey);
    } else if tables.differences(frame) {
        colours(&planes, red, green, blue);
    } else {
        red.copy_from_slice(&planes[0]);
        green.copy_from_slice(&planes[1]);
        blue.copy_from_slice(&planes[2]);
    }
    Some((shape, pixels))
}

/// Luminance and colour differences to red, green and blue, with 16 binary digits after the point.
fn colours(planes: &[Vec<u8>], red: &mut [u8], green: &mut [u8], blue: &mut [u8]) {
    const fn fixed(value: f64) -> i32 {
        (value * 65536.0 + 0.5) as i32
    }
    const HALF: i32 = 1 << 15;
    let differences = planes[1].iter().zip(&planes[2]);
    let out = red.iter_mut().zip(green).zip(blue);
    for (((red, green), blue), (&y, (&b, &r))) in out.zip(planes[0].iter().zip(differences)) {
        let (y, b, r) = (i32::from(y), i32::from(b) - 128, i32::from(r) - 128);
        let byte = |value: i32| value.clamp(0, 255) as u8;
        *red = byte(y + ((fixed(1.402) * r + HALF) >> 16));
        *green = byte(y + ((-fixed(0.344_14) * b - fixed(0.714_14) * r + HALF) >> 16));
        *blue = byte(y + ((fixed(1.772) * b + HALF) >> 16));
    }
}

/// A component at the picture's full size.
fn plane(frame: &Frame, component: &Component) -> Option<Vec<u8>> {
    let table = component.table?;
    let stride = component.columns * 8;
    let mut samples = vec![0; stride * component.rows * 8];
    for (index, block) in component.blocks.as_chunks::<64>().0.iter().enumerate() {
        let (row, column) = (index / component.columns, index % component.columns);
        inverse(
            block,
            &table,
            &mut samples[row * 8 * stride + column * 8..],
            stride,
        );
    }
    let across = frame.across / component.across;
    let down = frame.down / component.down;
    let own = (frame.height.div_ceil(down), frame.width.div_ceil(across));
    Some(upsample(
        &samples,
        stride,
        own,
        (down, across),
        (frame.height, frame.width),
    ))
}
