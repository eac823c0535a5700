//! Random square crops of an image, each resized for the classifier (the augmentation of P tech 1).

use burn::tensor::Tensor;
use rand::Rng;

use crate::{augment::Views, random, rows::int_tensor};

/// A square crop of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Crop {
    /// Side in pixels.
    pub size: usize,
    /// First row.
    pub y: usize,
    /// First column.
    pub x: usize,
}

/// Draws the crops of a step: the side is `floor(u^power * (side - smallest) + smallest)` with uniform `u`, the place
/// uniform. The stream is keyed by seed, step index and crop number, so that all samples of a step see the same crops
/// whatever batch they are in.
///
/// `side` and `smallest` are in pixels, `smallest <= side`.
pub fn draw_crops(
    seed: u64,
    index: usize,
    count: usize,
    side: usize,
    smallest: usize,
    power: f64,
) -> Vec<Crop> {
    (0..count)
        .map(|number| {
            let mut rng = random::stream(seed, b"cutouts\0", index as u64, number as u64);
            let u: f64 = rng.random();
            let size =
                (u.powf(power) * side.saturating_sub(smallest) as f64 + smallest as f64) as usize;
            let free = side.saturating_sub(size);
            Crop {
                size,
                x: rng.random_range(0..=free),
                y: rng.random_range(0..=free),
            }
        })
        .collect()
}

/// Crops square images and resizes each crop to `side` by nearest neighbour.
///
/// Returns `[crop * batch, channel, side, side]`, all images of the first crop first. Can be differentiated.
///
/// - `image`: `[batch, channel, height, width]`; every crop has to lie inside.
pub fn cut(image: Tensor<4>, crops: &[Crop], side: usize) -> Tensor<4> {
    Views::crops(crops, side).show(image)
}

/// Views of images, each given by the row and the column of the image that its own rows and columns show; all of one
/// size. Returns `[view * batch, channel, height, width]`, all images of the first view first.
pub(crate) fn gather(image: Tensor<4>, views: &[(Vec<usize>, Vec<usize>)]) -> Tensor<4> {
    let [batch, channel, height, width] = image.dims();
    let (rows, columns) = views
        .first()
        .map_or((0, 0), |(rows, columns)| (rows.len(), columns.len()));
    // One gather over the flattened pixels serves all views.
    let mut index = Vec::with_capacity(views.len() * rows * columns);
    for (rows, columns) in views {
        for row in rows {
            index.extend(columns.iter().map(|column| row * width + column));
        }
    }
    let device = image.device();
    image
        .reshape([batch, channel, height * width])
        .select(2, int_tensor(&index, &device))
        .reshape([batch, channel, views.len(), rows * columns])
        .permute([2, 0, 1, 3])
        .reshape([views.len() * batch, channel, rows, columns])
}
