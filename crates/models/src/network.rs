//! Networks by name: a family and its configuration, as a training configuration or a weights record writes them.
//! To add a family: one file, one variant here.

use std::path::{Path, PathBuf};

use burn::module::Module;
use burn::tensor::Device;
use serde::{Deserialize, Serialize};

use crate::checkpoint::{from_bytes, read_verified};
use crate::cifar_resnet::CifarResnetConfig;
use crate::quick_unet::QuickUnetConfig;
use crate::{Classifier, Error, NoisePredictor};

/// A classifier's family and size.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "family", rename_all = "kebab-case", deny_unknown_fields)]
pub enum ClassifierNetwork {
    /// [`crate::cifar_resnet`].
    CifarResnet {
        /// Blocks a stage; the depth is `6 blocks + 2`.
        blocks: usize,
        /// Channels of the first stage.
        width: usize,
        /// Number of classes.
        num_classes: usize,
        /// Side of the images.
        input_side: usize,
        /// Mean of each channel on [0, 1].
        mean: Vec<f32>,
        /// Standard deviation of each channel on [0, 1].
        std: Vec<f32>,
    },
}

/// A diffusion network's family and size.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "family", rename_all = "kebab-case", deny_unknown_fields)]
pub enum DiffusionNetwork {
    /// [`crate::quick_unet`].
    QuickUnet {
        /// Channels of the image.
        image_channels: usize,
        /// Classes, the null label not counted.
        num_classes: usize,
        /// Side of the squares folded into channels.
        patch: usize,
        /// Channels at the upper resolution.
        channels: usize,
        /// Residual blocks a resolution and direction.
        blocks: usize,
        /// Attention heads.
        heads: usize,
        /// Groups of every norm.
        groups: usize,
    },
}

impl ClassifierNetwork {
    /// The CIFAR ResNet of this description.
    pub fn config(&self) -> CifarResnetConfig {
        let Self::CifarResnet {
            blocks,
            width,
            num_classes,
            input_side,
            mean,
            std,
        } = self;
        CifarResnetConfig::new(*num_classes)
            .with_blocks(*blocks)
            .with_width(*width)
            .with_input_side(*input_side)
            .with_mean(mean.clone())
            .with_std(std.clone())
    }

    /// Loads weights for inference (frozen, outside autodiff).
    ///
    /// # Errors
    /// As [`read_verified`] and [`from_bytes`].
    pub fn load(
        &self,
        path: &Path,
        sha256: Option<&str>,
        device: &Device,
    ) -> Result<Box<dyn Classifier>, Error> {
        let bytes = read_verified(path, sha256)?;
        let module = from_bytes(self.config().init(device), bytes, path)?;
        Ok(Box::new(module.valid()))
    }
}

impl DiffusionNetwork {
    /// The U-Net of this description.
    pub fn config(&self) -> QuickUnetConfig {
        let Self::QuickUnet {
            image_channels,
            num_classes,
            patch,
            channels,
            blocks,
            heads,
            groups,
        } = *self;
        QuickUnetConfig::new(num_classes)
            .with_image_channels(image_channels)
            .with_patch(patch)
            .with_channels(channels)
            .with_blocks(blocks)
            .with_heads(heads)
            .with_groups(groups)
    }

    /// Loads weights for inference (outside autodiff).
    ///
    /// # Errors
    /// As [`read_verified`] and [`from_bytes`].
    pub fn load(
        &self,
        path: &Path,
        sha256: Option<&str>,
        device: &Device,
    ) -> Result<Box<dyn NoisePredictor>, Error> {
        let bytes = read_verified(path, sha256)?;
        let module = from_bytes(self.config().init(device), bytes, path)?;
        Ok(Box::new(module.valid()))
    }
}

/// The record that training writes beside each weights file (`NAME.toml` beside `NAME.safetensors`).
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WeightsRecord<Network> {
    /// Name of the weights file, beside the record.
    pub file: String,
    /// SHA-256 of the weights file.
    pub sha256: String,
    /// Day on which the training ended, `YYYY-MM-DD`.
    pub date: String,
    /// Stored numbers: parameters and running statistics.
    pub parameters: usize,
    /// Images seen in training.
    pub images: usize,
    /// Wall-clock hours of training.
    pub hours: f64,
    /// What was measured at the end, by name (`val_accuracy`, `val_loss`…).
    pub measured: std::collections::BTreeMap<String, f64>,
    /// The network.
    pub network: Network,
    /// The training configuration, as it was read.
    pub training: toml::Table,
}

impl<Network: serde::de::DeserializeOwned> WeightsRecord<Network> {
    /// Reads a record.
    ///
    /// # Errors
    /// [`Error::Read`] and [`Error::Record`], which name the file.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let text = std::fs::read_to_string(path).map_err(|source| Error::Read {
            path: path.to_owned(),
            source,
        })?;
        toml::from_str(&text).map_err(|error| Error::Record {
            path: path.to_owned(),
            what: error.to_string(),
        })
    }

    /// Path of the weights file of a record at `record`.
    pub fn weights_path(&self, record: &Path) -> PathBuf {
        record.with_file_name(&self.file)
    }
}
