//! Every golden case of this crate's kinds.

use std::path::Path;

use diffguard_oracle::assert_folder;
use diffguard_runner::golden::KINDS;

#[test]
fn detectors_gradient() {
    let oracles = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../oracles");
    assert_folder(&oracles.join("detectors_gradient"), KINDS);
}
