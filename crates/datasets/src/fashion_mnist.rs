//! Fashion-MNIST (Xiao, Rasul and Vollgraf, arXiv 1708.07747): 70,000 grey pictures of clothes, 28 x 28, ten
//! classes, from its own IDX files.

use std::fs;
use std::path::{Path, PathBuf};

use crate::hash::{md5_hex, sha256_hex};
use crate::idx::{self, Idx};
use crate::{Error, ImageSet, ImageShape, Result};

/// The classes in the order of their labels.
pub const CLASS_NAMES: [&str; 10] = [
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
];

/// The official download folder.
pub const URL: &str = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/";

/// The id of the training image at `position` of the published file.
pub(crate) fn train_id(position: usize) -> String {
    format!("fashion-mnist/train/{position:05}")
}

/// The id of the test image at `position` of the published file.
pub(crate) fn test_id(position: usize) -> String {
    format!("fashion-mnist/test/{position:05}")
}

/// One of the four published files.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PublishedFile {
    /// The name under which it is published.
    pub name: &'static str,
    /// MD5 of the published gzip file.
    pub md5: &'static str,
    /// SHA-256 of the IDX file inside it, to recognise it however it was packed (Debian packs it anew).
    content_sha256: &'static str,
    /// The time in its gzip header, seconds since 1970: the one thing that Debian's file lacks besides the name.
    packed_at: u32,
}

const TRAIN_IMAGES: PublishedFile = PublishedFile {
    name: "train-images-idx3-ubyte.gz",
    md5: "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
    content_sha256: "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
    packed_at: 1_504_176_606,
};
const TRAIN_LABELS: PublishedFile = PublishedFile {
    name: "train-labels-idx1-ubyte.gz",
    md5: "25c81989df183df01b3e8a0aad5dffbe",
    content_sha256: "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
    packed_at: 1_504_176_606,
};
pub(crate) const TEST_IMAGES: PublishedFile = PublishedFile {
    name: "t10k-images-idx3-ubyte.gz",
    md5: "bef4ecab320f06d8554ea6380940ec79",
    content_sha256: "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
    packed_at: 1_504_176_627,
};
pub(crate) const TEST_LABELS: PublishedFile = PublishedFile {
    name: "t10k-labels-idx1-ubyte.gz",
    md5: "bb300cfdad3c16e7a12a480ee83cd310",
    content_sha256: "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
    packed_at: 1_504_176_627,
};

/// Reads the 60,000 training images, labels 0 to 9, ids `fashion-mnist/train/00000` onward.
///
/// `places` are the files themselves or folders that hold them, gzipped under their published names or unpacked
/// without the `.gz`.
///
/// # Errors
///
/// [`Error::Missing`] says what to get and where to put it; [`Error::Checksum`] and [`Error::Format`] name the
/// file that is not as published.
pub fn load_train(places: &[PathBuf]) -> Result<ImageSet> {
    let (images, labels) = (TRAIN_IMAGES.find(places)?, TRAIN_LABELS.find(places)?);
    let images = idx::parse(&images.0, &images.1, 3)?;
    let labels = idx::parse(&labels.0, &labels.1, 1)?;
    image_set("fashion-mnist-train", images, labels, train_id)
}

/// Reads the 10,000 test images, labels 0 to 9, ids `fashion-mnist/test/00000` onward. See [`load_train`].
///
/// # Errors
///
/// As [`load_train`].
pub fn load_test(places: &[PathBuf]) -> Result<ImageSet> {
    let (images, labels) = (TEST_IMAGES.find(places)?, TEST_LABELS.find(places)?);
    let images = idx::parse(&images.0, &images.1, 3)?;
    let labels = idx::parse(&labels.0, &labels.1, 1)?;
    image_set("fashion-mnist-test", images, labels, test_id)
}

impl PublishedFile {
    /// Finds the file, checks that it is the published one and unpacks it; gives its path and its IDX bytes.
    fn find(&self, places: &[PathBuf]) -> Result<(PathBuf, Vec<u8>)> {
        let path = self.locate(places)?;
        let bytes = fs::read(&path).map_err(Error::io(&path, "read the file"))?;
        let content = self.unpack_checked(&path, &bytes)?;
        Ok((path, content))
    }

    /// The first of `places` that is the file or holds it.
    fn locate(&self, places: &[PathBuf]) -> Result<PathBuf> {
        let plain = self.name.trim_end_matches(".gz");
        let of_name = |path: &PathBuf| path.ends_with(self.name) || path.ends_with(plain);
        let files = places.iter().flat_map(|place| match of_name(place) {
            true => vec![place.clone()],
            false => vec![place.join(self.name), place.join(plain)],
        });
        files
            .into_iter()
            .find(|path| path.is_file())
            .ok_or_else(|| Error::Missing {
                what: format!("Fashion-MNIST's {}", self.name),
                looked: places
                    .iter()
                    .map(|place| place.display().to_string())
                    .collect::<Vec<_>>()
                    .join(", "),
                mend: format!(
                    "download {URL}{name} (md5 {md5}) to {place}, or on Debian install the package \
                 dataset-fashion-mnist (it puts the file into /usr/share/datasets/fashion-mnist)",
                    name = self.name,
                    md5 = self.md5,
                    place = places.first().map_or_else(
                        || "a folder fashion-mnist".into(),
                        |place| place.join(self.name).display().to_string()
                    ),
                ),
            })
    }

    /// The IDX file in `bytes`, if it is the published one.
    fn unpack_checked(&self, path: &Path, bytes: &[u8]) -> Result<Vec<u8>> {
        let content = idx::unpack(path, bytes)?;
        let found = sha256_hex(&content);
        if found == self.content_sha256 {
            return Ok(content);
        }
        Err(Error::Checksum {
            path: path.to_path_buf(),
            expected: format!(
                "md5 {} (unpacked: sha256 {})",
                self.md5, self.content_sha256
            ),
            found: format!("md5 {} (unpacked: sha256 {found})", md5_hex(bytes)),
            mend: format!("download it again from {URL}{}", self.name),
        })
    }

    /// The bytes of the file exactly as published, from `dir`.
    ///
    /// Debian's file differs in the gzip header alone (name and time are taken out), so they are put back; the
    /// published MD5 proves the result.
    pub(crate) fn published_bytes(&self, dir: &Path) -> Result<Vec<u8>> {
        let path = self.locate(&[dir.to_path_buf()])?;
        let bytes = fs::read(&path).map_err(Error::io(&path, "read the file"))?;
        if md5_hex(&bytes) == self.md5 {
            return Ok(bytes);
        }
        // Ten bytes of header: magic, method, flags (bit 3: a name follows), time, level, system.
        const HEADER: usize = 10;
        if let Some([0x1f, 0x8b, 8, 0, ..]) = bytes.get(..HEADER) {
            let mut restored = vec![0x1f, 0x8b, 8, 8];
            restored.extend(self.packed_at.to_le_bytes());
            restored.extend([0, 3]);
            restored.extend(self.name.trim_end_matches(".gz").bytes());
            restored.push(0);
            restored.extend_from_slice(&bytes[HEADER..]);
            if md5_hex(&restored) == self.md5 {
                return Ok(restored);
            }
        }
        Err(Error::Checksum {
            path,
            expected: format!("md5 {}", self.md5),
            found: format!("md5 {}", md5_hex(&bytes)),
            mend: format!("download it from {URL}{}", self.name),
        })
    }
}

/// Joins images `[sample, height, width]` and labels `[sample]`; `id` names the sample at an index.
pub(crate) fn image_set(
    name: &str,
    images: Idx,
    labels: Idx,
    id: impl Fn(usize) -> String,
) -> Result<ImageSet> {
    let shape = ImageShape {
        channels: 1,
        height: images.dims[1],
        width: images.dims[2],
    };
    let ids = (0..labels.data.len()).map(id).collect();
    let labels = labels.data.into_iter().map(i64::from).collect();
    ImageSet::new(name, shape, images.data, labels, ids)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_file_says_what_to_get_and_where_to_put_it() {
        let dir = tempfile::tempdir().unwrap();
        let text = load_test(&[dir.path().to_path_buf()])
            .unwrap_err()
            .to_string();
        for part in [
            URL,
            "t10k-images-idx3-ubyte.gz",
            "dataset-fashion-mnist",
            &dir.path().display().to_string(),
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
    }

    #[test]
    fn another_file_under_the_name_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let other = idx::write_gzip(&[1, 28, 28], &[0; 784]).unwrap();
        fs::write(dir.path().join(TEST_IMAGES.name), other).unwrap();
        let error = load_test(&[dir.path().to_path_buf()]).unwrap_err();
        assert!(matches!(error, Error::Checksum { .. }), "{error}");
        assert!(error.to_string().contains("download it again"));
    }
}
