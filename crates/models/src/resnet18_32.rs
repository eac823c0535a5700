//! ResNet-18 for images of 32 pixels (He et al. 2016, as OpenOOD's `ResNet18_32x32`): a 3x3 stem without pooling, four
//! stages of two basic blocks, projection shortcuts.

use burn::config::Config;
use burn::module::Module;
use burn::nn::{BatchNorm, BatchNormConfig, Linear, LinearConfig};
use burn::tensor::{Device, Tensor};

use crate::Error;
use crate::checkpoint::KeyMap;
use crate::layers::{BareConv, normed};
use crate::preprocessing::Preprocessing;
use crate::residual::{self, Parts, Projection, Residual, stage};
use crate::step::{self, Step};
use crate::summary::{NetworkSummary, Summary};

/// Configuration of a [`Resnet18Small`].
#[derive(Config, Debug)]
pub struct Resnet18SmallConfig {
    /// Number of classes.
    pub num_classes: usize,
    /// Channels of the first stage; doubled by each further one.
    #[config(default = 64)]
    pub width: usize,
    /// Side of the images it is trained on.
    #[config(default = 32)]
    pub input_side: usize,
    /// Mean of each channel on [0, 1], taken off first (OpenOOD's of CIFAR-10). Its length is the number of channels.
    #[config(default = "vec![0.4914, 0.4822, 0.4465]")]
    pub mean: Vec<f32>,
    /// Standard deviation of each channel on [0, 1].
    #[config(default = "vec![0.2470, 0.2435, 0.2616]")]
    pub std: Vec<f32>,
}

/// The network; see the module's documentation.
#[derive(Module, Debug)]
pub struct Resnet18Small {
    conv1: BareConv,
    bn1: BatchNorm,
    layer1: Vec<Block>,
    layer2: Vec<Block>,
    layer3: Vec<Block>,
    layer4: Vec<Block>,
    fc: Linear,
    input_side: usize,
    #[module(skip)]
    preprocessing: Preprocessing,
}

impl Resnet18SmallConfig {
    /// Initialises the network (Kaiming normal).
    pub fn init(&self, device: &Device) -> Resnet18Small {
        let w = self.width;
        Resnet18Small {
            conv1: BareConv::new(self.mean.len(), w, 3, 1, device),
            bn1: BatchNormConfig::new(w).init(device),
            layer1: stage(2, w, w, 1, device),
            layer2: stage(2, w, 2 * w, 2, device),
            layer3: stage(2, 2 * w, 4 * w, 2, device),
            layer4: stage(2, 4 * w, 8 * w, 2, device),
            fc: LinearConfig::new(8 * w, self.num_classes).init(device),
            input_side: self.input_side,
            preprocessing: Preprocessing::new(&self.mean, &self.std),
        }
    }
}

/// The names of OpenOOD's files.
pub fn key_map() -> KeyMap {
    KeyMap::published().with_renames([
        ("shortcut.0", "shortcut.conv"),
        ("shortcut.1", "shortcut.norm"),
    ])
}

impl Summary for Resnet18SmallConfig {
    fn summary(&self) -> Result<NetworkSummary, Error> {
        Ok(residual::summary(&self.init(&Device::flex()), &key_map()))
    }

    fn steps(&self, device: &Device) -> Result<Vec<Step>, Error> {
        let network = step::drawn(self.init(device));
        Ok(vec![step::classifier(&network, self.mean.len(), device)])
    }
}

impl Residual for Resnet18Small {
    type Block = Block;

    fn parts(&self) -> Parts<'_, Block> {
        Parts {
            conv1: &self.conv1,
            stages: vec![&self.layer1, &self.layer2, &self.layer3, &self.layer4],
            linear: &self.fc,
            preprocessing: &self.preprocessing,
            input_side: self.input_side,
        }
    }

    fn stem(&self, normalised: Tensor<4>) -> Tensor<4> {
        normed(&self.conv1, &self.bn1, normalised, None, true)
    }
}

/// Basic block: two convolutions, and the identity or its projection.
#[derive(Module, Debug)]
pub struct Block {
    conv1: BareConv,
    bn1: BatchNorm,
    conv2: BareConv,
    bn2: BatchNorm,
    shortcut: Option<Projection>,
}

impl residual::Block for Block {
    fn new(channels_in: usize, channels: usize, stride: usize, device: &Device) -> Self {
        Self {
            conv1: BareConv::new(channels_in, channels, 3, stride, device),
            bn1: BatchNormConfig::new(channels).init(device),
            conv2: BareConv::new(channels, channels, 3, 1, device),
            bn2: BatchNormConfig::new(channels).init(device),
            shortcut: Projection::where_needed(channels_in, channels, stride, device),
        }
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let h = normed(&self.conv1, &self.bn1, x.clone(), None, true);
        let shortcut = Projection::apply(self.shortcut.as_ref(), x);
        normed(&self.conv2, &self.bn2, h, Some(shortcut), true)
    }

    fn convolutions(&self) -> (Vec<&BareConv>, Option<&BareConv>) {
        let projection = self.shortcut.as_ref().map(|shortcut| &shortcut.conv);
        (vec![&self.conv1, &self.conv2], projection)
    }
}
