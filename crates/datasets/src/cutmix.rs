//! CutMix pictures (Yun et al., ICCV 2019, arXiv 1905.04899) as out-of-distribution validation images: half one
//! class, half another, from in-distribution images alone.

use crate::hash::Fields;
use crate::random::Stream;
use crate::{Error, ImageSet, OUT_OF_DISTRIBUTION, Result};

/// The share of the picture that the pasted box covers is drawn uniformly between these.
const AREA: (f64, f64) = (0.25, 0.75);

/// Makes `n` pictures named `name`: a box of one image of `source`, pasted into another of a different class at the
/// same place. The box has the proportions of the picture and lies wholly inside it.
///
/// Picture `i` depends on `source`, `seed` and `i` alone. Ids are `<name>/00000` onward; there are no labels.
///
/// # Errors
///
/// [`Error::Invalid`] where `source` has fewer than two classes.
pub fn cutmix(source: &ImageSet, name: &str, n: usize, seed: u64) -> Result<ImageSet> {
    if source
        .labels
        .iter()
        .all(|label| Some(label) == source.labels.first())
    {
        return Err(Error::Invalid {
            what: format!("CutMix of `{}`", source.name),
            problem: "it takes images of at least two classes".into(),
        });
    }
    let mut pixels = Vec::with_capacity(n * source.shape.len());
    for sample in 0..n {
        let key = Fields::new("cutmix")
            .number(seed)
            .text(name)
            .number(sample as u64);
        pixels.extend(picture(source, &mut Stream::new(key)));
    }
    let ids = (0..n).map(|sample| format!("{name}/{sample:05}")).collect();
    ImageSet::new(
        name,
        source.shape,
        pixels,
        vec![OUT_OF_DISTRIBUTION; n],
        ids,
    )
}

/// One picture, `[channel, height, width]`.
fn picture(source: &ImageSet, stream: &mut Stream) -> Vec<u8> {
    let ground = stream.below(source.len());
    let pasted = loop {
        let candidate = stream.below(source.len());
        if source.labels[candidate] != source.labels[ground] {
            break candidate;
        }
    };
    let area = AREA.0 + (AREA.1 - AREA.0) * stream.unit();
    let (height, width) = (source.shape.height, source.shape.width);
    let side = |full: usize| (area.sqrt() * full as f64).round() as usize;
    let (box_height, box_width) = (side(height), side(width));
    let top = stream.below(height - box_height + 1);
    let left = stream.below(width - box_width + 1);

    let mut picture = source.image(ground).to_vec();
    for channel in 0..source.shape.channels {
        for row in top..top + box_height {
            let start = (channel * height + row) * width + left;
            let line = start..start + box_width;
            picture[line.clone()].copy_from_slice(&source.image(pasted)[line]);
        }
    }
    picture
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ImageShape;

    /// Flat pictures, the value says the class: 10, 20, 30 in turn.
    fn flat() -> ImageSet {
        let shape = ImageShape {
            channels: 1,
            height: 28,
            width: 28,
        };
        let labels: Vec<i64> = (0..30).map(|index| index % 3).collect();
        let pixels = labels
            .iter()
            .flat_map(|&label| vec![(label as u8 + 1) * 10; 784])
            .collect();
        let ids = (0..30).map(|index| index.to_string()).collect();
        ImageSet::new("flat", shape, pixels, labels, ids).unwrap()
    }

    #[test]
    fn every_picture_is_of_two_classes_in_the_asked_shares() {
        let mixed = cutmix(&flat(), "cutmix", 300, 0).unwrap();
        for sample in 0..mixed.len() {
            let image = mixed.image(sample);
            let first = image.iter().filter(|&&value| value == image[0]).count();
            let mut values = image.to_vec();
            values.sort_unstable();
            values.dedup();
            assert_eq!(values.len(), 2);
            assert!((0.25..=0.75).contains(&(first as f64 / 784.0)), "{first}");
        }
        assert!(
            mixed
                .labels
                .iter()
                .all(|&label| label == OUT_OF_DISTRIBUTION)
        );
    }

    #[test]
    fn a_picture_does_not_depend_on_how_many_are_made() {
        let source = flat();
        let few = cutmix(&source, "cutmix", 5, 1).unwrap();
        let many = cutmix(&source, "cutmix", 50, 1).unwrap();
        assert_eq!(few.pixels, many.pixels[..few.pixels.len()]);
        assert_ne!(few, cutmix(&source, "cutmix", 5, 2).unwrap());
    }

    #[test]
    fn one_class_is_an_error() {
        let source = flat();
        assert!(cutmix(&source.subset(&[0, 3, 6]), "cutmix", 1, 0).is_err());
        assert!(cutmix(&source.subset(&[]), "cutmix", 1, 0).is_err());
    }
}
