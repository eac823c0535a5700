//! MATLAB's MAT-file, version 5, as far as SVHN's `test_32x32.mat` needs it: arrays of numbers by name.
//!
//! A file is 128 bytes of header, then elements: type, length, data; an array is an element of elements (flags,
//! dimensions, name, values), usually packed by zlib. Either byte order is read. No length is believed: each is weighed
//! against the bytes that are there, and unpacking stops at [`LIMIT`]. (MathWorks, "MAT-File Format", level 5.)

use std::borrow::Cow;
use std::fs;
use std::io::Read;
use std::path::Path;

use flate2::read::ZlibDecoder;

use crate::{Error, ImageSet, ImageShape, Result};

/// The most bytes of a file and of an array unpacked (SVHN's training images have 225 million, its extra ones 1.6
/// thousand million, which no benchmark uses).
pub const LIMIT: u64 = 512 << 20;

/// The most bytes of values that are not bytes: labels (SVHN's take 10 bytes a picture at most).
const NUMBERS_LIMIT: usize = 16 << 20;

/// The most arrays in a file.
const MOST_ARRAYS: usize = 64;

/// What to do about a damaged file.
const AGAIN: &str = "the file is damaged or cut short: download it again";

/// Types of elements.
const UINT8: u32 = 2;
const INT32: u32 = 5;
const UINT32: u32 = 6;
const DOUBLE: u32 = 9;
const MATRIX: u32 = 14;
const COMPRESSED: u32 = 15;

/// An array of numbers.
#[derive(Clone, Debug, PartialEq)]
pub struct Array {
    /// Its name.
    pub name: String,
    /// The extent of each dimension, the first varying fastest in `values`.
    pub dims: Vec<usize>,
    /// The values.
    pub values: Values,
}

/// Values in their stored type.
#[derive(Clone, Debug, PartialEq)]
pub enum Values {
    /// Bytes.
    U8(Vec<u8>),
    /// Any other real numbers.
    F64(Vec<f64>),
}

/// Reads SVHN: `X` of bytes `[32, 32, 3, n]` (row, column, colour, picture) and `y` of labels 1 to 10, where 10 is the
/// digit 0. Ids are OpenOOD's list names, `svhn/test/022008_2.jpg` for index and label.
///
/// # Errors
///
/// [`Error::Io`]; [`Error::Format`] where it is no such file.
pub fn read_svhn(path: &Path) -> Result<ImageSet> {
    let length = fs::metadata(path)
        .map_err(Error::io(path, "look at the file"))?
        .len();
    if length > LIMIT {
        let problem = format!("{length} bytes; at most {LIMIT} are read");
        return Err(Error::format(path, "length", problem, "use test_32x32.mat"));
    }
    let bytes = fs::read(path).map_err(Error::io(path, "read the file"))?;
    svhn(path, &bytes)
}

/// As [`read_svhn`], from bytes; `path` only names them in errors.
///
/// # Errors
///
/// As [`read_svhn`].
pub fn svhn(path: &Path, bytes: &[u8]) -> Result<ImageSet> {
    const SIDE: usize = 32;
    const PLANE: usize = SIDE * SIDE;
    let other = |entry: &str, problem: String| {
        let mend = "SVHN's cropped digits are needed: test_32x32.mat, not test.tar.gz";
        Error::format(path, entry, problem, mend)
    };
    let mut arrays = arrays(path, bytes)?;
    let mut take = |name: &str| {
        let place = arrays.iter().position(|array| array.name == name);
        place
            .map(|place| arrays.swap_remove(place))
            .ok_or_else(|| other(name, "there is no array of that name".into()))
    };
    let (images, labels) = (take("X")?, take("y")?);
    let count = match (&images.dims[..], &images.values) {
        (&[SIDE, SIDE, 3, count], Values::U8(_)) => count,
        // MATLAB drops a last dimension of 1.
        (&[SIDE, SIDE, 3], Values::U8(_)) => 1,
        (dims, _) => {
            return Err(other(
                "X",
                format!("{dims:?} where bytes [32, 32, 3, n] are needed"),
            ));
        }
    };
    let Values::U8(values) = images.values else {
        return Err(other("X", "not of bytes".into()));
    };
    let labels: Vec<f64> = match labels.values {
        Values::U8(labels) => labels.into_iter().map(f64::from).collect(),
        Values::F64(labels) => labels,
    };
    if labels.len() != count {
        return Err(other(
            "y",
            format!("{} labels for {count} images", labels.len()),
        ));
    }
    let mut digits = Vec::with_capacity(count);
    let mut ids = Vec::with_capacity(count);
    for (index, &label) in labels.iter().enumerate() {
        if !(1.0..=10.0).contains(&label) || label.fract() != 0.0 {
            return Err(other(
                "y",
                format!("label {label} at {index} is none of 1 to 10"),
            ));
        }
        let digit = label as i64 % 10;
        digits.push(digit);
        // Its lists count from 1.
        ids.push(format!("svhn/test/{:06}_{digit}.jpg", index + 1));
    }
    // Columns first in the file, rows first here.
    let mut pixels = vec![0; values.len()];
    for (from, to) in values
        .chunks_exact(PLANE)
        .zip(pixels.chunks_exact_mut(PLANE))
    {
        for (row, line) in to.chunks_exact_mut(SIDE).enumerate() {
            for (column, value) in line.iter_mut().enumerate() {
                *value = from[column * SIDE + row];
            }
        }
    }
    let shape = ImageShape {
        channels: 3,
        height: SIDE,
        width: SIDE,
    };
    ImageSet::new("svhn-test", shape, pixels, digits, ids)
}

/// Every array of numbers in a file; `path` only names it in errors.
///
/// # Errors
///
/// [`Error::Format`] where it is not a whole MAT-file of version 5, or holds anything but real numbers.
pub fn arrays(path: &Path, bytes: &[u8]) -> Result<Vec<Array>> {
    let fault =
        |entry: &str, problem: &str, mend: &str| Err(Error::format(path, entry, problem, mend));
    let Some((header, mut rest)) = bytes.split_at_checked(128) else {
        return fault("header", "shorter than the header's 128 bytes", AGAIN);
    };
    let order = match &header[126..] {
        b"IM" => Order::Little,
        b"MI" => Order::Big,
        _ if header.starts_with(b"MATLAB 7.3") || bytes.starts_with(b"\x89HDF") => {
            return fault(
                "header",
                "version 7.3 (HDF5)",
                "save it with the option -v7",
            );
        }
        _ => {
            let mend = "download the file again; a web page saved under its name looks like this";
            return fault("header", "not a MAT-file of version 5", mend);
        }
    };
    if order.u16([header[124], header[125]]) != 0x0100 {
        return fault("header", "not of version 5", "save it with the option -v7");
    }
    let mut arrays = Vec::new();
    // What all arrays together may still take.
    let mut room = LIMIT;
    while !rest.is_empty() {
        let number = arrays.len();
        let entry = format!("array {number}");
        let damaged = |problem: String| Error::format(path, entry.as_str(), problem, AGAIN);
        if number == MOST_ARRAYS {
            return Err(damaged(format!("more than {MOST_ARRAYS} arrays")));
        }
        let element = order.element(&mut rest).map_err(damaged)?;
        let body = match element.kind {
            COMPRESSED => {
                let unpacked = unpack(element.data, room).map_err(damaged)?;
                room -= unpacked.len() as u64;
                Cow::Owned(unpacked)
            }
            MATRIX => Cow::Borrowed(element.data),
            kind => {
                return Err(damaged(format!(
                    "element type {kind} where an array is due"
                )));
            }
        };
        let mut body = &body[..];
        if element.kind == COMPRESSED {
            let inner = order.element(&mut body).map_err(damaged)?;
            if inner.kind != MATRIX || !body.is_empty() {
                return Err(damaged("a packed element is not one array".into()));
            }
            body = inner.data;
        }
        arrays.push(order.array(body).map_err(damaged)?);
    }
    Ok(arrays)
}

fn unpack(packed: &[u8], room: u64) -> std::result::Result<Vec<u8>, String> {
    let mut unpacked = Vec::new();
    let mut decoder = ZlibDecoder::new(packed);
    let read = decoder.by_ref().take(room + 1).read_to_end(&mut unpacked);
    read.map_err(|error| format!("damaged or cut short ({error})"))?;
    if unpacked.len() as u64 > room {
        return Err(format!("more than {LIMIT} bytes come out of it"));
    }
    Ok(unpacked)
}

/// The file's byte order.
#[derive(Clone, Copy)]
enum Order {
    Little,
    Big,
}

/// A piece of a file.
struct Element<'a> {
    kind: u32,
    data: &'a [u8],
}

impl Order {
    fn u16(self, bytes: [u8; 2]) -> u16 {
        match self {
            Self::Little => u16::from_le_bytes(bytes),
            Self::Big => u16::from_be_bytes(bytes),
        }
    }

    fn u32(self, bytes: [u8; 4]) -> u32 {
        match self {
            Self::Little => u32::from_le_bytes(bytes),
            Self::Big => u32::from_be_bytes(bytes),
        }
    }

    fn word(self, rest: &mut &[u8]) -> std::result::Result<u32, String> {
        let (word, after) = rest.split_first_chunk::<4>().ok_or("the file ends here")?;
        *rest = after;
        Ok(self.u32(*word))
    }

    /// Takes an element off the front: type, length, data, and zeros up to a multiple of 8 bytes (but after packed
    /// ones). One of at most 4 bytes may have its length in the upper half of its type.
    fn element<'a>(self, rest: &mut &'a [u8]) -> std::result::Result<Element<'a>, String> {
        let word = self.word(rest)?;
        let (kind, length, padded) = match word >> 16 {
            0 => {
                let length = self.word(rest)? as usize;
                let padded = match word {
                    COMPRESSED => length,
                    _ => length.next_multiple_of(8).min(rest.len().max(length)),
                };
                (word, length, padded)
            }
            small @ 1..=4 => (word & 0xffff, small as usize, 4),
            _ => {
                return Err(format!(
                    "element type {word:#x}, wrong or in the other byte order"
                ));
            }
        };
        let Some((data, after)) = rest.split_at_checked(padded) else {
            let left = rest.len();
            return Err(format!("{length} bytes are announced and {left} are left"));
        };
        *rest = after;
        Ok(Element {
            kind,
            data: &data[..length],
        })
    }

    /// The parts of an array.
    fn array(self, mut rest: &[u8]) -> std::result::Result<Array, String> {
        let flags = self.element(&mut rest)?;
        let (UINT32, Some((word, _))) = (flags.kind, flags.data.split_first_chunk::<4>()) else {
            return Err("no flags".into());
        };
        let flags = self.u32(*word);
        // Classes 6 to 15 are numbers; bit 11 says complex.
        if !(6..=15).contains(&(flags & 0xff)) || flags & 0x800 != 0 {
            return Err(format!("not of real numbers (flags {flags:#x})"));
        }
        let dims = self.element(&mut rest)?;
        if dims.kind != INT32 || dims.data.len() > 4 * 8 {
            return Err("no dimensions, or more than 8".into());
        }
        let dims = dims.data.as_chunks::<4>().0.iter();
        let dims = dims.map(|&word| {
            let extent = self.u32(word).cast_signed();
            usize::try_from(extent).map_err(|_| format!("an extent of {extent}"))
        });
        let dims: Vec<usize> = dims.collect::<std::result::Result<_, _>>()?;
        let name = self.element(&mut rest)?.data;
        let name = std::str::from_utf8(name).map_err(|_| "its name is no text")?;
        let values = self.values(self.element(&mut rest)?)?;
        let found = match &values {
            Values::U8(values) => values.len(),
            Values::F64(values) => values.len(),
        };
        let count = dims.iter().try_fold(1usize, |n, &dim| n.checked_mul(dim));
        if count != Some(found) {
            return Err(format!(
                "`{name}` has {found} values where {dims:?} are announced"
            ));
        }
        Ok(Array {
            name: name.into(),
            dims,
            values,
        })
    }

    fn values(self, element: Element<'_>) -> std::result::Result<Values, String> {
        let data = element.data;
        if element.kind != UINT8 && data.len() > NUMBERS_LIMIT {
            return Err(format!(
                "more than {NUMBERS_LIMIT} bytes of numbers that are not bytes"
            ));
        }
        fn each<const N: usize>(data: &[u8], value: impl Fn([u8; N]) -> f64) -> Values {
            Values::F64(data.as_chunks::<N>().0.iter().map(|&b| value(b)).collect())
        }
        Ok(match element.kind {
            UINT8 => Values::U8(data.to_vec()),
            1 => each(data, |[byte]| f64::from(byte.cast_signed())),
            3 => each(data, |bytes| f64::from(self.u16(bytes).cast_signed())),
            4 => each(data, |bytes| f64::from(self.u16(bytes))),
            INT32 => each(data, |bytes| f64::from(self.u32(bytes).cast_signed())),
            UINT32 => each(data, |bytes| f64::from(self.u32(bytes))),
            7 => each(data, |bytes| f64::from(f32::from_bits(self.u32(bytes)))),
            DOUBLE => each(data, |bytes| match self {
                Self::Little => f64::from_le_bytes(bytes),
                Self::Big => f64::from_be_bytes(bytes),
            }),
            kind => return Err(format!("values of type {kind} are not read")),
        })
    }
}
