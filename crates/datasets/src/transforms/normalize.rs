//! From grey values to what a classifier was trained on.

use super::Picture;

/// Mean and standard deviation of each channel, of values in [0, 1].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Normalization {
    /// Subtracted.
    pub mean: [f32; 3],
    /// Divided by.
    pub std: [f32; 3],
}

impl Normalization {
    /// OpenOOD's for CIFAR-10; its out-of-distribution sets use it too.
    pub const CIFAR10: Self = Self {
        mean: [0.4914, 0.4822, 0.4465],
        std: [0.2470, 0.2435, 0.2616],
    };

    /// OpenOOD's for CIFAR-100.
    pub const CIFAR100: Self = Self {
        mean: [0.5071, 0.4867, 0.4408],
        std: [0.2675, 0.2565, 0.2761],
    };

    /// torchvision's for ImageNet.
    pub const IMAGENET: Self = Self {
        mean: [0.485, 0.456, 0.406],
        std: [0.229, 0.224, 0.225],
    };
}

/// `(v / 255 - mean) / std` for each channel of `[channel, height, width]`, in 32-bit floats. A grey picture has the
/// first mean and deviation.
pub fn normalized(picture: &Picture, normalization: &Normalization) -> Vec<f32> {
    let plane = picture.shape().height * picture.shape().width;
    let channels = picture
        .pixels()
        .chunks(plane)
        .zip(normalization.mean.iter().zip(&normalization.std));
    channels
        .flat_map(|(plane, (mean, std))| {
            plane
                .iter()
                .map(move |&value| (f32::from(value) / 255.0 - mean) / std)
        })
        .collect()
}
