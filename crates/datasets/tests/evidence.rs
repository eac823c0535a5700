//! Checksums of images in files: they follow from the files, and nothing is decoded for them.

use std::io::Cursor;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use diffguard_datasets::benchmark::AnySet;
use diffguard_datasets::listed::{ListedSet, Pictures};
use diffguard_datasets::lists::{ImageList, ListEntry};
use diffguard_datasets::transforms::{Picture, Preprocess};
use diffguard_datasets::{Result, decode};

/// PNG files, or the values in them, that count how often they are decoded.
struct Counted {
    files: Mutex<Vec<Vec<u8>>>,
    in_files: bool,
    decoded: AtomicUsize,
}

impl Pictures for Counted {
    fn find(&self, name: &str) -> Result<Option<usize>> {
        Ok(name.parse().ok())
    }

    fn encoded(&self, number: usize) -> Result<Option<Vec<u8>>> {
        let file = self.files.lock().unwrap()[number].clone();
        Ok(self.in_files.then_some(file))
    }

    fn picture(&self, number: usize) -> Result<Picture> {
        self.decoded.fetch_add(1, Ordering::Relaxed);
        let file = self.files.lock().unwrap()[number].clone();
        decode::rgb(&file, "here".as_ref(), "file")
    }

    fn path(&self) -> String {
        "here".into()
    }
}

fn png(seed: u8) -> Vec<u8> {
    let image = image::RgbImage::from_fn(40, 36, |x, y| {
        image::Rgb([x as u8 * 5, y as u8 * 7, seed.wrapping_mul(x as u8 + 3)])
    });
    let mut bytes = Cursor::new(Vec::new());
    image.write_to(&mut bytes, image::ImageFormat::Png).unwrap();
    bytes.into_inner()
}

fn set(in_files: bool, preprocess: Preprocess) -> (Arc<Counted>, ListedSet) {
    let pictures = Arc::new(Counted {
        files: Mutex::new((0..10).map(png).collect()),
        in_files,
        decoded: AtomicUsize::new(0),
    });
    let list = ImageList {
        name: "list".into(),
        entries: (0..10)
            .map(|index| ListEntry {
                name: index.to_string(),
                label: index % 3,
            })
            .collect(),
    };
    let set = ListedSet::new("set", &list, pictures.clone(), preprocess).unwrap();
    (pictures, set)
}

#[test]
fn a_checksum_of_files_decodes_nothing_and_sees_every_byte() {
    let (pictures, first) = set(true, Preprocess::CIFAR);
    let sum = first.checksum().unwrap();
    let evidence = first.evidence(4).unwrap();
    assert_eq!(pictures.decoded.load(Ordering::Relaxed), 0);

    let (other, again) = set(true, Preprocess::CIFAR);
    assert_eq!(sum, again.checksum().unwrap());
    // What was asked for is known and not read again; another set over the same files reads them.
    let byte = other.files.lock().unwrap()[4].len() - 5;
    other.files.lock().unwrap()[4][byte] ^= 1;
    assert_eq!(sum, again.checksum().unwrap());
    let kept = again.limit(10, 0);
    assert_eq!(kept.evidence(4).unwrap(), evidence);
    let (flipped, fresh) = set(true, Preprocess::CIFAR);
    flipped.files.lock().unwrap()[4][byte] ^= 1;
    assert_ne!(sum, fresh.checksum().unwrap());
    assert_ne!(fresh.evidence(4).unwrap(), evidence);
    assert_eq!(fresh.evidence(3).unwrap(), first.evidence(3).unwrap());

    let unlabelled = set(true, Preprocess::CIFAR).1.unlabelled();
    assert_ne!(sum, unlabelled.checksum().unwrap());
    assert_eq!(unlabelled.evidence(4).unwrap(), evidence);
    let larger = Preprocess {
        resize: 33,
        ..Preprocess::CIFAR
    };
    assert_ne!(set(true, larger).1.evidence(4).unwrap(), evidence);
}

#[test]
fn values_in_memory_are_their_own_evidence() {
    let (_, listed) = set(false, Preprocess::CIFAR);
    let decoded = listed.decode(0..10).unwrap();
    assert_eq!(listed.checksum().unwrap(), decoded.checksum());
    assert_eq!(listed.evidence(7).unwrap(), decoded.image(7));
    let (listed, memory) = (AnySet::Listed(listed), AnySet::Memory(decoded));
    assert_eq!(listed.checksum().unwrap(), memory.checksum().unwrap());
    assert_eq!(listed.evidence(7).unwrap(), memory.evidence(7).unwrap());
    assert_eq!(listed.decode(3..6).unwrap(), memory.decode(3..6).unwrap());
}
