//! Networks and checkpoints. Knows nothing of data sets.

pub mod checkpoint;
pub mod cifar_resnet;
mod error;
pub mod input_gradient;
pub mod layers;
pub mod network;
pub mod preprocessing;
pub mod published;
pub mod quick_unet;
pub mod resnet18_32;
pub mod resnet50;
mod traits;
pub mod verify;
pub mod vgg;
pub mod wide_resnet;

pub use error::Error;
pub use traits::{Classifier, NoisePredictor};
