//! Reads the whole data set where it is installed (`DIFFGUARD_DATA` or Debian's folder); passes over it elsewhere.

mod common;

use common::shelf::{at_hand, or_passed_over, with_shelf};
use diffguard_datasets::{fashion_mnist, quick_training_split};

#[test]
fn the_installed_files_are_the_published_ones() {
    let read = with_shelf(at_hand(), |shelf| {
        let places = shelf.find("fashion-mnist")?.paths;
        Ok((
            fashion_mnist::load_train(&places)?,
            fashion_mnist::load_test(&places)?,
        ))
    });
    let Some((train, test)) = or_passed_over("fashion-mnist", read) else {
        return;
    };
    assert_eq!((train.len(), test.len()), (60_000, 10_000));
    assert_eq!(train.labels[..8], [9, 0, 0, 3, 0, 2, 7, 2]);
    assert_eq!(test.labels[..8], [9, 2, 1, 1, 6, 1, 4, 6]);

    let split = quick_training_split(&train).expect("6,000 images a class");
    assert_eq!(
        (split.train.len(), split.fit.len(), split.val.len()),
        (46_000, 4_000, 2_000)
    );
}
