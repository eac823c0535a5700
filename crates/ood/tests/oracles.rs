//! Every golden case of this crate's kinds.

use std::path::Path;

use diffguard_ood::verify::KINDS;
use diffguard_oracle::assert_folder;

fn run(kind: &str) {
    let oracles = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../oracles");
    assert_folder(&oracles.join(kind), KINDS);
}

#[test]
fn ood_metrics() {
    run("ood_metrics");
}

#[test]
fn detectors_logit() {
    run("detectors_logit");
}

#[test]
fn detectors_feature() {
    run("detectors_feature");
}
