//! Networks and checkpoints. Knows nothing of data sets.

pub mod checkpoint;
pub mod cifar_resnet;
mod error;
pub mod layers;
pub mod network;
pub mod quick_unet;
mod traits;
pub mod verify;
pub mod vgg;

pub use error::Error;
pub use traits::{Classifier, NoisePredictor};
