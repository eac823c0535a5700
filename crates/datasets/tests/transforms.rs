//! The transforms against golden files of PIL and torchvision.
//!
//! The small files are in `oracles/resize`; a folder with more of them can be named in `DIFFGUARD_ORACLES`
//! (its subfolder `resize` is read).

use std::fs;
use std::path::{Path, PathBuf};

use diffguard_datasets::ImageShape;
use diffguard_datasets::transforms::{
    Antialias, Filter, Normalization, Picture, Preprocess, nearest, nearest_index, normalized,
    resize_planes, resize_shorter_side, shorter_side_to,
};
use safetensors::SafeTensors;
use serde_json::Value;

/// A golden file.
struct Oracle {
    path: PathBuf,
    bytes: Vec<u8>,
    config: Value,
}

impl Oracle {
    fn read(path: PathBuf) -> Self {
        let bytes = fs::read(&path).expect("readable");
        let (_, header) = SafeTensors::read_metadata(&bytes).expect("safetensors");
        let config = &header.metadata().as_ref().expect("metadata")["config"];
        let config = serde_json::from_str(config).expect("config is JSON");
        Self {
            path,
            bytes,
            config,
        }
    }

    fn tensor(&self, name: &str) -> Option<(Vec<usize>, Vec<u8>)> {
        let tensors = SafeTensors::deserialize(&self.bytes).expect("safetensors");
        let tensor = tensors.tensor(name).ok()?;
        Some((tensor.shape().to_vec(), tensor.data().to_vec()))
    }

    fn floats(&self, name: &str) -> Option<(Vec<usize>, Vec<f32>)> {
        let (shape, bytes) = self.tensor(name)?;
        let word = |chunk: &[u8]| f32::from_le_bytes(chunk.try_into().expect("four bytes"));
        Some((shape, bytes.chunks(4).map(word).collect()))
    }

    fn integers(&self, name: &str) -> Vec<usize> {
        let (_, bytes) = self.tensor(name).expect(name);
        let word =
            |chunk: &[u8]| i64::from_le_bytes(chunk.try_into().expect("eight bytes")) as usize;
        bytes.chunks(8).map(word).collect()
    }

    fn picture(&self, name: &str) -> Picture {
        let (shape, bytes) = self.tensor(name).expect(name);
        let shape = ImageShape {
            height: shape[0],
            width: shape[1],
            channels: shape[2],
        };
        Picture::from_interleaved(shape, &bytes).expect("fits")
    }

    fn number(&self, key: &str) -> usize {
        self.config[key].as_u64().expect(key) as usize
    }
}

/// All golden files of one `config.op`; there must be some.
fn oracles(op: &str) -> Vec<Oracle> {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../oracles/resize");
    let more = std::env::var_os("DIFFGUARD_ORACLES").map(|dir| PathBuf::from(dir).join("resize"));
    let files = [Some(own), more].into_iter().flatten();
    let files = files
        .flat_map(|dir| fs::read_dir(dir).expect("a folder"))
        .map(|entry| entry.expect("readable").path());
    let oracles: Vec<Oracle> = files
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "safetensors")
        })
        .map(Oracle::read)
        .filter(|oracle| oracle.config["op"] == op)
        .collect();
    assert!(!oracles.is_empty(), "no golden file for {op}");
    oracles
}

fn close(found: &[f32], expected: &[f32], absolute: f32, relative: f32, what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for (index, (found, expected)) in found.iter().zip(expected).enumerate() {
        let tolerance = absolute + relative * expected.abs();
        assert!(
            (found - expected).abs() <= tolerance,
            "{what} [{index}]: {found} for {expected}"
        );
    }
}

#[test]
fn pil_resize_and_crop_are_equal_to_the_last_bit() {
    for oracle in oracles("pil_resize_centercrop") {
        let name = oracle.path.display();
        let filter = match oracle.config["interpolation"].as_str() {
            Some("bilinear") => Filter::Bilinear,
            Some("bicubic") => Filter::Bicubic,
            other => panic!("{name}: {other:?}"),
        };
        let preprocess = Preprocess {
            resize: oracle.number("resize"),
            crop: oracle.number("crop"),
            filter,
        };
        let input = oracle.picture("in.image");
        let resized = resize_shorter_side(&input, preprocess.resize, filter).expect("no side is 0");
        assert!(resized == oracle.picture("out.resized"), "{name}: resized");
        let image = preprocess.apply(&input).expect("no side is 0");
        assert!(image == oracle.picture("out.image"), "{name}: cropped");

        if let Some((_, expected)) = oracle.floats("out.normalized") {
            let normalization = match oracle.config["norm"].as_str() {
                Some("cifar10") => Normalization::CIFAR10,
                Some("cifar100") => Normalization::CIFAR100,
                Some("imagenet") => Normalization::IMAGENET,
                other => panic!("{name}: {other:?}"),
            };
            close(
                &normalized(&image, &normalization),
                &expected,
                1e-6,
                1e-6,
                &name.to_string(),
            );
        }
    }
}

#[test]
fn tensor_resize_matches_with_and_without_antialiasing() {
    for oracle in oracles("tensor_resize") {
        let (shape, input) = oracle.floats("in.image").expect("in.image");
        let from = (shape[2], shape[3]);
        let to = shorter_side_to(from.0, from.1, oracle.number("size"));
        for (antialias, name) in [
            (Antialias::Off, "out.antialias_false"),
            (Antialias::On, "out.antialias_true"),
        ] {
            let (shape, expected) = oracle.floats(name).expect(name);
            assert_eq!(to, (shape[2], shape[3]));
            let what = format!("{} {name}", oracle.path.display());
            close(
                &resize_planes(&input, from, to, antialias),
                &expected,
                2e-6,
                1e-5,
                &what,
            );
        }
    }
}

#[test]
fn nearest_index_is_that_of_32_bit_floats() {
    for oracle in oracles("nearest") {
        let out = oracle.number("out");
        let expected = oracle.integers("out.index");
        for (size, expected) in oracle
            .integers("in.sizes")
            .into_iter()
            .zip(expected.chunks(out))
        {
            assert_eq!(nearest_index(size, out), expected, "{size} to {out}");
        }
        for pair in oracle.config["extra"].as_array().expect("extra") {
            let pair: Vec<usize> = pair
                .as_array()
                .expect("a pair")
                .iter()
                .map(|n| n.as_u64().expect("n") as usize)
                .collect();
            let expected = oracle.integers(&format!("out.index_{}_to_{}", pair[0], pair[1]));
            assert_eq!(nearest_index(pair[0], pair[1]), expected, "{pair:?}");
        }

        let (shape, image) = oracle.tensor("in.image").expect("in.image");
        let (left, top, side) = (
            oracle.number("crop_offset_x"),
            oracle.number("crop_offset_y"),
            oracle.number("crop_size"),
        );
        let mut cut = Vec::new();
        for plane in image.chunks(shape[1] * shape[2]) {
            for row in top..top + side {
                cut.extend_from_slice(&plane[row * shape[2] + left..][..side]);
            }
        }
        let (_, expected) = oracle.tensor("out.crop").expect("out.crop");
        assert!(nearest(&cut, (side, side), (out, out)) == expected, "crop");
    }
}

#[test]
fn sides_of_nothing_are_errors() {
    let shape = ImageShape {
        channels: 1,
        height: 2,
        width: 500,
    };
    let picture = Picture::new(shape, vec![0; 1000]).expect("fits");
    assert!(resize_shorter_side(&picture, 0, Filter::Bilinear).is_err());
    assert!(
        Picture::new(
            ImageShape {
                channels: 3,
                height: 0,
                width: 4
            },
            Vec::new()
        )
        .is_err()
    );
    assert!(
        Preprocess {
            resize: 2,
            crop: 0,
            filter: Filter::Bicubic
        }
        .apply(&picture)
        .is_err()
    );
}
