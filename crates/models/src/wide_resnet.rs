//! Wide residual networks (Zagoruyko & Komodakis 2016): pre-activation blocks, depth `6n + 4`, `k` times the channels.

use burn::config::Config;
use burn::module::Module;
use burn::nn::{BatchNorm, BatchNormConfig, Linear, LinearConfig};
use burn::tensor::activation::relu;
use burn::tensor::{Device, Tensor};

use crate::Error;
use crate::checkpoint::KeyMap;
use crate::layers::{BareConv, normed};
use crate::preprocessing::Preprocessing;
use crate::residual::{self, Parts, Residual, stage};
use crate::step::{self, Step};
use crate::summary::{NetworkSummary, Summary};

/// Channels of the stem.
const STEM: usize = 16;

/// Configuration of a [`WideResnet`].
#[derive(Config, Debug)]
pub struct WideResnetConfig {
    /// Number of classes.
    pub num_classes: usize,
    /// Blocks a stage, `n`; the depth is `6n + 4` (4 for WideResNet-28).
    #[config(default = 4)]
    pub blocks: usize,
    /// How many times wider than a thin network it is, `k`.
    #[config(default = 10)]
    pub widen: usize,
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

/// The network; see the module's documentation. Dropout is for training alone and left out.
#[derive(Module, Debug)]
pub struct WideResnet {
    conv1: BareConv,
    block1: Stage,
    block2: Stage,
    block3: Stage,
    bn1: BatchNorm,
    fc: Linear,
    input_side: usize,
    #[module(skip)]
    preprocessing: Preprocessing,
}

impl WideResnetConfig {
    /// Initialises the network (Kaiming normal).
    pub fn init(&self, device: &Device) -> WideResnet {
        let w = STEM * self.widen;
        let stage = |channels_in, channels, stride| Stage {
            layer: stage(self.blocks, channels_in, channels, stride, device),
        };
        WideResnet {
            conv1: BareConv::new(self.mean.len(), STEM, 3, 1, device),
            block1: stage(STEM, w, 1),
            block2: stage(w, 2 * w, 2),
            block3: stage(2 * w, 4 * w, 2),
            bn1: BatchNormConfig::new(4 * w).init(device),
            fc: LinearConfig::new(4 * w, self.num_classes).init(device),
            input_side: self.input_side,
            preprocessing: Preprocessing::new(&self.mean, &self.std),
        }
    }
}

/// The names of the files of github.com/xternalz/WideResNet-pytorch, which OpenOOD takes over.
pub fn key_map() -> KeyMap {
    KeyMap::published().with_renames([("convShortcut", "shortcut")])
}

impl Summary for WideResnetConfig {
    fn summary(&self) -> Result<NetworkSummary, Error> {
        Ok(residual::summary(&self.init(&Device::flex()), &key_map()))
    }

    fn steps(&self, device: &Device) -> Result<Vec<Step>, Error> {
        let network = step::drawn(self.init(device));
        Ok(vec![step::classifier(&network, self.mean.len(), device)])
    }
}

impl Residual for WideResnet {
    type Block = Block;

    fn parts(&self) -> Parts<'_, Block> {
        Parts {
            conv1: &self.conv1,
            stages: [&self.block1, &self.block2, &self.block3]
                .map(|stage| stage.layer.as_slice())
                .into(),
            linear: &self.fc,
            preprocessing: &self.preprocessing,
            input_side: self.input_side,
        }
    }

    fn stem(&self, normalised: Tensor<4>) -> Tensor<4> {
        self.conv1.forward(normalised)
    }

    fn finish(&self, activations: Tensor<4>) -> Tensor<4> {
        relu(self.bn1.forward(activations))
    }
}

/// Blocks of one width.
#[derive(Module, Debug)]
struct Stage {
    layer: Vec<Block>,
}

/// Pre-activation block; where widths change, the shortcut begins after the first norm and ReLU.
#[derive(Module, Debug)]
pub struct Block {
    bn1: BatchNorm,
    conv1: BareConv,
    bn2: BatchNorm,
    conv2: BareConv,
    shortcut: Option<BareConv>,
}

impl residual::Block for Block {
    fn new(channels_in: usize, channels: usize, stride: usize, device: &Device) -> Self {
        Self {
            bn1: BatchNormConfig::new(channels_in).init(device),
            conv1: BareConv::new(channels_in, channels, 3, stride, device),
            bn2: BatchNormConfig::new(channels).init(device),
            conv2: BareConv::new(channels, channels, 3, 1, device),
            shortcut: (channels_in != channels)
                .then(|| BareConv::new(channels_in, channels, 1, stride, device)),
        }
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let active = relu(self.bn1.forward(x.clone()));
        let h = normed(&self.conv1, &self.bn2, active.clone(), None, true);
        let h = self.conv2.forward(h);
        match &self.shortcut {
            Some(shortcut) => shortcut.forward(active) + h,
            None => x + h,
        }
    }

    fn convolutions(&self) -> (Vec<&BareConv>, Option<&BareConv>) {
        (vec![&self.conv1, &self.conv2], self.shortcut.as_ref())
    }
}
