//! From the name of an image in OpenOOD's lists to its place in an archive.

use std::fmt;
use std::path::Path;

use serde::Deserialize;

use crate::cifar::{CIFAR10_CLASSES, CIFAR100_CLASSES};
use crate::{Error, Result};

/// How an archive names the images of the lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Naming {
    /// By path, of which the last so many parts are equal in list and archive.
    Path(usize),
    /// CIFAR-10: by half, class and place among the images of that class.
    Cifar10,
    /// CIFAR-100, likewise by fine class.
    Cifar100,
    /// MNIST: by half, digit and index.
    Mnist,
    /// SVHN: by index and digit.
    Svhn,
}

/// Which half of a data set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Half {
    /// The training images.
    Train,
    /// The test images.
    Test,
}

/// Where an image is in an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// The entry whose path ends like this.
    Entry(String),
    /// The `nth` image of a class, counted from 1.
    Nth {
        /// In this half.
        half: Half,
        /// The label of the class.
        class: usize,
        /// Its place among the images of the class.
        nth: usize,
    },
    /// An image by its place.
    Record {
        /// In this half.
        half: Half,
        /// Its place, counted from 0.
        index: usize,
        /// The label that it must have.
        label: usize,
    },
}

impl Naming {
    /// Where the image called `name` is.
    ///
    /// # Errors
    ///
    /// [`Error::Format`] where the name is not of this kind.
    pub fn target(&self, name: &str) -> Result<Target> {
        self.parse(name).ok_or_else(|| {
            let wanted = match self {
                Self::Path(parts) => format!("a path of at least {parts} parts"),
                Self::Cifar10 => "cifar10/test/airplane/0001.png".into(),
                Self::Cifar100 => "cifar100/test/apple/0001.png".into(),
                Self::Mnist => "mnist/test/7_0.jpg".into(),
                Self::Svhn => "svhn/test/000001_5.jpg".into(),
            };
            Error::format(
                Path::new(name),
                "name in an image list",
                "it says no place in the official archive",
                format!("write names like {wanted}"),
            )
        })
    }

    fn parse(&self, name: &str) -> Option<Target> {
        match self {
            Self::Path(parts) => Some(Target::Entry(last_parts(name, *parts)?.to_owned())),
            Self::Cifar10 => nth(name.strip_prefix("cifar10/")?, &CIFAR10_CLASSES),
            Self::Cifar100 => nth(name.strip_prefix("cifar100/")?, &CIFAR100_CLASSES),
            Self::Mnist => {
                let (half, file) = half(name.strip_prefix("mnist/")?)?;
                let (label, index) = file.strip_suffix(".jpg")?.split_once('_')?;
                Some(Target::Record {
                    half,
                    index: number(index)?,
                    label: number(label)?,
                })
            }
            Self::Svhn => {
                let (half, file) = half(name.strip_prefix("svhn/")?)?;
                let (index, label) = file.strip_suffix(".jpg")?.split_once('_')?;
                Some(Target::Record {
                    half,
                    index: number(index)?.checked_sub(1)?,
                    label: number(label)?,
                })
            }
        }
    }
}

/// The last `parts` parts of a path, if it has as many.
pub(crate) fn last_parts(path: &str, parts: usize) -> Option<&str> {
    if parts == 0 {
        return None;
    }
    let mut slashes = path.rmatch_indices('/').map(|(at, _)| at);
    match slashes.nth(parts - 1) {
        Some(at) => Some(&path[at + 1..]),
        None => (path.split('/').count() == parts).then_some(path),
    }
}

fn half(name: &str) -> Option<(Half, &str)> {
    let (half, rest) = name.split_once('/')?;
    let half = [Half::Train, Half::Test]
        .into_iter()
        .find(|candidate| candidate.name() == half)?;
    Some((half, rest))
}

fn nth(name: &str, classes: &[&str]) -> Option<Target> {
    let (half, rest) = half(name)?;
    let (class, file) = rest.split_once('/')?;
    Some(Target::Nth {
        half,
        class: classes.iter().position(|&known| known == class)?,
        nth: number(file.strip_suffix(".png")?).filter(|&nth| nth > 0)?,
    })
}

/// Decimal digits and nothing else.
fn number(text: &str) -> Option<usize> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

impl Half {
    /// The word in list names.
    pub fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Test => "test",
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Entry(path) => write!(f, "entry {path}"),
            Self::Nth { half, class, nth } => {
                write!(f, "{} image, number {nth} of class {class}", half.name())
            }
            Self::Record { half, index, label } => {
                write!(f, "{} image at {index}, labelled {label}", half.name())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_places() {
        let cifar = Naming::Cifar10.target("cifar10/test/airplane/0298.png");
        let wanted = Target::Nth {
            half: Half::Test,
            class: 0,
            nth: 298,
        };
        assert_eq!(cifar.unwrap(), wanted);
        let svhn = Naming::Svhn.target("svhn/test/022008_2.jpg").unwrap();
        assert_eq!(svhn.to_string(), "test image at 22007, labelled 2");
        let mnist = Naming::Mnist.target("mnist/train/9_30085.jpg").unwrap();
        assert_eq!(mnist.to_string(), "train image at 30085, labelled 9");
        let path = Naming::Path(2).target("texture/gauzy/gauzy_0138.jpg");
        assert_eq!(path.unwrap(), Target::Entry("gauzy/gauzy_0138.jpg".into()));
        assert_eq!(
            Naming::Path(1).target("a.jpg").unwrap(),
            Target::Entry("a.jpg".into())
        );
        for (naming, bad) in [
            (Naming::Cifar10, "cifar10/test/aeroplane/0001.png"),
            (Naming::Cifar10, "cifar10/test/airplane/0000.png"),
            (Naming::Cifar100, "cifar10/test/airplane/0001.png"),
            (Naming::Svhn, "svhn/test/000000_5.jpg"),
            (Naming::Mnist, "mnist/test/+7_1.jpg"),
            (Naming::Path(3), "a/b.jpg"),
        ] {
            assert!(naming.target(bad).is_err(), "{bad}");
        }
    }
}
