//! Decoded pictures against PIL's.

use std::fs;
use std::path::Path;

use diffguard_datasets::decode::rgb;

/// Bytes of every picture: 14 rows, 20 columns, 3 colours.
const SIZE: usize = 14 * 20 * 3;

fn interleaved(planar: &[u8]) -> Vec<u8> {
    let plane = planar.len() / 3;
    (0..planar.len())
        .map(|place| planar[place % 3 * plane + place / 3])
        .collect()
}

#[test]
fn every_mode_is_as_pil_has_it() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/decode");
    let names = fs::read_to_string(dir.join("names.txt")).unwrap();
    let expected = fs::read(dir.join("expected.rgb")).unwrap();
    assert_eq!(expected.len(), names.lines().count() * SIZE);
    for (name, expected) in names.lines().zip(expected.chunks(SIZE)) {
        let bytes = fs::read(dir.join(name)).unwrap();
        let picture = rgb(&bytes, &dir, name).unwrap();
        let found = interleaved(picture.pixels());
        let off = found.iter().zip(expected).map(|(a, b)| a.abs_diff(*b));
        assert_eq!(off.max(), Some(0), "{name}");
    }
}

#[test]
fn what_is_cut_short_or_lies_is_named() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/decode");
    for name in [
        "420.jpg",
        "progressive.jpg",
        "grey.jpg",
        "rgb16.png",
        "palette.png",
    ] {
        let bytes = fs::read(dir.join(name)).unwrap();
        for end in (2..bytes.len() - 1).step_by(7) {
            let Err(error) = rgb(&bytes[..end], Path::new("a.tar"), name) else {
                // Only a PNG's last chunk, which is empty, may be away.
                assert!(
                    name.ends_with("png") && end + 12 >= bytes.len(),
                    "{name} {end}"
                );
                continue;
            };
            let text = error.to_string();
            for part in ["a.tar: ", name, "mend: "] {
                assert!(text.contains(part), "{part} in {text}");
            }
        }
    }
    // Height and width of 65,535 and, in the PNG, 2^31 - 1.
    let mut jpeg = fs::read(dir.join("444.jpg")).unwrap();
    let frame = jpeg
        .windows(2)
        .position(|pair| pair == [0xff, 0xc0])
        .unwrap();
    jpeg[frame + 5..frame + 9].fill(0xff);
    let text = rgb(&jpeg, Path::new("a.tar"), "b").unwrap_err().to_string();
    assert!(text.contains("65535 x 65535"), "{text}");
    jpeg[frame + 5..frame + 9].copy_from_slice(&[4, 0, 4, 0]);
    let text = rgb(&jpeg, Path::new("a.tar"), "b").unwrap_err().to_string();
    assert!(text.contains("more than"), "{text}");
    assert!(rgb(b"GIF89a", Path::new("a.tar"), "b").is_err());
    assert!(rgb(b"", Path::new("a.tar"), "b").is_err());
}
