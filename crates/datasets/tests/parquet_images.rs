//! HuggingFace's layout against files that pyarrow wrote.

use std::fs;
use std::path::{Path, PathBuf};

use diffguard_datasets::parquet_images::ParquetImages;
use diffguard_datasets::transforms::{Filter, Preprocess};

const SMALL: Preprocess = Preprocess {
    resize: 4,
    crop: 4,
    filter: Filter::Bilinear,
};

fn fixture(name: &str) -> PathBuf {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/parquet");
    fixtures.join(name)
}

#[test]
fn row_groups_of_every_codec_are_read() {
    for (name, groups) in [("snappy", 3), ("zstd", 3), ("none", 3), ("cifar100", 2)] {
        let file = ParquetImages::open(&fixture(&format!("{name}.parquet"))).unwrap();
        assert_eq!(file.groups(), groups, "{name}");
        let last = file.rows(groups - 1).unwrap();
        assert_eq!(last.last().unwrap().path.as_deref(), Some("6.png"));
        let set = file
            .image_set("t", &SMALL, |row, _| format!("t/{row}"))
            .unwrap();
        assert_eq!(set.labels, [0, 1, 2, 3, 0, 1, 2]);
        assert_eq!(set.ids[6], "t/6");
        for index in 0..7 {
            let image = set.image(index);
            assert_eq!((image[0], image[16], image[32]), (10 * index as u8, 0, 9));
        }
    }
}

#[test]
fn damage_is_named() {
    let file = ParquetImages::open(&fixture("hole.parquet")).unwrap();
    let text = file.rows(0).unwrap_err().to_string();
    assert!(
        text.contains("row 2") && text.contains("hole.parquet"),
        "{text}"
    );
    let bytes = fs::read(fixture("snappy.parquet")).unwrap();
    for end in (0..bytes.len()).step_by(101) {
        let error = ParquetImages::from_bytes(Path::new("a.parquet"), bytes[..end].to_vec());
        let text = error.err().unwrap().to_string();
        assert!(
            text.contains("a.parquet: footer") && text.contains("mend"),
            "{text}"
        );
    }
    // A footer that announces 4 GB.
    let mut huge = bytes.clone();
    let length = huge.len() - 8;
    huge[length..length + 4].fill(0xff);
    assert!(ParquetImages::from_bytes(Path::new("a"), huge).is_err());
}
