//! The golden cases that this crate runs: networks. One file a kind, one line each in [`KINDS`].

mod device;
mod networks;
pub mod procedural;
mod resnet;
mod unet_ddim;
mod unet_guided;
mod unet_iddpm;
mod unet_latent;
mod vq_autoencoder;

use diffguard_oracle::Kind;

pub use device::{device, run_on};

/// The kinds of golden case of this crate.
pub const KINDS: &[Kind] = &[
    Kind {
        name: "resnet",
        run: resnet::run,
        not_produced: &[],
    },
    Kind {
        name: "unet_guided",
        run: unet_guided::run,
        not_produced: &[],
    },
    Kind {
        name: "unet_ddim",
        run: unet_ddim::run,
        not_produced: &[],
    },
    Kind {
        name: "unet_iddpm",
        run: unet_iddpm::run,
        not_produced: &[],
    },
    Kind {
        name: "unet_latent",
        run: unet_latent::run,
        not_produced: &[],
    },
    Kind {
        name: "vq_autoencoder",
        run: vq_autoencoder::run,
        not_produced: &[],
    },
];
