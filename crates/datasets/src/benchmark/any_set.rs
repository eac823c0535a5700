//! A set of images, decoded or not.

use std::borrow::Cow;
use std::ops::Range;

use crate::image_set::draw;
use crate::listed::ListedSet;
use crate::{ImageSet, ImageShape, Result};

/// A set in memory or on disk.
#[derive(Clone, Debug)]
pub enum AnySet {
    /// Decoded.
    Memory(ImageSet),
    /// Decoded when it is needed.
    Listed(ListedSet),
}

impl AnySet {
    /// What tables call it.
    pub fn name(&self) -> &str {
        match self {
            Self::Memory(set) => &set.name,
            Self::Listed(set) => &set.name,
        }
    }

    /// Number of images.
    pub fn len(&self) -> usize {
        match self {
            Self::Memory(set) => set.len(),
            Self::Listed(set) => set.len(),
        }
    }

    /// Whether there is no image.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The size of every image.
    pub fn shape(&self) -> ImageShape {
        match self {
            Self::Memory(set) => set.shape,
            Self::Listed(set) => set.shape(),
        }
    }

    /// The class of each image; [`OUT_OF_DISTRIBUTION`](crate::OUT_OF_DISTRIBUTION) where it has none.
    pub fn labels(&self) -> &[i64] {
        match self {
            Self::Memory(set) => &set.labels,
            Self::Listed(set) => &set.labels,
        }
    }

    /// The list name of each image.
    pub fn ids(&self) -> &[String] {
        match self {
            Self::Memory(set) => &set.ids,
            Self::Listed(set) => &set.ids,
        }
    }

    /// Bytes of its pixels.
    pub fn bytes(&self) -> u64 {
        (self.shape().len() * self.len()) as u64
    }

    /// The images of `range`.
    ///
    /// # Errors
    ///
    /// The first that cannot be decoded.
    ///
    /// # Panics
    ///
    /// If the range reaches beyond [`len`](Self::len).
    pub fn decode(&self, range: Range<usize>) -> Result<ImageSet> {
        match self {
            Self::Memory(set) => Ok(set.subset(&Vec::from_iter(range))),
            Self::Listed(set) => set.decode(range),
        }
    }

    /// What an image's pixels follow from (see [`ListedSet::evidence`]).
    ///
    /// # Errors
    ///
    /// What reading the image meets.
    ///
    /// # Panics
    ///
    /// If `index` is not below [`len`](Self::len).
    pub fn evidence(&self, index: usize) -> Result<Cow<'_, [u8]>> {
        match self {
            Self::Memory(set) => Ok(Cow::Borrowed(set.image(index))),
            Self::Listed(set) => set.evidence(index).map(Cow::Owned),
        }
    }

    /// SHA-256 over images, labels and ids, in hexadecimal (see [`ListedSet::checksum`]).
    ///
    /// # Errors
    ///
    /// What reading the images meets.
    pub fn checksum(&self) -> Result<String> {
        match self {
            Self::Memory(set) => Ok(set.checksum()),
            Self::Listed(set) => set.checksum(),
        }
    }

    /// At most `n` images (see [`ImageSet::limit`]); nothing is decoded for it.
    #[must_use]
    pub fn limit(&self, n: usize, seed: u64) -> Self {
        match self {
            Self::Memory(set) => Self::Memory(set.limit(n, seed)),
            Self::Listed(set) => Self::Listed(set.limit(n, seed)),
        }
    }

    /// The images of [`limit`](Self::limit), and the others.
    #[must_use]
    pub fn split(&self, n: usize, seed: u64) -> (Self, Self) {
        match self {
            Self::Memory(set) => {
                let kept = draw(&set.name, &set.labels, &set.ids, n, seed);
                let others: Vec<usize> = (0..set.len())
                    .filter(|index| kept.binary_search(index).is_err())
                    .collect();
                (
                    Self::Memory(set.subset(&kept)),
                    Self::Memory(set.subset(&others)),
                )
            }
            Self::Listed(set) => {
                let (kept, others) = set.split(n, seed);
                (Self::Listed(kept), Self::Listed(others))
            }
        }
    }

    /// The same images with every label taken away.
    #[must_use]
    pub fn unlabelled(self) -> Self {
        match self {
            Self::Memory(set) => Self::Memory(set.unlabelled()),
            Self::Listed(set) => Self::Listed(set.unlabelled()),
        }
    }

    /// All images in memory.
    ///
    /// # Errors
    ///
    /// The first that cannot be decoded.
    pub fn load(&self) -> Result<ImageSet> {
        match self {
            Self::Memory(set) => Ok(set.clone()),
            Self::Listed(set) => set.decode(0..set.len()),
        }
    }
}
