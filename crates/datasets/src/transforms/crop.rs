//! Cutting the middle out of a picture.

use super::Picture;
use crate::{ImageShape, Result};

/// Cuts `height` x `width` out of the middle (torchvision's `CenterCrop`). The offset is half of what is left over,
/// rounded half to even; a picture that is too small is first framed in black, the thinner half of the frame at the
/// top and the left.
///
/// # Errors
///
/// [`Error::Invalid`](crate::Error::Invalid) where a side is 0.
pub fn centre_crop(picture: &Picture, height: usize, width: usize) -> Result<Picture> {
    let from = picture.shape();
    let shape = ImageShape {
        channels: from.channels,
        height,
        width,
    };
    let rows = offset(from.height, height);
    let columns = offset(from.width, width);
    let mut pixels = vec![0; shape.len()];
    for channel in 0..shape.channels {
        for row in 0..height {
            let Some(source_row) = inside(row as isize + rows, from.height) else {
                continue;
            };
            let line = &picture.pixels()[(channel * from.height + source_row) * from.width..];
            let line = &line[columns.max(0) as usize..from.width];
            let own = &mut pixels[(channel * height + row) * width..][..width];
            let own = &mut own[(-columns).max(0) as usize..];
            let kept = own.len().min(line.len());
            own[..kept].copy_from_slice(&line[..kept]);
        }
    }
    Picture::new(shape, pixels)
}

/// Where in the input the output begins; negative where a frame is added.
fn offset(input: usize, output: usize) -> isize {
    if input >= output {
        ((input - output) as f64 / 2.0).round_ties_even() as isize
    } else {
        -(((output - input) / 2) as isize)
    }
}

fn inside(place: isize, extent: usize) -> Option<usize> {
    usize::try_from(place).ok().filter(|&place| place < extent)
}
