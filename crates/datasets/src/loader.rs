//! Pictures from a container to a network's input: read, decoded and transformed by all cores, in a fixed order.
//!
//! The pictures come out in the order of the list, whatever the order of work, and the first fault in that order is
//! the one that is told. At most [`WINDOW`] pieces of [`PIECE`] pictures are under way for each thread, so that a slow
//! consumer holds the threads back instead of filling the memory.

use std::collections::HashMap;
use std::num::NonZero;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;

use crate::container::Container;
use crate::ordered::{Limits, Turn, in_order};
use crate::transforms::{Picture, Preprocess};
use crate::{Error, ImageSet, ImageShape, Result, decode};

/// Pictures that a thread takes at once.
pub const PIECE: usize = 16;

/// Pieces for each thread that may be under way or wait for the consumer.
pub const WINDOW: usize = 4;

/// A picture of a split.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// Its list name.
    pub name: String,
    /// The name of its file in the container.
    pub entry: String,
    /// Its class, or [`OUT_OF_DISTRIBUTION`](crate::OUT_OF_DISTRIBUTION).
    pub label: i64,
}

/// Samples that follow each other in the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// Their places in the list.
    pub places: Range<usize>,
    /// `[batch, 3, crop, crop]`, 0 to 255.
    pub pixels: Vec<u8>,
}

/// Loads the samples of a list.
#[derive(Debug)]
pub struct Loader<'a> {
    container: &'a Container,
    preprocess: Preprocess,
    samples: Vec<Sample>,
    /// The place of each sample's file in the container.
    files: Vec<usize>,
    places: HashMap<String, usize>,
    threads: usize,
}

impl<'a> Loader<'a> {
    /// Finds the samples' files; as many threads as there are cores.
    ///
    /// # Errors
    ///
    /// [`Error::Missing`] for the first sample whose file the container does not have; [`Error::Invalid`] where a list
    /// name occurs twice.
    pub fn new(
        container: &'a Container,
        preprocess: Preprocess,
        samples: Vec<Sample>,
    ) -> Result<Self> {
        let mut files = Vec::with_capacity(samples.len());
        let mut places = HashMap::with_capacity(samples.len());
        for (place, sample) in samples.iter().enumerate() {
            let file = container
                .position(&sample.entry)
                .ok_or_else(|| Error::Missing {
                    what: format!("`{}` (file `{}`)", sample.name, sample.entry),
                    looked: container.path().display().to_string(),
                    mend: "check that the archive is the official one, and whole".into(),
                })?;
            files.push(file);
            if places.insert(sample.name.clone(), place).is_some() {
                return Err(Error::Invalid {
                    what: format!("list of {}", container.path().display()),
                    problem: format!("`{}` occurs twice", sample.name),
                });
            }
        }
        Ok(Self {
            container,
            preprocess,
            samples,
            files,
            places,
            threads: thread::available_parallelism().map_or(1, NonZero::get),
        })
    }

    /// With so many threads, at least one.
    #[must_use]
    pub fn threads(mut self, threads: usize) -> Self {
        self.threads = threads.max(1);
        self
    }

    /// The list.
    pub fn samples(&self) -> &[Sample] {
        &self.samples
    }

    /// Number of samples.
    pub fn len(&self) -> usize {
        self.samples.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.samples.is_empty()
    }

    /// The size of every picture that comes out.
    pub fn shape(&self) -> ImageShape {
        ImageShape {
            channels: 3,
            height: self.preprocess.crop,
            width: self.preprocess.crop,
        }
    }

    /// One sample, by its list name.
    ///
    /// # Errors
    ///
    /// [`Error::Missing`] for a name that the list does not have; whatever reading and decoding meet.
    pub fn get(&self, name: &str) -> Result<Picture> {
        let place = self.places.get(name).ok_or_else(|| Error::Missing {
            what: format!("sample `{name}`"),
            looked: format!("the list of {} names", self.len()),
            mend: "names are written as in OpenOOD's lists, e.g. `tin/val/images/val_0.JPEG`"
                .into(),
        })?;
        self.picture(*place, &self.container.read_index(self.files[*place])?)
    }

    /// Gives every sample to `consume`, by place and picture, in the order of the list.
    ///
    /// # Errors
    ///
    /// The first in the order of the list, of reading, decoding or `consume`.
    pub fn each(&self, consume: impl FnMut(usize, Picture) -> Result<()>) -> Result<()> {
        let order: Vec<usize> = (0..self.len()).collect();
        self.run(&order, consume)
    }

    /// Gives all samples to `consume` in batches of `size` (the last may be smaller), in the order of the list.
    ///
    /// # Errors
    ///
    /// As [`each`](Self::each).
    pub fn batches(&self, size: usize, mut consume: impl FnMut(Batch) -> Result<()>) -> Result<()> {
        let size = size.max(1);
        let mut pixels = Vec::new();
        self.each(|place, picture| {
            if pixels.is_empty() {
                let left = self.len() - place;
                pixels.reserve_exact(left.min(size) * self.shape().len());
            }
            pixels.extend_from_slice(picture.pixels());
            let end = place + 1;
            if !end.is_multiple_of(size) && end < self.len() {
                return Ok(());
            }
            let places = end - pixels.len() / self.shape().len()..end;
            let pixels = std::mem::take(&mut pixels);
            consume(Batch { places, pixels })
        })
    }

    /// All samples in memory, under their list names. Files are read in the order in which they lie.
    ///
    /// # Errors
    ///
    /// Of reading or decoding.
    pub fn image_set(&self, name: impl Into<String>) -> Result<ImageSet> {
        let mut order: Vec<usize> = (0..self.len()).collect();
        order.sort_by_key(|&place| self.files[place]);
        let size = self.shape().len();
        let mut pixels = vec![0; self.len() * size];
        self.run(&order, |place, picture| {
            pixels[place * size..][..size].copy_from_slice(picture.pixels());
            Ok(())
        })?;
        let labels = self.samples.iter().map(|sample| sample.label).collect();
        let ids = self.samples.iter().map(|s| s.name.clone()).collect();
        ImageSet::new(name, self.shape(), pixels, labels, ids)
    }

    /// Gives the samples at the places of `order` to `consume`, in that order.
    fn run(
        &self,
        order: &[usize],
        mut consume: impl FnMut(usize, Picture) -> Result<()>,
    ) -> Result<()> {
        let pieces: Vec<&[usize]> = order.chunks(PIECE).collect();
        let under_way = Limits {
            threads: self.threads,
            window: self.threads * WINDOW,
        };
        in_order(
            pieces.len(),
            under_way,
            |piece, turn| self.piece(pieces[piece], turn),
            |piece, pictures| {
                let mut both = pieces[piece].iter().zip(pictures);
                both.try_for_each(|(&place, picture)| consume(place, picture?))
            },
        )
    }

    /// The pictures at some places.
    fn piece(&self, places: &[usize], turn: Turn<'_>) -> Vec<Result<Picture>> {
        let read = |place: &usize| self.container.read_index(self.files[*place]);
        if self.container.sequential() {
            // In turn, so that the archive is passed through once.
            let bytes: Vec<_> = places.iter().map(read).collect();
            drop(turn);
            let both = places.iter().zip(bytes);
            return both
                .map(|(&place, bytes)| self.picture(place, &bytes?))
                .collect();
        }
        drop(turn);
        places
            .iter()
            .map(|place| self.picture(*place, &read(place)?))
            .collect()
    }

    /// Decodes and transforms.
    fn picture(&self, place: usize, bytes: &[u8]) -> Result<Picture> {
        let (path, entry) = (self.container.path(), &self.samples[place].entry);
        // A fault in a decoder must not leave the consumer waiting for its picture.
        catch_unwind(AssertUnwindSafe(|| {
            self.preprocess.apply(&decode::rgb(bytes, path, entry)?)
        }))
        .unwrap_or_else(|_| {
            let mend = "please report it with the file; download it again meanwhile";
            Err(Error::format(path, entry, "the decoder broke down", mend))
        })
    }
}
