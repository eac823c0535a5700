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

#[test]
fn schedule() {
    run("schedule");
}

#[test]
fn cutouts() {
    run("cutouts");
}

#[test]
fn ddim_inversion() {
    run("ddim_inversion");
}

#[test]
fn ddim_sampling() {
    run("ddim_sampling");
}

#[test]
fn cfg_dsg() {
    run("cfg_dsg");
}

#[test]
fn diffood_sampling() {
    run("diffood_sampling");
}

#[test]
fn grad_cam() {
    run("grad_cam");
}
