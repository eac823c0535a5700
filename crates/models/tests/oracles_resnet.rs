//! Every golden case of kind `resnet`: classifiers, an input gradient, the formula of their weights.

use std::path::Path;

use diffguard_models::verify::KINDS;
use diffguard_oracle::assert_folder;

#[test]
fn resnet() {
    let oracles = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../oracles/resnet");
    assert_folder(&oracles, KINDS);
}
