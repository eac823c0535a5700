//! From a data set that is at hand to its images by list name.

use std::path::PathBuf;
use std::sync::Arc;

use super::Pictures;
use super::archive::Files;
use super::memory::Block;
use crate::cifar::{self, Part};
use crate::container::Container;
use crate::fetch::Found;
use crate::lists::{Half, Naming};
use crate::manifest::{Dataset, Holds};
use crate::{Error, ImageSet, ImageShape, Result, idx, mat5};

/// Opens the archive of `dataset` that `found` says is at hand. `halves` says which halves the lists need, so that no
/// more is read of the formats that have to be read as a whole.
///
/// # Errors
///
/// What its reader meets; [`Error::Invalid`] for an archive that holds no images of the lists.
pub fn open_archive(
    dataset: &Dataset,
    found: &Found,
    halves: &[Half],
) -> Result<Arc<dyn Pictures>> {
    let archive = &dataset.archives[found.archive];
    let path = found.paths.first().cloned().unwrap_or_default();
    let Some(naming) = archive.names else {
        return Err(Error::Invalid {
            what: format!("data set `{}`", dataset.name),
            problem: format!("{} holds no images of the lists", archive.place),
        });
    };
    let in_memory = |sets: Vec<ImageSet>| -> Arc<dyn Pictures> {
        let halves = halves.iter().copied().zip(sets).collect();
        Arc::new(Block::new(path.clone(), naming, halves))
    };
    match (archive.holds, naming) {
        (Holds::Images, Naming::Path(parts)) => {
            Ok(Arc::new(Files::new(Container::open(&path)?, parts)))
        }
        (Holds::CifarRecords | Holds::CifarSheets, _) => {
            let container = Container::open(&path)?;
            let sets = halves.iter().map(|half| {
                let part = match half {
                    Half::Train => Part::Train,
                    Half::Test => Part::Test,
                };
                cifar::of_archive(archive, &container, part)
            });
            Ok(in_memory(sets.collect::<Result<_>>()?))
        }
        (Holds::Idx, _) => {
            let sets = halves.iter().map(|&half| idx_half(&found.paths, half));
            Ok(in_memory(sets.collect::<Result<_>>()?))
        }
        (Holds::Matlab, _) => Ok(in_memory(vec![mat5::read_svhn(&path)?])),
        _ => Err(Error::Invalid {
            what: format!("data set `{}`", dataset.name),
            problem: format!("no reader for {}", archive.place),
        }),
    }
}

/// A half of MNIST from its IDX files.
fn idx_half(paths: &[PathBuf], half: Half) -> Result<ImageSet> {
    let prefix = match half {
        Half::Train => "train",
        Half::Test => "t10k",
    };
    let file = |kind: &str| {
        let start = format!("{prefix}-{kind}");
        paths
            .iter()
            .find(|path| {
                path.file_name()
                    .is_some_and(|name| name.to_string_lossy().starts_with(&start))
            })
            .ok_or_else(|| Error::Missing {
                what: format!("file `{start}`"),
                looked: paths
                    .iter()
                    .map(|path| path.display().to_string())
                    .collect::<Vec<_>>()
                    .join(", "),
                mend: "get all four files".into(),
            })
    };
    let (path, labels) = (file("images")?, file("labels")?);
    let images = idx::read(path, 3)?;
    let labels = idx::read(labels, 1)?.data;
    let shape = ImageShape {
        channels: 1,
        height: images.dims[1],
        width: images.dims[2],
    };
    labelled(prefix, shape, images.data, labels)
}

/// A set whose ids nobody asks for.
fn labelled(name: &str, shape: ImageShape, pixels: Vec<u8>, labels: Vec<u8>) -> Result<ImageSet> {
    let ids = vec![String::new(); labels.len()];
    let labels = labels.into_iter().map(i64::from).collect();
    ImageSet::new(name, shape, pixels, labels, ids)
}
