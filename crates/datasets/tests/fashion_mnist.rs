//! Reads the whole data set where it is installed (`DIFFGUARD_DATA` or Debian's folder); passes over it elsewhere.

use std::path::PathBuf;

use diffguard_datasets::{Error, fashion_mnist, quick_training_split};

#[test]
fn the_installed_files_are_the_published_ones() {
    let data = std::env::var_os("DIFFGUARD_DATA").map(PathBuf::from);
    let dirs: Vec<PathBuf> = data
        .into_iter()
        .chain([PathBuf::from("/usr/share/datasets")])
        .collect();
    let train = match fashion_mnist::load_train(&dirs) {
        Err(Error::Missing { .. }) => {
            return eprintln!("Fashion-MNIST is not installed: passed over");
        }
        loaded => loaded.expect("the installed file is the published one"),
    };
    let test = fashion_mnist::load_test(&dirs).expect("the installed file is the published one");
    assert_eq!((train.len(), test.len()), (60_000, 10_000));
    assert_eq!(train.labels[..8], [9, 0, 0, 3, 0, 2, 7, 2]);
    assert_eq!(test.labels[..8], [9, 2, 1, 1, 6, 1, 4, 6]);

    let split = quick_training_split(&train).expect("6,000 images a class");
    assert_eq!(
        (split.train.len(), split.fit.len(), split.val.len()),
        (46_000, 4_000, 2_000)
    );
}
