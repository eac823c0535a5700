//! From images in [-1, 1] to what a classifier was trained on.

use burn::tensor::Tensor;

/// Mean and standard deviation of each channel on [0, 1].
#[derive(Clone, Debug, PartialEq)]
pub struct Preprocessing {
    mean: Vec<f32>,
    std: Vec<f32>,
}

impl Preprocessing {
    /// Of as many channels as both have values.
    pub fn new(mean: &[f32], std: &[f32]) -> Self {
        Self {
            mean: mean.to_owned(),
            std: std.to_owned(),
        }
    }

    /// Channels of the images.
    pub fn channels(&self) -> usize {
        self.mean.len()
    }

    /// `((x + 1) / 2 - mean) / std` as one multiplication and one addition; `image`: `[batch, channel, h, w]`.
    pub fn normalise(&self, image: Tensor<4>) -> Tensor<4> {
        let channels = self.mean.len();
        let column = |values: Vec<f32>| {
            Tensor::<1>::from_floats(values.as_slice(), &image.device())
                .reshape([1, channels, 1, 1])
        };
        let pairs = || self.mean.iter().zip(&self.std);
        let scale = column(pairs().map(|(_, std)| 0.5 / std).collect());
        let shift = column(pairs().map(|(mean, std)| (0.5 - mean) / std).collect());
        image * scale + shift
    }
}
