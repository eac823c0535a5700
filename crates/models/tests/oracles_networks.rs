//! The golden cases of the diffusion networks and of the first stage.

use std::path::Path;

use diffguard_models::verify::KINDS;
use diffguard_oracle::assert_folder;

fn run(kind: &str) {
    let oracles = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../oracles");
    assert_folder(&oracles.join(kind), KINDS);
}

#[test]
fn unet_guided() {
    run("unet_guided");
}

#[test]
fn unet_ddim() {
    run("unet_ddim");
}

#[test]
fn unet_iddpm() {
    run("unet_iddpm");
}

#[test]
fn unet_latent() {
    run("unet_latent");
}

#[test]
fn vq_autoencoder() {
    run("vq_autoencoder");
}
