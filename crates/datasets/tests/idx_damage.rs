//! Damaged IDX files are errors, never panics, and never silently other data of another size.

use std::path::Path;

use diffguard_datasets::idx;
use proptest::prelude::*;

/// A small image file, plain or gzipped.
fn whole(gzip: bool) -> Vec<u8> {
    let data: Vec<u8> = (0..3 * 5 * 4)
        .map(|value: u32| (value * 37 % 251) as u8)
        .collect();
    let packed = idx::write_gzip(&[3, 5, 4], &data).expect("fits");
    if gzip {
        packed
    } else {
        idx::unpack(Path::new("t"), &packed).expect("just packed")
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn truncation_is_an_error(gzip: bool, share in 0.0f64..1.0) {
        let bytes = whole(gzip);
        let end = (bytes.len() as f64 * share) as usize;
        prop_assert!(idx::parse(Path::new("t"), &bytes[..end], 3).is_err());
    }

    #[test]
    fn flipped_bits_never_panic(gzip: bool, flips in prop::collection::vec((0.0f64..1.0, 0u8..8), 1..6)) {
        let mut bytes = whole(gzip);
        for (place, bit) in flips {
            let place = (bytes.len() as f64 * place) as usize;
            bytes[place] ^= 1 << bit;
        }
        if let Ok(idx) = idx::parse(Path::new("t"), &bytes, 3) {
            prop_assert_eq!(idx.dims.iter().product::<usize>(), idx.data.len());
        }
    }

    #[test]
    fn any_bytes_never_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..200), start in 0usize..3) {
        let starts: [&[u8]; 3] = [&[], &[0, 0, 8, 3], &[0x1f, 0x8b, 8, 0]];
        bytes.splice(0..0, starts[start].iter().copied());
        for dimensions in [1, 3] {
            if let Ok(idx) = idx::parse(Path::new("t"), &bytes, dimensions) {
                prop_assert_eq!(idx.dims.iter().product::<usize>(), idx.data.len());
            }
        }
    }

    #[test]
    fn trailing_bytes_are_an_error(gzip: bool, tail in prop::collection::vec(any::<u8>(), 1..40)) {
        let mut bytes = whole(gzip);
        bytes.extend(tail);
        prop_assert!(idx::parse(Path::new("t"), &bytes, 3).is_err());
    }
}
