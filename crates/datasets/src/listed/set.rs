//! A set of images that a list names.

use std::fmt;
use std::ops::Range;
use std::sync::{Arc, OnceLock};

use rayon::prelude::*;

use crate::hash::Fields;
use crate::image_set::{ImageSet, ImageShape, draw};
use crate::lists::{ImageList, ListEntry};
use crate::transforms::{Picture, Preprocess};
use crate::{Error, OUT_OF_DISTRIBUTION, Result, decode};

/// An archive's images by number.
pub trait Pictures: Send + Sync {
    /// The number of the image that a list calls `name`; `None` where there is none.
    ///
    /// # Errors
    ///
    /// [`Error::Format`] where the name says nothing, or something else than the archive (another label).
    fn find(&self, name: &str) -> Result<Option<usize>>;

    /// The file that the image with this number is decoded from; `None` where the archive holds plain values.
    ///
    /// # Errors
    ///
    /// What reading it meets.
    fn encoded(&self, number: usize) -> Result<Option<Vec<u8>>>;

    /// The image with this number, in three colours.
    ///
    /// # Errors
    ///
    /// What reading and decoding it meets.
    fn picture(&self, number: usize) -> Result<Picture>;

    /// Where the images are, for errors.
    fn path(&self) -> String;
}

/// Images by list name, decoded on demand: `[3, side, side]` after the benchmark's resize and crop.
#[derive(Clone)]
pub struct ListedSet {
    /// What tables call the set; also a key of its random choices.
    pub name: String,
    /// The class of each image; [`OUT_OF_DISTRIBUTION`] where it has none.
    pub labels: Vec<i64>,
    /// The list name of each image.
    pub ids: Vec<String>,
    numbers: Vec<usize>,
    pictures: Arc<dyn Pictures>,
    preprocess: Preprocess,
    /// What decoding makes of a specimen, for checksums.
    fingerprint: String,
    /// Checksums of the encoded images, as far as they were asked for.
    digests: Arc<Vec<OnceLock<String>>>,
}

impl fmt::Debug for ListedSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, path) = (&self.name, self.pictures.path());
        write!(f, "ListedSet({name}, {} images of {path})", self.len())
    }
}

impl ListedSet {
    /// Finds every image of `list` in `pictures`, and decodes none.
    ///
    /// # Errors
    ///
    /// [`Error::Format`] where some are not there, with their number and the first of them.
    pub fn new(
        name: impl Into<String>,
        list: &ImageList,
        pictures: Arc<dyn Pictures>,
        preprocess: Preprocess,
    ) -> Result<Self> {
        let mut numbers = Vec::with_capacity(list.entries.len());
        let mut missing: Vec<&ListEntry> = Vec::new();
        for entry in &list.entries {
            match pictures.find(&entry.name)? {
                Some(number) => numbers.push(number),
                None => missing.push(entry),
            }
        }
        if let Some(first) = missing.first() {
            return Err(Error::format(
                pictures.path().as_ref(),
                format!("list {}", list.name),
                format!(
                    "{} of {} images are not there, the first is `{}`",
                    missing.len(),
                    list.entries.len(),
                    first.name
                ),
                "get the data set again from one of the places that `cargo xtask datasets show` names",
            ));
        }
        Ok(Self {
            name: name.into(),
            labels: list.entries.iter().map(|entry| entry.label).collect(),
            ids: list
                .entries
                .iter()
                .map(|entry| entry.name.clone())
                .collect(),
            digests: Arc::new(vec![OnceLock::new(); numbers.len()]),
            numbers,
            pictures,
            preprocess,
            fingerprint: decode::fingerprint(preprocess)?,
        })
    }

    /// Number of images.
    pub fn len(&self) -> usize {
        self.numbers.len()
    }

    /// Whether there is no image.
    pub fn is_empty(&self) -> bool {
        self.numbers.is_empty()
    }

    /// The size of every image.
    pub fn shape(&self) -> ImageShape {
        ImageShape {
            channels: 3,
            height: self.preprocess.crop,
            width: self.preprocess.crop,
        }
    }

    /// Decodes the images of `range`, in parallel, in the order of the list.
    ///
    /// # Errors
    ///
    /// The first that cannot be decoded, by name.
    ///
    /// # Panics
    ///
    /// If the range reaches beyond [`len`](Self::len).
    pub fn decode(&self, range: Range<usize>) -> Result<ImageSet> {
        let shape = self.shape();
        let mut pixels = vec![0; range.len() * shape.len()];
        pixels
            .par_chunks_mut(shape.len())
            .zip(&self.numbers[range.clone()])
            .try_for_each(|(place, &number)| {
                let picture = self.preprocess.apply(&self.pictures.picture(number)?)?;
                place.copy_from_slice(picture.pixels());
                Ok::<(), Error>(())
            })?;
        ImageSet::new(
            self.name.clone(),
            shape,
            pixels,
            self.labels[range.clone()].to_vec(),
            self.ids[range].to_vec(),
        )
    }

    /// What an image's pixels follow from: the checksum of its file and of the way to decode it, where it has a file;
    /// nothing is decoded for it. Else its pixels.
    ///
    /// # Errors
    ///
    /// What reading the image meets.
    ///
    /// # Panics
    ///
    /// If `index` is not below [`len`](Self::len).
    pub fn evidence(&self, index: usize) -> Result<Vec<u8>> {
        if let Some(digest) = self.digests[index].get() {
            return Ok(digest.clone().into());
        }
        let number = self.numbers[index];
        match self.pictures.encoded(number)? {
            Some(encoded) => {
                let digest = Fields::new("encoded/1")
                    .text(&self.fingerprint)
                    .bytes(&encoded)
                    .hex();
                let digest = self.digests[index].get_or_init(|| digest);
                Ok(digest.clone().into())
            }
            None => {
                let picture = self.preprocess.apply(&self.pictures.picture(number)?)?;
                Ok(picture.into_pixels())
            }
        }
    }

    /// SHA-256 over the images' [`evidence`](Self::evidence), labels and ids, in hexadecimal. Of values in memory it
    /// is that of the [decoded set](ImageSet::checksum).
    ///
    /// # Errors
    ///
    /// What reading the images meets.
    pub fn checksum(&self) -> Result<String> {
        let in_memory = match self.numbers.first() {
            Some(&first) => self.pictures.encoded(first)?.is_none(),
            None => true,
        };
        if in_memory {
            return Ok(self.decode(0..self.len())?.checksum());
        }
        let evidence = (0..self.len())
            .into_par_iter()
            .map(|index| self.evidence(index))
            .collect::<Result<Vec<_>>>()?;
        let mut fields = Fields::new("listed-set/1").number(self.len() as u64);
        for ((evidence, &label), id) in evidence.iter().zip(&self.labels).zip(&self.ids) {
            fields = fields.bytes(evidence).number(label as u64).text(id);
        }
        Ok(fields.hex())
    }

    /// The same images with every label taken away: an out-of-distribution set.
    #[must_use]
    pub fn unlabelled(mut self) -> Self {
        self.labels.fill(OUT_OF_DISTRIBUTION);
        self
    }

    /// At most `n` images, the same ones as [`ImageSet::limit`] takes of the decoded set.
    #[must_use]
    pub fn limit(&self, n: usize, seed: u64) -> Self {
        self.subset(&draw(&self.name, &self.labels, &self.ids, n, seed))
    }

    /// The images at `kept`, in that order.
    fn subset(&self, kept: &[usize]) -> Self {
        Self {
            name: self.name.clone(),
            labels: kept.iter().map(|&index| self.labels[index]).collect(),
            ids: kept.iter().map(|&index| self.ids[index].clone()).collect(),
            numbers: kept.iter().map(|&index| self.numbers[index]).collect(),
            pictures: self.pictures.clone(),
            preprocess: self.preprocess,
            fingerprint: self.fingerprint.clone(),
            digests: kept
                .iter()
                .map(|&index| self.digests[index].clone())
                .collect::<Vec<_>>()
                .into(),
        }
    }

    /// The images of [`limit`](Self::limit), and the others.
    pub(crate) fn split(&self, n: usize, seed: u64) -> (Self, Self) {
        let kept = draw(&self.name, &self.labels, &self.ids, n, seed);
        let others: Vec<usize> = (0..self.len())
            .filter(|index| kept.binary_search(index).is_err())
            .collect();
        (self.subset(&kept), self.subset(&others))
    }
}
