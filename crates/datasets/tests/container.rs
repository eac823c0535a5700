//! Folders, tar, tar.gz and zip: the same files by the same names, and what is refused.

mod common;

use std::fs;
use std::path::Path;

use common::{gzip, odd_tar, replaced, tar, zip};
use diffguard_datasets::container::Container;
use diffguard_datasets::{Error, Result};
use tar::EntryType;

/// Bytes that do not shrink.
fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let step = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 24) as u8
    };
    std::iter::repeat_with(step).take(length).collect()
}

fn from_bytes(bytes: Vec<u8>) -> Result<Container> {
    Container::from_bytes(Path::new("some/archive"), bytes)
}

fn refusal(bytes: Vec<u8>) -> String {
    let text = from_bytes(bytes)
        .expect_err("has to be refused")
        .to_string();
    for part in ["some/archive: ", "mend: "] {
        assert!(text.contains(part), "{part} in {text}");
    }
    text
}

#[test]
fn every_format_gives_the_same_files() {
    let long = format!("deep/{}/picture.png", "x".repeat(150));
    let (small, large) = (noise(1, 700), noise(2, 3 << 20));
    let files: Vec<(&str, &[u8])> = vec![
        ("a/one.png", &small),
        ("a/empty", &[]),
        (&long, &large),
        ("b/two.png", b"two"),
    ];
    let dir = tempfile::tempdir().unwrap();
    for (name, bytes) in &files {
        let path = dir.path().join("folder").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
    let plain = tar(&files);
    fs::write(dir.path().join("f.tar"), &plain).unwrap();
    fs::write(dir.path().join("f.tar.gz"), gzip(&plain)).unwrap();
    fs::write(dir.path().join("f.zip"), zip(&files)).unwrap();
    for place in ["folder", "f.tar", "f.tar.gz", "f.zip"] {
        let container = Container::open(&dir.path().join(place)).unwrap();
        assert_eq!(container.len(), 4, "{place}");
        // Backwards, and twice.
        for (name, bytes) in files.iter().rev().chain(&files) {
            assert!(container.read(name).unwrap() == *bytes, "{place}: {name}");
            let entry = &container.entries()[container.position(name).unwrap()];
            assert_eq!(
                (entry.name.as_str(), entry.bytes),
                (*name, bytes.len() as u64)
            );
        }
        let missing = container.read("a/three.png").unwrap_err();
        assert!(matches!(missing, Error::Missing { .. }), "{missing}");
        assert!(missing.to_string().contains("first file"), "{missing}");
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for (name, bytes) in &files {
                        assert!(container.read(name).unwrap() == *bytes);
                    }
                });
            }
        });
    }
}

#[test]
fn a_large_gzip_is_read_from_its_middle() {
    // 40 MB that pack to about half, in two members as `cat a.gz b.gz` makes them.
    let files: Vec<(String, Vec<u8>)> = (0..40)
        .map(|index| {
            let mut bytes = noise(index, 500_000);
            bytes.extend(vec![index as u8; 500_000]);
            (format!("{index}.bin"), bytes)
        })
        .collect();
    let files: Vec<(&str, &[u8])> = files.iter().map(|(n, b)| (n.as_str(), &b[..])).collect();
    let plain = tar(&files);
    let (first, second) = plain.split_at(plain.len() / 3);
    let container = from_bytes([gzip(first), gzip(second)].concat()).unwrap();
    assert!(container.sequential());
    for step in 0..120 {
        let (name, bytes) = files[step * 17 % 40];
        assert!(container.read(name).unwrap() == bytes, "{name}");
    }
}

#[test]
fn names_are_normalised() {
    let dotted = odd_tar(b"./a//./b.png", EntryType::Regular, 3, b"abc");
    let container = from_bytes(dotted).unwrap();
    assert_eq!(container.entries()[0].name, "a/b.png");
    assert_eq!(container.read("a/b.png").unwrap(), b"abc");
    let root = odd_tar(b"./", EntryType::Directory, 0, b"");
    assert!(from_bytes(root).unwrap().is_empty());
}

#[test]
fn names_that_lead_elsewhere_are_refused() {
    for (name, word) in [
        (&b"../../etc/passwd"[..], "leads out"),
        (b"a/../b", "leads out"),
        (b"/etc/passwd", "absolute"),
        (b"C:/windows", "absolute"),
        (b"..\\a", "backslash"),
        (b"\xff\xfe", "UTF-8"),
    ] {
        let plain = odd_tar(name, EntryType::Regular, 3, b"abc");
        assert!(refusal(gzip(&plain)).contains(word));
        let text = refusal(plain);
        assert!(
            text.contains(word) && text.contains(&name.escape_ascii().to_string()),
            "{text}"
        );
    }
    let whole = zip(&[("xx/passwd", b"abc")]);
    assert!(refusal(replaced(&whole, b"xx/passwd", b"../passwd")).contains("leads out"));
    assert!(refusal(replaced(&whole, b"xx/passwd", b"/x/passwd")).contains("absolute"));
}

#[test]
fn links_and_devices_are_refused() {
    for kind in [EntryType::Symlink, EntryType::Link] {
        let text = refusal(odd_tar(b"innocent.png", kind, 0, b""));
        assert!(
            text.contains("a link") && text.contains("innocent.png"),
            "{text}"
        );
    }
    for kind in [
        EntryType::Fifo,
        EntryType::Block,
        EntryType::Char,
        EntryType::GNUSparse,
    ] {
        assert!(refusal(odd_tar(b"a", kind, 0, b"")).contains("neither a file"));
    }
    let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let options = zip::write::SimpleFileOptions::default();
    writer
        .add_symlink("link.png", "/etc/passwd", options)
        .unwrap();
    let text = refusal(writer.finish().unwrap().into_inner());
    assert!(
        text.contains("a link") && text.contains("link.png"),
        "{text}"
    );
}

#[test]
fn names_that_occur_twice_are_refused() {
    let text = refusal(tar(&[("a.png", b"1"), ("a.png", b"2")]));
    assert!(text.contains("a.png") && text.contains("twice"), "{text}");
    let text = refusal(replaced(
        &zip(&[("a.png", b"1"), ("b.png", b"2")]),
        b"b.png",
        b"a.png",
    ));
    assert!(text.contains("twice"), "{text}");
}

#[test]
fn sizes_that_are_announced_are_not_believed() {
    for size in [4000, 1 << 32, 1 << 62] {
        let text = refusal(odd_tar(b"a.png", EntryType::Regular, size, b""));
        assert!(text.contains("a.png"), "{text}");
        let long = odd_tar(
            b"././@LongLink",
            EntryType::GNULongName,
            size.max(1 << 20),
            b"",
        );
        assert!(refusal(long).contains("attributes"));
    }
    // Negative, in base 256.
    let mut bytes = odd_tar(b"a.png", EntryType::Regular, 0, b"");
    bytes[124..136].fill(0xff);
    let sum: u32 = bytes[..148]
        .iter()
        .chain(&bytes[156..512])
        .map(|&b| u32::from(b))
        .sum();
    bytes[148..155].copy_from_slice(format!("{:06o}\0", sum + 256).as_bytes());
    refusal(bytes);
    // A zip whose directory announces 4 GB for three bytes.
    let mut bytes = zip(&[("a.png", b"abc")]);
    let directory = bytes.windows(4).rposition(|w| w == b"PK\x01\x02").unwrap();
    bytes[directory + 24..directory + 28].copy_from_slice(&0xffff_fff0u32.to_le_bytes());
    assert!(refusal(bytes.clone()).contains("bomb"));
    bytes[directory + 24..directory + 28].copy_from_slice(&1000u32.to_le_bytes());
    if let Ok(container) = from_bytes(bytes) {
        assert!(container.read("a.png").is_err());
    }
}

#[test]
fn bombs_are_stopped() {
    let zeros = vec![0; 200 << 20];
    let plain = tar(&[("zeros", &zeros)]);
    let packed = gzip(&plain);
    assert!(packed.len() < 1 << 20);
    assert!(refusal(packed).contains("bomb"));
    assert!(refusal(zip(&[("zeros", &zeros)])).contains("bomb"));
}

#[test]
fn damage_is_named() {
    let plain = tar(&[("a.png", &noise(5, 2000)), ("b.png", &noise(6, 2000))]);
    for end in [1, 511, 600, 2560, 4000, plain.len() - 1024] {
        refusal(plain[..end].to_vec());
    }
    assert!(refusal(plain[..2560].to_vec()).contains("after a.png"));
    let packed = gzip(&plain);
    for end in [2, 12, packed.len() / 2, packed.len() - 1] {
        refusal(packed[..end].to_vec());
    }
    let mut flipped = packed.clone();
    let crc = flipped.len() - 6;
    flipped[crc] ^= 1;
    assert!(refusal(flipped).contains("checksum"));
    assert!(refusal([packed, vec![7; 20]].concat()).contains("gzip"));
    // One byte of a zip's file.
    let content = noise(7, 1000);
    let mut bytes = zip(&[("a.png", &content)]);
    bytes[500] ^= 1;
    let text = from_bytes(bytes)
        .unwrap()
        .read("a.png")
        .unwrap_err()
        .to_string();
    assert!(text.contains("a.png") && text.contains("mend"), "{text}");
    assert!(refusal(b"<html>404</html>".to_vec()).contains("web page"));
    assert!(refusal(Vec::new()).contains("neither"));
}

#[test]
fn tiny_imagenet_is_read_by_name() {
    let Some(tar) = diffguard_oracle::large_file("tin_val.tar") else {
        return;
    };
    let container = Container::open(&tar).unwrap();
    let name = |number: usize| format!("tiny-imagenet-200/val/images/val_{number}.JPEG");
    for number in [0, 9_999, 17] {
        let bytes = container.read(&name(number)).unwrap();
        assert!(bytes.starts_with(&[0xff, 0xd8]) && bytes.ends_with(&[0xff, 0xd9]));
    }
    let packed = from_bytes(gzip(&fs::read(&tar).unwrap())).unwrap();
    assert_eq!(packed.entries(), container.entries());
    for number in (0..10_000).step_by(1237).chain([3, 2]) {
        let (plain, packed) = (container.read(&name(number)), packed.read(&name(number)));
        assert!(plain.unwrap() == packed.unwrap());
    }
}
