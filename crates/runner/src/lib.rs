//! Experiments to stages to stored scores to tables, plots and reports; the command line.
//!
//! | stage | what it stores | depends on |
//! | --- | --- | --- |
//! | observe | logits and features of each classifier | images, classifier |
//! | perturb | logits after ODIN's step of the input | images, classifier, temperature, step |
//! | encode | latent images, for a latent diffusion network | images, its first stage |
//! | invert | latents and stop steps | images (encoded ones), diffusion network, inversion |
//! | synthesise | images (decoded ones) | an inversion, guidance, labels |
//! | compare | one column a similarity | a synthesis, its reference, classifier |
//! | trace | values at every noise level | images (encoded ones), diffusion network, classifiers |
//!
//! Evaluation reads the columns alone.

pub mod accuracy;
mod baselines;
pub mod bench;
pub mod cascade_sensitivity;
pub mod cli;
pub mod commands;
pub mod data;
pub mod device;
pub mod differences;
pub mod disagreement;
mod donors;
mod error;
pub mod evaluate;
pub mod experiment;
pub mod foreign;
pub mod golden;
mod list;
mod lock;
pub mod model;
pub mod networks;
pub mod outputs;
mod parallel;
mod parts;
pub mod perceptual;
pub mod perf;
mod pipeline;
mod progress;
mod published;
pub mod record;
mod root;
pub mod sample;
pub mod score;
mod scores;
pub mod seeds;
pub mod shard;
pub mod spent;
mod stages;
mod store;
pub mod stored_run;
pub mod sweep;
pub mod synthetic;
mod toml_file;
pub mod traces;

pub use error::{Error, Result};
pub use root::Root;
