//! Networks by name: a family and its configuration, as a training configuration or a weights record writes them.
//! To add a family: one file, and its variant here.

use std::path::{Path, PathBuf};

use burn::module::Module;
use burn::tensor::Device;
use serde::{Deserialize, Serialize};

use crate::checkpoint::{KeyMap, Source, load, open_verified};
use crate::cifar_resnet::CifarResnetConfig;
use crate::latent_diffusion::LatentDiffusionConfig;
use crate::quick_unet::QuickUnetConfig;
use crate::resnet18_32::Resnet18SmallConfig;
use crate::resnet50::Resnet50Config;
use crate::step::{self, Step};
use crate::unet_ddim::DdimUnetConfig;
use crate::unet_guided::GuidedUnetConfig;
use crate::unet_iddpm::IddpmUnetConfig;
use crate::vgg::Vgg16Config;
use crate::wide_resnet::WideResnetConfig;
use crate::{Classifier, Error, FirstStage, NetworkSummary, NoisePredictor, Summary};

/// The classifier families: name, and one line on each.
pub const CLASSIFIERS: [(&str, &str); 5] = [
    (
        "cifar-resnet",
        "He et al. 2016, depth 6n + 2, option A shortcuts (akamaster's files)",
    ),
    (
        "resnet18-32",
        "ResNet-18 for 32 pixels: 3x3 stem, projection shortcuts (OpenOOD's files)",
    ),
    (
        "resnet50",
        "bottlenecks with the stride in the 3x3 convolution (torchvision's files)",
    ),
    (
        "vgg16",
        "Simonyan & Zisserman 2015, configuration D, without batch norm (torchvision's files)",
    ),
    (
        "wide-resnet",
        "Zagoruyko & Komodakis 2016, depth 6n + 4, k times as wide (xternalz's and OpenOOD's files)",
    ),
];

/// A classifier's family and size.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "family", rename_all = "kebab-case", deny_unknown_fields)]
pub enum ClassifierNetwork {
    /// [`crate::cifar_resnet`].
    CifarResnet {
        /// Blocks a stage; the depth is `6 blocks + 2`.
        blocks: usize,
        /// Channels of the first stage.
        #[serde(default = "sixteen")]
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
    /// [`crate::resnet18_32`].
    #[serde(rename = "resnet18-32")]
    Resnet18Small {
        /// Channels of the first stage.
        #[serde(default = "sixty_four")]
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
    /// [`crate::resnet50`].
    #[serde(rename = "resnet50")]
    Resnet50 {
        /// Blocks of each stage.
        #[serde(default = "fifty_layers")]
        blocks: [usize; 4],
        /// Channels inside the first stage's blocks.
        #[serde(default = "sixty_four")]
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
    /// [`crate::vgg`].
    #[serde(rename = "vgg16")]
    Vgg16 {
        /// Side of the activations behind the average pooling.
        #[serde(default = "seven")]
        pooled_side: usize,
        /// Width of the two hidden layers of the head.
        #[serde(default = "vgg_hidden")]
        hidden: usize,
        /// Number of classes.
        num_classes: usize,
        /// Side of the images; 32 or more.
        input_side: usize,
        /// Mean of each channel on [0, 1].
        mean: Vec<f32>,
        /// Standard deviation of each channel on [0, 1].
        std: Vec<f32>,
    },
    /// [`crate::wide_resnet`].
    WideResnet {
        /// Blocks a stage; the depth is `6 blocks + 4`.
        blocks: usize,
        /// How many times wider than a thin network.
        widen: usize,
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

fn sixteen() -> usize {
    16
}

fn sixty_four() -> usize {
    64
}

fn seven() -> usize {
    7
}

fn vgg_hidden() -> usize {
    4096
}

fn twenty_eight() -> usize {
    28
}

fn fifty_layers() -> [usize; 4] {
    [3, 4, 6, 3]
}

/// What to do with a classifier of whichever family a description names: a generic function over their types.
pub trait ClassifierTask {
    /// What comes of it.
    type Output;

    /// Does it. `init` makes the network with initial weights on a device.
    fn run<M: Module + Classifier + 'static>(self, init: impl Fn(&Device) -> M) -> Self::Output;
}

/// The configuration of each family.
enum ClassifierConfig {
    CifarResnet(CifarResnetConfig),
    Resnet18Small(Resnet18SmallConfig),
    Resnet50(Resnet50Config),
    Vgg16(Vgg16Config),
    WideResnet(WideResnetConfig),
}

impl ClassifierNetwork {
    /// Runs a task on the family and configuration described.
    pub fn apply<T: ClassifierTask>(&self, task: T) -> T::Output {
        match self.config() {
            ClassifierConfig::CifarResnet(config) => task.run(|device| config.init(device)),
            ClassifierConfig::Resnet18Small(config) => task.run(|device| config.init(device)),
            ClassifierConfig::Resnet50(config) => task.run(|device| config.init(device)),
            ClassifierConfig::Vgg16(config) => task.run(|device| config.init(device)),
            ClassifierConfig::WideResnet(config) => task.run(|device| config.init(device)),
        }
    }

    /// The family's own configuration.
    fn config(&self) -> ClassifierConfig {
        match self.clone() {
            Self::CifarResnet {
                blocks,
                width,
                num_classes,
                input_side,
                mean,
                std,
            } => ClassifierConfig::CifarResnet(CifarResnetConfig {
                blocks,
                width,
                num_classes,
                input_side,
                mean,
                std,
            }),
            Self::Resnet18Small {
                width,
                num_classes,
                input_side,
                mean,
                std,
            } => ClassifierConfig::Resnet18Small(Resnet18SmallConfig {
                num_classes,
                width,
                input_side,
                mean,
                std,
            }),
            Self::Resnet50 {
                blocks,
                width,
                num_classes,
                input_side,
                mean,
                std,
            } => ClassifierConfig::Resnet50(Resnet50Config {
                num_classes,
                blocks,
                width,
                input_side,
                mean,
                std,
            }),
            Self::Vgg16 {
                pooled_side,
                hidden,
                num_classes,
                input_side,
                mean,
                std,
            } => ClassifierConfig::Vgg16(Vgg16Config {
                num_classes,
                input_side,
                pooled_side,
                hidden,
                mean,
                std,
            }),
            Self::WideResnet {
                blocks,
                widen,
                num_classes,
                input_side,
                mean,
                std,
            } => ClassifierConfig::WideResnet(WideResnetConfig {
                num_classes,
                blocks,
                widen,
                input_side,
                mean,
                std,
            }),
        }
    }

    /// Stored numbers of such a network: parameters and running statistics.
    pub fn stored_numbers(&self, device: &Device) -> usize {
        struct Count<'a>(&'a Device);
        impl ClassifierTask for Count<'_> {
            type Output = usize;

            fn run<M: Module + Classifier + 'static>(self, init: impl Fn(&Device) -> M) -> usize {
                init(self.0).num_params()
            }
        }
        self.apply(Count(device))
    }

    /// What the network costs.
    ///
    /// # Errors
    /// As [`Summary::summary`].
    pub fn summary(&self) -> Result<NetworkSummary, Error> {
        self.costs().summary()
    }

    /// Runs it with initial weights, as [`Summary::steps`].
    ///
    /// # Errors
    /// As there.
    pub fn steps(&self, device: &Device) -> Result<Vec<Step>, Error> {
        self.costs().steps(device)
    }

    /// The family's own configuration, asked for its costs.
    fn costs(&self) -> Box<dyn Summary> {
        match self.config() {
            ClassifierConfig::CifarResnet(config) => Box::new(config),
            ClassifierConfig::Resnet18Small(config) => Box::new(config),
            ClassifierConfig::Resnet50(config) => Box::new(config),
            ClassifierConfig::Vgg16(config) => Box::new(config),
            ClassifierConfig::WideResnet(config) => Box::new(config),
        }
    }

    /// The table from the names of the family's published files.
    pub fn key_map(&self) -> KeyMap {
        match self {
            Self::CifarResnet { .. } => crate::cifar_resnet::key_map(),
            Self::Resnet18Small { .. } => crate::resnet18_32::key_map(),
            Self::Resnet50 { .. } => crate::resnet50::key_map(),
            Self::Vgg16 { .. } => crate::vgg::key_map(),
            Self::WideResnet { .. } => crate::wide_resnet::key_map(),
        }
    }

    /// Number of classes.
    pub fn num_classes(&self) -> usize {
        match self {
            Self::CifarResnet { num_classes, .. }
            | Self::Resnet18Small { num_classes, .. }
            | Self::Resnet50 { num_classes, .. }
            | Self::Vgg16 { num_classes, .. }
            | Self::WideResnet { num_classes, .. } => *num_classes,
        }
    }

    /// Side in pixels of the images that it was trained on.
    pub fn input_side(&self) -> usize {
        match self {
            Self::CifarResnet { input_side, .. }
            | Self::Resnet18Small { input_side, .. }
            | Self::Resnet50 { input_side, .. }
            | Self::Vgg16 { input_side, .. }
            | Self::WideResnet { input_side, .. } => *input_side,
        }
    }

    /// Mean and standard deviation of each channel of the images, on [0, 1].
    pub fn normalisation(&self) -> (&[f32], &[f32]) {
        match self {
            Self::CifarResnet { mean, std, .. }
            | Self::Resnet18Small { mean, std, .. }
            | Self::Resnet50 { mean, std, .. }
            | Self::Vgg16 { mean, std, .. }
            | Self::WideResnet { mean, std, .. } => (mean, std),
        }
    }

    /// Channels of the images.
    pub fn channels(&self) -> usize {
        self.normalisation().0.len()
    }

    /// Refuses settings that no network can have; in words that name the key.
    ///
    /// # Errors
    /// What is wrong, and what would be right.
    pub fn check(&self) -> Result<(), String> {
        let (mean, std) = self.normalisation();
        if mean.is_empty() || mean.len() != std.len() {
            return Err(format!(
                "`mean` has {} values and `std` {}; both need one a channel",
                mean.len(),
                std.len()
            ));
        }
        if std.iter().any(|std| !(std.is_finite() && *std > 0.0)) {
            return Err("`std` must be positive in every channel".into());
        }
        if mean.iter().any(|mean| !mean.is_finite()) {
            return Err("`mean` must be finite in every channel".into());
        }
        let sizes = match self {
            Self::CifarResnet { blocks, width, .. } => vec![("blocks", *blocks), ("width", *width)],
            Self::Resnet18Small { width, .. } => vec![("width", *width)],
            Self::Resnet50 { blocks, width, .. } => {
                let mut sizes = vec![("width", *width)];
                sizes.extend(blocks.iter().map(|blocks| ("blocks", *blocks)));
                sizes
            }
            Self::Vgg16 {
                pooled_side,
                hidden,
                input_side,
                ..
            } => {
                let (least, most) = (Vgg16Config::SMALLEST_SIDE, 1024);
                if *input_side < least {
                    return Err(format!(
                        "`input_side` is {input_side}; VGG-16 halves images five times and needs {least} or more"
                    ));
                }
                if *pooled_side > most {
                    return Err(format!(
                        "`pooled_side` is {pooled_side}; it must lie in 1..={most}"
                    ));
                }
                vec![("pooled_side", *pooled_side), ("hidden", *hidden)]
            }
            Self::WideResnet { blocks, widen, .. } => vec![("blocks", *blocks), ("widen", *widen)],
        };
        let shared = [
            ("num_classes", self.num_classes()),
            ("input_side", self.input_side()),
        ];
        for (key, size) in sizes.into_iter().chain(shared) {
            // Far above every published network; below what overflows.
            if size == 0 || size > 1 << 20 {
                return Err(format!("`{key}` is {size}; it must lie in 1..=1048576"));
            }
        }
        Ok(())
    }

    /// Refuses images that the first layer or the configuration does not fit: `[channel, height, width]`.
    ///
    /// # Errors
    /// Names the layer, what it expects and what was found.
    pub fn check_images(&self, shape: [usize; 3]) -> Result<(), Error> {
        let side = self.input_side();
        let expected = [self.channels(), side, side];
        match shape == expected {
            true => Ok(()),
            false => Err(Error::Input {
                layer: match self {
                    Self::Vgg16 { .. } => "features.0",
                    _ => "conv1",
                },
                expected: expected.to_vec(),
                found: shape.to_vec(),
            }),
        }
    }

    /// Loads weights that this program wrote, for inference (frozen, outside autodiff).
    ///
    /// # Errors
    /// As [`open_verified`] and [`load`].
    pub fn load(
        &self,
        path: &Path,
        sha256: Option<&str>,
        device: &Device,
    ) -> Result<Box<dyn Classifier>, Error> {
        self.load_from(&open_verified(path, sha256)?, &KeyMap::native(), device)
    }

    /// Loads the weights of an opened file, for inference (frozen, outside autodiff).
    ///
    /// # Errors
    /// As [`load`].
    pub fn load_from(
        &self,
        source: &Source,
        map: &KeyMap,
        device: &Device,
    ) -> Result<Box<dyn Classifier>, Error> {
        self.apply(Load {
            source,
            map,
            device,
        })
    }
}

struct Load<'a> {
    source: &'a Source,
    map: &'a KeyMap,
    device: &'a Device,
}

impl ClassifierTask for Load<'_> {
    type Output = Result<Box<dyn Classifier>, Error>;

    fn run<M: Module + Classifier + 'static>(self, init: impl Fn(&Device) -> M) -> Self::Output {
        let module = load(init(self.device), self.source, self.map)?;
        Ok(Box::new(module.valid()))
    }
}

/// A diffusion network's family and size.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "family", rename_all = "kebab-case", deny_unknown_fields)]
pub enum DiffusionNetwork {
    /// [`crate::quick_unet`].
    QuickUnet {
        /// Side of the images it is trained on.
        #[serde(default = "twenty_eight")]
        image_size: usize,
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
    /// [`crate::unet_guided`].
    GuidedUnet(GuidedUnetConfig),
    /// [`crate::unet_ddim`].
    DdimUnet(DdimUnetConfig),
    /// [`crate::unet_iddpm`].
    IddpmUnet(IddpmUnetConfig),
    /// [`crate::latent_diffusion`].
    LatentDiffusion(LatentDiffusionConfig),
}

/// The configuration of each family.
enum DiffusionConfig<'a> {
    QuickUnet(QuickUnetConfig),
    GuidedUnet(&'a GuidedUnetConfig),
    DdimUnet(&'a DdimUnetConfig),
    IddpmUnet(&'a IddpmUnetConfig),
    LatentDiffusion(&'a LatentDiffusionConfig),
}

impl DiffusionNetwork {
    /// The family's own configuration.
    fn config(&self) -> DiffusionConfig<'_> {
        match self {
            Self::QuickUnet {
                image_size,
                image_channels,
                num_classes,
                patch,
                channels,
                blocks,
                heads,
                groups,
            } => DiffusionConfig::QuickUnet(
                QuickUnetConfig::new(*num_classes)
                    .with_image_size(*image_size)
                    .with_image_channels(*image_channels)
                    .with_patch(*patch)
                    .with_channels(*channels)
                    .with_blocks(*blocks)
                    .with_heads(*heads)
                    .with_groups(*groups),
            ),
            Self::GuidedUnet(config) => DiffusionConfig::GuidedUnet(config),
            Self::DdimUnet(config) => DiffusionConfig::DdimUnet(config),
            Self::IddpmUnet(config) => DiffusionConfig::IddpmUnet(config),
            Self::LatentDiffusion(config) => DiffusionConfig::LatentDiffusion(config),
        }
    }

    /// The quick U-Net of this description; `None` when it is of another family.
    pub fn quick_unet(&self) -> Option<QuickUnetConfig> {
        match self.config() {
            DiffusionConfig::QuickUnet(config) => Some(config),
            _ => None,
        }
    }

    /// What the network costs, for images of the size that it was trained on.
    ///
    /// # Errors
    /// As [`Summary::summary`].
    pub fn summary(&self) -> Result<NetworkSummary, Error> {
        match self.config() {
            DiffusionConfig::QuickUnet(config) => config.summary(),
            DiffusionConfig::GuidedUnet(config) => config.summary(),
            DiffusionConfig::DdimUnet(config) => config.summary(),
            DiffusionConfig::IddpmUnet(config) => config.summary(),
            DiffusionConfig::LatentDiffusion(config) => config.summary(),
        }
    }

    /// Shape `[channel, height, width]` of what the network predicts the noise in: images of the size that it was
    /// trained on, latent images of a latent diffusion model.
    pub fn input_shape(&self) -> [usize; 3] {
        let (channels, side) = match self.config() {
            DiffusionConfig::QuickUnet(config) => (config.image_channels, config.image_size),
            DiffusionConfig::GuidedUnet(config) => (config.in_channels, config.image_size),
            DiffusionConfig::DdimUnet(config) => (config.in_channels, config.image_size),
            DiffusionConfig::IddpmUnet(config) => (config.in_channels, config.image_size),
            DiffusionConfig::LatentDiffusion(config) => {
                (config.unet.in_channels, config.unet.image_size)
            }
        };
        [channels, side, side]
    }

    /// One prediction of a network of this description, measured.
    pub fn step(&self, network: &dyn NoisePredictor, device: &Device) -> Step {
        let [channels, side, _] = self.input_shape();
        step::noise_predictor(network, channels, side, device)
    }

    /// The table from the names of the family's published files; the quick U-Net's are our own.
    pub fn key_map(&self) -> KeyMap {
        match self {
            Self::QuickUnet { .. } => KeyMap::native(),
            Self::GuidedUnet(_) => crate::unet_guided::key_map(),
            Self::DdimUnet(_) => crate::unet_ddim::key_map(),
            Self::IddpmUnet(_) => crate::unet_iddpm::key_map(),
            Self::LatentDiffusion(_) => crate::unet_latent::key_map(),
        }
    }

    /// Loads weights under the names of [`key_map`](Self::key_map), for inference (outside autodiff). Of a latent
    /// diffusion model this is the noise predictor in latent space; see [`load_first_stage`](Self::load_first_stage).
    ///
    /// # Errors
    /// As [`open_verified`] and [`load`]; [`Error::Configuration`] for a network that cannot be built.
    pub fn load(
        &self,
        path: &Path,
        sha256: Option<&str>,
        device: &Device,
    ) -> Result<Box<dyn NoisePredictor>, Error> {
        self.load_from(&open_verified(path, sha256)?, &self.key_map(), device)
    }

    /// Loads the weights of an opened file, for inference (outside autodiff).
    ///
    /// # Errors
    /// As [`load`]; [`Error::Configuration`] for a network that cannot be built.
    pub fn load_from(
        &self,
        source: &Source,
        map: &KeyMap,
        device: &Device,
    ) -> Result<Box<dyn NoisePredictor>, Error> {
        fn filled<M: Module + NoisePredictor + 'static>(
            network: M,
            source: &Source,
            map: &KeyMap,
        ) -> Result<Box<dyn NoisePredictor>, Error> {
            Ok(Box::new(load(network, source, map)?.valid()))
        }
        match self.config() {
            DiffusionConfig::QuickUnet(config) => filled(config.init(device), source, map),
            DiffusionConfig::GuidedUnet(config) => filled(config.init(device)?, source, map),
            DiffusionConfig::DdimUnet(config) => filled(config.init(device)?, source, map),
            DiffusionConfig::IddpmUnet(config) => filled(config.init(device)?, source, map),
            DiffusionConfig::LatentDiffusion(config) => {
                let network = load(config.unet.init(device)?, source, map)?;
                Ok(Box::new(network.valid().labelled()))
            }
        }
    }

    /// Loads the first stage of a latent diffusion model from the model's own file; `None` for a network that works
    /// on images.
    ///
    /// # Errors
    /// As [`load_from`](Self::load_from).
    pub fn load_first_stage(
        &self,
        source: &Source,
        device: &Device,
    ) -> Result<Option<Box<dyn FirstStage>>, Error> {
        let Self::LatentDiffusion(config) = self else {
            return Ok(None);
        };
        let map = crate::latent_diffusion::first_stage_key_map();
        let network = load(config.first_stage.init(device)?, source, &map)?;
        Ok(Some(Box::new(network.valid())))
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
