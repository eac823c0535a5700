//! Every golden case of this crate's kinds.

use std::path::Path;

use diffguard_guidance::verify::KINDS;
use diffguard_oracle::assert_folder;

fn run(kind: &str) {
    let oracles = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../oracles");
    assert_folder(&oracles.join(kind), KINDS);
}

#[test]
fn similarity() {
    run("similarity");
}
