//! Networks and checkpoints. Knows nothing of data sets.

pub mod checkpoint;
pub mod cifar_resnet;
mod error;
pub mod keys;
pub mod layers;
pub mod network;
pub mod quick_unet;
pub mod summary;
mod traits;

pub use error::Error;
pub use summary::{NetworkSummary, Summary};
pub use traits::{Classifier, NoisePredictor};
