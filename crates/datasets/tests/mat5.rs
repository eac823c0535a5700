//! SVHN's format against files that SciPy wrote.

use std::fs;
use std::path::Path;

use diffguard_datasets::mat5::{arrays, read_svhn, svhn};

fn fixtures() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/mat5")
}

#[test]
fn every_variant_is_the_same_set() {
    for name in ["packed.mat", "plain.mat", "double.mat", "big.mat"] {
        let set = read_svhn(&fixtures().join(name)).unwrap();
        assert_eq!(set.labels, [5, 0, 1, 9, 0], "{name}");
        assert_eq!(set.ids[1], "svhn/test/000002_0.jpg");
        for n in 0..5 {
            for (place, &value) in set.image(n).iter().enumerate() {
                let (k, r, c) = (place / 1024, place / 32 % 32, place % 32);
                assert_eq!(usize::from(value), (r + 3 * c + 50 * k + 7 * n) % 256);
            }
        }
    }
}

#[test]
fn damage_is_named() {
    let refusal = |bytes: &[u8]| {
        let text = svhn(Path::new("test.mat"), bytes).unwrap_err().to_string();
        assert!(
            text.contains("test.mat: ") && text.contains("mend: "),
            "{text}"
        );
        text
    };
    for name in ["packed.mat", "plain.mat", "big.mat"] {
        let bytes = fs::read(fixtures().join(name)).unwrap();
        for end in (0..bytes.len()).step_by(37) {
            refusal(&bytes[..end]);
        }
        let mut swapped = bytes.clone();
        swapped.swap(126, 127);
        refusal(&swapped);
        let mut huge = bytes.clone();
        huge[132..136].fill(0xff);
        assert!(refusal(&huge).contains("announced"));
    }
    let plain = fs::read(fixtures().join("plain.mat")).unwrap();
    // The first extent (after header, tag, flags and the dimensions' tag) becomes -1, and 2^31 - 1.
    for bytes in [[0xff; 4], [0xff, 0xff, 0xff, 0x7f]] {
        let mut odd = plain.clone();
        odd[128 + 8 + 16 + 8..][..4].copy_from_slice(&bytes);
        refusal(&odd);
    }
    assert!(refusal(&fs::read(fixtures().join("plain.mat")).unwrap()[..128]).contains('X'));
    assert!(refusal(b"<html>").contains("header"));
    assert_eq!(arrays(Path::new("t"), &plain).unwrap().len(), 2);
}
