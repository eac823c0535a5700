//! Classifiers by name.

use std::path::Path;

use burn::module::Module;
use burn::tensor::Device;
use serde::{Deserialize, Serialize};

use super::same_images;
use crate::checkpoint::{KeyMap, Source, load, open_verified};
use crate::cifar_resnet::CifarResnetConfig;
use crate::resnet18_32::Resnet18SmallConfig;
use crate::resnet50::Resnet50Config;
use crate::step::Step;
use crate::vgg::Vgg16Config;
use crate::wide_resnet::WideResnetConfig;
use crate::{Classifier, Error, NetworkSummary, Summary};

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
        let layer = match self {
            Self::Vgg16 { .. } => "features.0",
            _ => "conv1",
        };
        same_images(layer, [self.channels(), side, side], shape)
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
