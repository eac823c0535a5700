//! A named set of equally large 8-bit images in memory.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::hash::Fields;
use crate::{Error, Result};

/// The label of an image that belongs to none of the in-distribution classes.
pub const OUT_OF_DISTRIBUTION: i64 = -1;

/// The size of every image in a set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ImageShape {
    /// Colour channels: 1 or 3.
    pub channels: usize,
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
}

impl ImageShape {
    /// Values in one image.
    pub fn len(self) -> usize {
        self.channels * self.height * self.width
    }

    /// Whether an image of this shape holds nothing.
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }
}

/// Images, their labels and their stable names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageSet {
    /// What tables call the set; also a key of its random choices.
    pub name: String,
    /// The size of every image.
    pub shape: ImageShape,
    /// Planar values `[sample, channel, height, width]`, 0 to 255.
    pub pixels: Vec<u8>,
    /// The class index of each sample; [`OUT_OF_DISTRIBUTION`] where it has none.
    pub labels: Vec<i64>,
    /// The list name of each sample, e.g. `fashion-mnist/test/00042`: stable whatever subset it is met in.
    pub ids: Vec<String>,
}

impl ImageSet {
    /// Puts a set together.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] where the lengths of pixels, labels and ids do not fit each other.
    pub fn new(
        name: impl Into<String>,
        shape: ImageShape,
        pixels: Vec<u8>,
        labels: Vec<i64>,
        ids: Vec<String>,
    ) -> Result<Self> {
        let name = name.into();
        let fits = labels.len() == ids.len()
            && labels.len().checked_mul(shape.len()) == Some(pixels.len());
        if !fits {
            return Err(Error::Invalid {
                what: format!("image set `{name}`"),
                problem: format!(
                    "{} labels, {} ids and {} pixel values do not fit images of {} values",
                    labels.len(),
                    ids.len(),
                    pixels.len(),
                    shape.len()
                ),
            });
        }
        Ok(Self {
            name,
            shape,
            pixels,
            labels,
            ids,
        })
    }

    /// Number of images.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there is no image.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// The values of one image, `[channel, height, width]`.
    ///
    /// # Panics
    ///
    /// If `index` is not below [`len`](Self::len).
    pub fn image(&self, index: usize) -> &[u8] {
        let size = self.shape.len();
        &self.pixels[index * size..(index + 1) * size]
    }

    /// The images at `indices`, in that order, under the same name.
    ///
    /// # Panics
    ///
    /// If an index is not below [`len`](Self::len).
    pub fn subset(&self, indices: &[usize]) -> Self {
        let mut pixels = Vec::with_capacity(indices.len() * self.shape.len());
        for &index in indices {
            pixels.extend_from_slice(self.image(index));
        }
        Self {
            name: self.name.clone(),
            shape: self.shape,
            pixels,
            labels: indices.iter().map(|&index| self.labels[index]).collect(),
            ids: indices
                .iter()
                .map(|&index| self.ids[index].clone())
                .collect(),
        }
    }

    /// The same set under another name.
    #[must_use]
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// The same images with every label taken away: an out-of-distribution set.
    #[must_use]
    pub fn unlabelled(mut self) -> Self {
        self.labels.fill(OUT_OF_DISTRIBUTION);
        self
    }

    /// The images of `range` as the networks see them: `[range.len(), channel, height, width]` in [-1, 1],
    /// `v / 127.5 - 1`.
    ///
    /// # Panics
    ///
    /// If the range reaches beyond [`len`](Self::len).
    pub fn signed(&self, range: Range<usize>) -> Vec<f32> {
        let size = self.shape.len();
        self.pixels[range.start * size..range.end * size]
            .iter()
            .map(|&value| f32::from(value) / 127.5 - 1.0)
            .collect()
    }

    /// At most `n` images, drawn evenly over the labels (a set without labels is one group), in their original
    /// order.
    ///
    /// A sample's luck depends on `seed`, the set's name and its own id, so that `limit(50, s)` is part of
    /// `limit(100, s)` and does not change when the set is read in another order. Where `n` is not a multiple of
    /// the number of labels, the lower labels get one image more; a label with too few images gives all it has
    /// and the others fill up.
    #[must_use]
    pub fn limit(&self, n: usize, seed: u64) -> Self {
        if n >= self.len() {
            return self.clone();
        }
        self.subset(&draw(&self.name, &self.labels, &self.ids, n, seed))
    }

    /// SHA-256 over shape, pixels, labels and ids, in hexadecimal; the name is not part of it.
    pub fn checksum(&self) -> String {
        let ImageShape {
            channels,
            height,
            width,
        } = self.shape;
        let mut fields = Fields::new("image-set/1")
            .number(self.len() as u64)
            .number(channels as u64)
            .number(height as u64)
            .number(width as u64)
            .bytes(&self.pixels);
        for &label in &self.labels {
            fields = fields.number(label.cast_unsigned());
        }
        for id in &self.ids {
            fields = fields.text(id);
        }
        fields.hex()
    }
}

/// The indices of at most `n` images of a set, ascending, as [`ImageSet::limit`] draws them.
pub(crate) fn draw(name: &str, labels: &[i64], ids: &[String], n: usize, seed: u64) -> Vec<usize> {
    if n >= labels.len() {
        return (0..labels.len()).collect();
    }
    let mut groups: BTreeMap<i64, Vec<(u64, usize)>> = BTreeMap::new();
    for (index, (&label, id)) in labels.iter().zip(ids).enumerate() {
        let luck = Fields::new("limit").number(seed).text(name).text(id).draw();
        groups.entry(label).or_default().push((luck, index));
    }
    for group in groups.values_mut() {
        group.sort_unstable();
    }
    let mut kept = Vec::with_capacity(n);
    let mut round = 0;
    while kept.len() < n {
        // `n` is below the number of images, so every round finds at least one.
        let turn = groups.values().filter_map(|group| group.get(round));
        kept.extend(turn.take(n - kept.len()).map(|&(_, index)| index));
        round += 1;
    }
    kept.sort_unstable();
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: ImageShape = ImageShape {
        channels: 1,
        height: 1,
        width: 2,
    };

    /// `counts[c]` images of label `c`, labels interleaved as far as they go.
    fn set(counts: &[usize]) -> ImageSet {
        let mut labels: Vec<i64> = Vec::new();
        for round in 0..counts.iter().copied().max().unwrap_or(0) {
            labels.extend(
                (0..counts.len())
                    .filter(|&c| round < counts[c])
                    .map(|c| c as i64),
            );
        }
        let pixels = (0..labels.len() * 2).map(|value| value as u8).collect();
        let ids = (0..labels.len())
            .map(|index| format!("t/{index:05}"))
            .collect();
        ImageSet::new("t", SHAPE, pixels, labels, ids).unwrap()
    }

    fn per_label(set: &ImageSet, label: i64) -> usize {
        set.labels.iter().filter(|&&l| l == label).count()
    }

    #[test]
    fn new_refuses_lengths_that_do_not_fit() {
        assert!(
            ImageSet::new(
                "t",
                SHAPE,
                vec![0; 3],
                vec![0, 1],
                vec!["a".into(), "b".into()]
            )
            .is_err()
        );
        assert!(ImageSet::new("t", SHAPE, vec![0; 4], vec![0, 1], vec!["a".into()]).is_err());
    }

    #[test]
    fn signed_maps_black_to_minus_one_and_white_to_one() {
        let mut set = set(&[2]);
        set.pixels = vec![0, 255, 51, 204];
        assert_eq!(set.signed(0..1), [-1.0, 1.0]);
        assert_eq!(set.signed(1..2), [51.0 / 127.5 - 1.0, 204.0 / 127.5 - 1.0]);
        assert_eq!(set.signed(0..2).len(), 4);
    }

    #[test]
    fn limit_is_even_ordered_nested_and_repeatable() {
        let set = set(&[40, 40, 40]);
        let small = set.limit(31, 7);
        assert_eq!(
            (
                per_label(&small, 0),
                per_label(&small, 1),
                per_label(&small, 2)
            ),
            (11, 10, 10)
        );
        assert!(small.ids.is_sorted());
        assert_eq!(small, set.limit(31, 7));
        assert_ne!(small, set.limit(31, 8));
        let larger = set.limit(32, 7);
        assert!(small.ids.iter().all(|id| larger.ids.contains(id)));
        assert_eq!(set.limit(1000, 7), set);
        assert!(set.limit(0, 7).is_empty());
    }

    #[test]
    fn limit_does_not_depend_on_the_order_of_the_set() {
        let set = set(&[40, 40]);
        let backwards: Vec<usize> = (0..set.len()).rev().collect();
        let mut ids = set.subset(&backwards).limit(20, 3).ids;
        ids.reverse();
        assert_eq!(ids, set.limit(20, 3).ids);
    }

    #[test]
    fn limit_fills_up_where_a_label_is_rare() {
        let small = set(&[3, 40, 40]).limit(33, 0);
        assert_eq!(
            (
                per_label(&small, 0),
                per_label(&small, 1),
                per_label(&small, 2)
            ),
            (3, 15, 15)
        );
    }

    #[test]
    fn limit_of_an_unlabelled_set_is_spread_over_it() {
        let small = set(&[1000]).unlabelled().limit(200, 1);
        let early = small
            .ids
            .iter()
            .filter(|id| id.as_str() < "t/00500")
            .count();
        assert!((70..130).contains(&early), "{early}");
    }

    #[test]
    fn checksum_sees_every_part() {
        let base = set(&[4, 4]);
        let sum = base.checksum();
        let change = |change: &dyn Fn(&mut ImageSet)| {
            let mut changed = base.clone();
            change(&mut changed);
            changed.checksum()
        };
        assert_eq!(sum, change(&|set| set.name = "other".into()));
        assert_ne!(sum, change(&|set| set.pixels[5] ^= 1));
        assert_ne!(sum, change(&|set| set.labels[3] = -1));
        assert_ne!(sum, change(&|set| set.ids[3].push('x')));
        assert_ne!(
            sum,
            change(&|set| set.shape = ImageShape {
                channels: 2,
                height: 1,
                width: 1
            })
        );
    }
}
