//! What the classifier is shown of an image while it guides: crops, mirrored and shifted, mixed with others.
//!
//! Every view is drawn by seed, step and its number alone: all samples of a step see the same views, whatever batch they
//! are in.

use burn::tensor::{Tensor, TensorData};
use rand::Rng;

use crate::{
    Error,
    cutouts::{Crop, gather},
    nearest::nearest_indices,
    random,
};

/// One view of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Shown {
    /// The part of the image; all of it where not given.
    pub crop: Option<Crop>,
    /// Mirrored left to right.
    pub mirrored: bool,
    /// Moved down and right by so many pixels of the view; its border is repeated.
    pub shift: [i64; 2],
    /// Replaced by the same place of another image.
    pub patch: Option<Patch>,
}

/// A rectangle of a view, in pixels, that shows another image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patch {
    /// First row and column.
    pub origin: [usize; 2],
    /// Height and width.
    pub size: [usize; 2],
    /// Position of the other image among the [`Donors`].
    pub donor: usize,
}

/// In-distribution images whose parts are mixed into views (CutMix, Yun et al. 2019).
#[derive(Debug, Clone)]
pub struct Donors {
    images: Tensor<4>,
    labels: Vec<usize>,
}

impl Donors {
    /// - `images`: `[donor, channel, height, width]` in [-1, 1], of the size of the images that are guided;
    /// - `labels`: the true class of each.
    ///
    /// # Errors
    /// When there are none, or the labels do not fit.
    pub fn new(images: Tensor<4>, labels: Vec<usize>) -> Result<Self, Error> {
        let [count, ..] = images.dims();
        if count == 0 || labels.len() != count {
            return Err(Error::Shape {
                what: "in-distribution images to mix with",
                expected: "at least one, and a label of each".into(),
                got: format!("{count} images, {} labels", labels.len()),
            });
        }
        Ok(Self { images, labels })
    }

    /// Their number.
    pub fn count(&self) -> usize {
        self.labels.len()
    }

    /// True class of each.
    pub fn labels(&self) -> &[usize] {
        &self.labels
    }

    /// Height and width.
    pub fn size(&self) -> [usize; 2] {
        let [_, _, height, width] = self.images.dims();
        [height, width]
    }
}

/// How views are drawn.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Drawing {
    pub(crate) seed: u64,
    /// Height and width of a view.
    pub(crate) size: [usize; 2],
    pub(crate) flip: bool,
    pub(crate) translate: Option<f64>,
    pub(crate) mix: Option<f64>,
    pub(crate) donors: usize,
}

impl Drawing {
    /// The view of `number` at the step of `index`, of a crop or of the whole image.
    pub(crate) fn view(&self, index: usize, number: usize, crop: Option<Crop>) -> Shown {
        let stream = |purpose| random::stream(self.seed, purpose, index as u64, number as u64);
        let mirrored = self.flip && stream(b"mirror\0\0").random::<bool>();
        let shift = self.translate.map_or([0; 2], |share| {
            let mut rng = stream(b"shift\0\0\0");
            self.size.map(|side| {
                let most = (share * side as f64) as i64;
                rng.random_range(-most..=most)
            })
        });
        let patch = self.mix.map(|share| {
            let mut rng = stream(b"patch\0\0\0");
            let size = self.size.map(|side| {
                let part = (share.sqrt() * side as f64).round() as usize;
                part.clamp(1, side)
            });
            Patch {
                origin: std::array::from_fn(|i| rng.random_range(0..=self.size[i] - size[i])),
                size,
                donor: rng.random_range(0..self.donors.max(1)),
            }
        });
        Shown {
            crop,
            mirrored,
            shift,
            patch,
        }
    }
}

/// The views of a step.
#[derive(Debug, Clone)]
pub struct Views<'a> {
    /// None: the image as it is.
    each: Option<Vec<Shown>>,
    /// Side in pixels to which crops are resized.
    side: usize,
    donors: Option<&'a Donors>,
}

impl<'a> Views<'a> {
    /// The image as it is.
    pub fn whole() -> Self {
        Self {
            each: None,
            side: 0,
            donors: None,
        }
    }

    /// Crops, each resized to `side`.
    pub fn crops(crops: &[Crop], side: usize) -> Self {
        let shown = |crop: &Crop| Shown {
            crop: Some(*crop),
            ..Shown::default()
        };
        Self::new(crops.iter().map(shown).collect(), side, None)
    }

    /// Any views; all of them of crops, or none. Patches are taken from `donors`.
    pub fn new(each: Vec<Shown>, side: usize, donors: Option<&'a Donors>) -> Self {
        Self {
            each: Some(each),
            side,
            donors,
        }
    }

    /// Number of views of an image.
    pub fn count(&self) -> usize {
        self.each.as_ref().map_or(1, Vec::len)
    }

    /// The views of `[batch, channel, height, width]`: `[view * batch, channel, …]`, all images of the first view first.
    /// Can be differentiated.
    pub fn show(&self, image: Tensor<4>) -> Tensor<4> {
        let Some(each) = &self.each else {
            return image;
        };
        let [batch, channel, height, width] = image.dims();
        let maps: Vec<_> = each
            .iter()
            .map(|view| self.map(view, [height, width]))
            .collect();
        let seen = gather(image, &maps);
        let Some(donors) = self
            .donors
            .filter(|_| each.iter().any(|v| v.patch.is_some()))
        else {
            return seen;
        };
        let device = seen.device();
        let [_, _, high, wide] = seen.dims();
        let others = each.iter().zip(&maps).map(|(view, map)| {
            let donor = view.patch.map_or(0, |patch| patch.donor);
            let other = donors.images.clone().narrow(0, donor, 1);
            gather(other, std::slice::from_ref(map))
        });
        let others = Tensor::cat(others.collect(), 0)
            .to_device(&device)
            .unsqueeze_dim::<5>(1);
        let masks: Vec<f32> = each
            .iter()
            .flat_map(|view| {
                (0..high * wide).map(move |at| {
                    let inside = view.patch.is_some_and(|patch| {
                        [at / wide, at % wide]
                            .iter()
                            .enumerate()
                            .all(|(axis, place)| {
                                let from = patch.origin[axis];
                                (from..from + patch.size[axis]).contains(place)
                            })
                    });
                    f32::from(u8::from(inside))
                })
            })
            .collect();
        let mask = Tensor::<5>::from_data(
            TensorData::new(masks, [each.len(), 1, 1, high, wide]),
            &device,
        );
        let seen = seen.reshape([each.len(), batch, channel, high, wide]);
        (seen * (-mask.clone() + 1.0) + others * mask).reshape([
            each.len() * batch,
            channel,
            high,
            wide,
        ])
    }

    /// Share of the area that shows another image, and that image's label, of each view; none where nothing is mixed.
    pub(crate) fn mixed(&self) -> Option<Vec<(f64, usize)>> {
        let (each, donors) = (self.each.as_ref()?, self.donors?);
        let [height, width] = match each.first()?.crop {
            Some(_) => [self.side; 2],
            None => donors.size(),
        };
        each.iter()
            .map(|view| {
                let patch = view.patch?;
                let area = (patch.size[0] * patch.size[1]) as f64;
                Some((area / (height * width) as f64, donors.labels[patch.donor]))
            })
            .collect()
    }

    /// Row and column of the image for every row and column of a view.
    fn map(&self, view: &Shown, [height, width]: [usize; 2]) -> (Vec<usize>, Vec<usize>) {
        let (rows, mut columns) = match view.crop {
            None => ((0..height).collect(), (0..width).collect::<Vec<_>>()),
            Some(crop) => {
                let along = nearest_indices(crop.size, self.side);
                let from = |first: usize| along.iter().map(|i| first + i).collect();
                (from(crop.y), from(crop.x))
            }
        };
        if view.mirrored {
            columns.reverse();
        }
        let [down, right] = view.shift;
        (shifted(rows, down), shifted(columns, right))
    }
}

fn shifted(places: Vec<usize>, by: i64) -> Vec<usize> {
    if by == 0 {
        return places;
    }
    let last = places.len() as i64 - 1;
    (0..=last)
        .map(|place| places[(place - by).clamp(0, last) as usize])
        .collect()
}
