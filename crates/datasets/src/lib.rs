//! Data sets: where they come from, how they are read, and which images a benchmark is made of.
//!
//! This crate knows nothing of networks. It hands out [`ImageSet`]s of 8-bit pixels and
//! [`Benchmark`](benchmark::Benchmark)s, the named splits that a table is computed over.
//!
//! ```no_run
//! use std::path::Path;
//!
//! let quick = diffguard_datasets::benchmark::load("quick", Path::new("assets"))?;
//! let small = quick.id_test.limit(200, 0);
//! println!("{} images of {}", small.len(), small.name);
//! # Ok::<(), diffguard_datasets::Error>(())
//! ```

pub mod assets;
pub mod benchmark;
pub mod cifar;
pub mod container;
pub mod cutmix;
pub mod decode;
mod error;
pub mod fashion_mnist;
pub mod fetch;
pub mod fuzz;
pub mod hash;
pub mod idx;
mod image_set;
pub mod listed;
pub mod lists;
pub mod loader;
pub mod manifest;
pub mod mat5;
pub mod openood;
mod ordered;
pub mod parquet_images;
pub mod quick;
mod random;
pub mod synthetic;
mod toml_file;
pub mod transforms;
pub mod verify;

pub use error::{Error, Result};
pub use image_set::{ImageSet, ImageShape, OUT_OF_DISTRIBUTION};
pub use quick::{QUICK_CLASSES, TrainingSplit, quick_training_split};
