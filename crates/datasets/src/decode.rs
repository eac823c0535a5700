//! JPEG, PNG and GIF bytes to pictures, as PIL's `convert("RGB")` gives them.
//!
//! The bytes may come from anywhere. A header is weighed against the number of bytes that follow before memory is set
//! aside: no picture is larger than [`PIXEL_LIMIT`], and none larger than its bytes could describe. A JPEG that is cut
//! short is an error (many decoders fill up with grey).
//!
//! All are equal to PIL's to the last bit: PNG and GIF by the crate `image`; JPEG by `jpeg`, since the crate's own decoder is
//! off by up to 5 levels in a fifth of the values of TinyImageNet. The crate's decodes what `jpeg` leaves to it: four
//! colours (CMYK), colour at less than half resolution, and damaged files, which PIL too fills up in its own way.

mod jpeg;

use std::io::Cursor;
use std::path::Path;

use image::codecs::gif::GifDecoder;
use image::codecs::jpeg::JpegDecoder;
use image::codecs::png::PngDecoder;
use image::{DynamicImage, ImageDecoder, ImageResult, Limits};

use crate::hash::Fields;
use crate::transforms::{Picture, Preprocess};
use crate::{Error, ImageShape, Result};

/// The most pixels of a picture (the largest of ImageNet has 61 million).
pub const PIXEL_LIMIT: u64 = 1 << 26;

/// The most pixels that a byte of JPEG can describe: in a progressive one, a bit a block and component.
const JPEG_PIXELS: u64 = 512;

/// The most bits of unpacked PNG that a byte can describe: deflate's best ratio.
const PNG_BITS: u64 = 8 * 1032;

/// The most pixels that a byte of GIF can describe: a code of twelve bits stands for 4096 of them at most.
const GIF_PIXELS: u64 = 4096;

/// What to do about a damaged picture.
const AGAIN: &str = "the picture is damaged: download or unpack the data set again";

/// Decodes a JPEG, a PNG or the first picture of a GIF to three colours, `[3, height, width]`. Grey becomes three equal
/// colours, transparency is dropped, of 16 bits the upper eight are kept. `path` (the archive or folder) and `entry` (the
/// name in it) only name the picture in errors.
///
/// # Errors
///
/// [`Error::Format`] where the bytes are neither, damaged, cut short, or larger than is read.
pub fn rgb(bytes: &[u8], path: &Path, entry: &str) -> Result<Picture> {
    let fault = |problem: String| Error::format(path, entry, problem, AGAIN);
    let decoded = match bytes {
        [0xff, 0xd8, ..] => {
            if !jpeg_ends(bytes) {
                return Err(fault("the JPEG is cut short: it has no end mark".into()));
            }
            let fits = |width, height| possible(width, height, bytes.len(), JPEG_PIXELS).is_ok();
            if let Some((shape, pixels)) = jpeg::decode(bytes, fits) {
                return Picture::new(shape, pixels).map_err(|error| fault(error.to_string()));
            }
            let decoder = JpegDecoder::new(Cursor::new(bytes));
            decode(decoder, bytes.len(), JPEG_PIXELS).map_err(fault)?
        }
        [0x89, b'P', b'N', b'G', ..] => {
            let limits = Limits::default();
            let decoder = PngDecoder::with_limits(Cursor::new(bytes), limits);
            decode(decoder, bytes.len(), PNG_BITS / png_bits(bytes)).map_err(fault)?
        }
        // The first picture of one, as PIL opens it.
        [b'G', b'I', b'F', b'8', ..] => {
            let decoder = GifDecoder::new(Cursor::new(bytes));
            decode(decoder, bytes.len(), GIF_PIXELS).map_err(fault)?
        }
        _ => {
            let problem = "neither a JPEG nor a PNG nor a GIF";
            return Err(Error::format(path, entry, problem, AGAIN));
        }
    };
    let (height, width) = (decoded.height() as usize, decoded.width() as usize);
    let values = eight_bits(decoded);
    Picture::from_interleaved(
        ImageShape {
            channels: 3,
            height,
            width,
        },
        &values,
    )
    .map_err(|error| fault(error.to_string()))
}

/// Two pictures for [`fingerprint`], larger and smaller than what they are resized to.
const SPECIMENS: [(&str, &[u8]); 2] = [
    ("specimen.jpg", include_bytes!("decode/specimen.jpg")),
    ("specimen.png", include_bytes!("decode/specimen.png")),
];

/// A checksum of what this program makes of two specimens: with the encoded bytes of a picture it stands for the
/// picture's pixels, since it changes when decoder or resize come to do anything else.
pub(crate) fn fingerprint(preprocess: Preprocess) -> Result<String> {
    let mut fields = Fields::new("decoded/1");
    for (name, bytes) in SPECIMENS {
        let made = preprocess.apply(&rgb(bytes, Path::new(name), name)?)?;
        fields = fields
            .number(made.shape().height as u64)
            .number(made.shape().width as u64)
            .bytes(made.pixels());
    }
    Ok(fields.hex())
}

/// Decodes, if the size that the header announces is possible with so many `bytes`.
fn decode(
    decoder: ImageResult<impl ImageDecoder>,
    bytes: usize,
    pixels_a_byte: u64,
) -> std::result::Result<DynamicImage, String> {
    let mut decoder = decoder.map_err(|error| error.to_string())?;
    let (width, height) = decoder.dimensions();
    let pixels = possible(width.into(), height.into(), bytes, pixels_a_byte)?;
    let mut limits = Limits::no_limits();
    limits.max_alloc = Some(pixels * 16 + (1 << 20));
    decoder
        .set_limits(limits)
        .map_err(|error| error.to_string())?;
    DynamicImage::from_decoder(decoder).map_err(|error| error.to_string())
}

/// The number of pixels that a header announces, if so many `bytes` can describe them.
fn possible(
    width: u64,
    height: u64,
    bytes: usize,
    pixels_a_byte: u64,
) -> std::result::Result<u64, String> {
    let pixels = width * height;
    if pixels > PIXEL_LIMIT {
        return Err(format!(
            "{width} x {height} pixels; at most {PIXEL_LIMIT} are read"
        ));
    }
    if pixels > pixels_a_byte * bytes as u64 {
        return Err(format!(
            "the header announces {width} x {height} pixels, more than {bytes} bytes can hold"
        ));
    }
    Ok(pixels)
}

/// Bits a pixel, from depth and colour type in a PNG's first chunk; 1 for what is none.
fn png_bits(bytes: &[u8]) -> u64 {
    let Some(&[depth @ (1 | 2 | 4 | 8 | 16), colour]) = bytes.get(24..26) else {
        return 1;
    };
    let channels = match colour {
        2 => 3,
        4 => 2,
        6 => 4,
        _ => 1,
    };
    channels * u64::from(depth)
}

/// Whether an end mark follows the first scan. Within a scan no byte FF is followed by D9 but there; before it, an
/// embedded preview has an end mark of its own, so the segments are stepped over.
fn jpeg_ends(bytes: &[u8]) -> bool {
    let mut at = 2;
    while let Some(&[0xff, mark, high, low]) = bytes.get(at..at + 4) {
        if mark == 0xff {
            at += 1;
            continue;
        }
        at += 2 + usize::from(u16::from_be_bytes([high, low]));
        if mark == 0xda {
            let scans = bytes.get(at..).unwrap_or_default();
            return scans.windows(2).any(|pair| pair == [0xff, 0xd9]);
        }
    }
    // Not the usual order of segments: the decoder's to judge.
    true
}

/// Three bytes a pixel. PIL keeps the upper byte of 16 bits, where [`DynamicImage::into_rgb8`] would round.
fn eight_bits(decoded: DynamicImage) -> Vec<u8> {
    let upper = |value: u16| (value >> 8) as u8;
    match decoded {
        DynamicImage::ImageRgb16(image) => image.iter().map(|&value| upper(value)).collect(),
        DynamicImage::ImageRgba16(image) => {
            let pixels = image.pixels();
            pixels
                .flat_map(|pixel| [0, 1, 2].map(|c| upper(pixel.0[c])))
                .collect()
        }
        DynamicImage::ImageLuma16(image) => {
            image.iter().flat_map(|&value| [upper(value); 3]).collect()
        }
        DynamicImage::ImageLumaA16(image) => {
            let pixels = image.pixels();
            pixels.flat_map(|pixel| [upper(pixel.0[0]); 3]).collect()
        }
        DynamicImage::ImageLumaA8(image) => {
            let pixels = image.pixels();
            pixels.flat_map(|pixel| [pixel.0[0]; 3]).collect()
        }
        other => other.into_rgb8().into_raw(),
    }
}
