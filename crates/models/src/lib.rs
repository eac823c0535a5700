//! Networks and checkpoints. Knows nothing of data sets.

pub mod blocks;
pub mod checkpoint;
pub mod cifar_resnet;
mod compute;
pub mod described;
mod error;
pub mod input_gradient;
pub mod keys;
pub mod latent_diffusion;
pub mod layers;
pub mod memory;
pub mod network;
pub mod preprocessing;
pub mod published;
pub mod quick_unet;
pub mod residual;
pub mod resnet18_32;
pub mod resnet50;
pub mod step;
pub mod summary;
mod traits;
pub mod unet_ddim;
pub mod unet_guided;
pub mod unet_iddpm;
pub mod unet_latent;
pub mod verify;
pub mod vgg;
pub mod vq_autoencoder;
pub mod wide_resnet;

pub use compute::Compute;
pub use error::Error;
pub use summary::{NetworkSummary, Summary};
pub use traits::{Classifier, FirstStage, NoisePredictor};
