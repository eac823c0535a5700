//! What happens to a picture between its file and a network, exactly as PIL and torchvision do it.
//!
//! Published numbers were made with these two; a resize that is right to half a grey level elsewhere is another
//! data set. Each rule that is not obvious is stated where it is computed.

mod crop;
mod nearest;
mod normalize;
mod picture;
mod pil;
mod tensor;

pub use crop::centre_crop;
pub use nearest::{nearest, nearest_index};
pub use normalize::{Normalization, normalized};
pub use picture::Picture;
pub use pil::{Filter, resize_to};
pub use tensor::{Antialias, resize_planes};

use crate::decode::PIXEL_LIMIT;
use crate::{Error, ImageShape, Result};

/// Resize, then centre crop: the test transform of OpenOOD and of DiffGuard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Preprocess {
    /// Length of the shorter side after the resize.
    pub resize: usize,
    /// Side of the square that is cut out of the middle.
    pub crop: usize,
    /// How the resize interpolates.
    pub filter: Filter,
}

impl Preprocess {
    /// For CIFAR's 32 x 32 (OpenOOD).
    pub const CIFAR: Self = Self {
        resize: 32,
        crop: 32,
        filter: Filter::Bilinear,
    };

    /// For ImageNet's 224 x 224 (OpenOOD).
    pub const IMAGENET: Self = Self {
        resize: 256,
        crop: 224,
        filter: Filter::Bilinear,
    };

    /// For diffusion models of ImageNet at 256 x 256 (DiffGuard). The centre of 224 x 224 pixels is what
    /// [`IMAGENET`](Self::IMAGENET) gives.
    pub const IMAGENET_256: Self = Self {
        crop: 256,
        ..Self::IMAGENET
    };

    /// Applies both steps.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`](crate::Error::Invalid) where a side would be 0.
    pub fn apply(&self, picture: &Picture) -> Result<Picture> {
        let resized = resize_shorter_side(picture, self.resize, self.filter)?;
        centre_crop(&resized, self.crop, self.crop)
    }
}

/// Resizes a picture so that its shorter side becomes `side` (torchvision's `Resize(side)` on a PIL image).
///
/// # Errors
///
/// [`Error::Invalid`](crate::Error::Invalid) where `side` is 0, or the longer side beyond all measure.
pub fn resize_shorter_side(picture: &Picture, side: usize, filter: Filter) -> Result<Picture> {
    let (height, width) = shorter_side_to(picture.shape().height, picture.shape().width, side);
    if height.saturating_mul(width) as u64 > PIXEL_LIMIT {
        let ImageShape { height, width, .. } = picture.shape();
        return Err(Error::Invalid {
            what: format!("a picture of {width} x {height} pixels"),
            problem: format!("with a shorter side of {side} it has more than {PIXEL_LIMIT}"),
        });
    }
    resize_to(picture, height, width, filter)
}

/// The size of a `height` x `width` picture whose shorter side becomes `side`; the longer one is rounded down, as
/// torchvision does.
pub fn shorter_side_to(height: usize, width: usize, side: usize) -> (usize, usize) {
    if height <= width {
        (side, side.saturating_mul(width) / height.max(1))
    } else {
        (side.saturating_mul(height) / width.max(1), side)
    }
}
