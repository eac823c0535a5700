//! The residual networks of He et al. 2016 for CIFAR (section 4.2): three stages of `2n` convolutions, parameter-free
//! shortcuts (option A), global average pooling, one linear layer; depth `6n + 2`.

use burn::config::Config;
use burn::module::Module;
use burn::nn::{BatchNorm, BatchNormConfig, Linear, LinearConfig};
use burn::tensor::{Device, Tensor};
use diffguard_kernels::subsample2;

use crate::Error;
use crate::checkpoint::KeyMap;
use crate::layers::{BareConv, normed};
use crate::preprocessing::Preprocessing;
use crate::residual::{self, Parts, Residual, stage};
use crate::step::{self, Step};
use crate::summary::{NetworkSummary, Summary};

/// Configuration of a [`CifarResnet`].
#[derive(Config, Debug)]
pub struct CifarResnetConfig {
    /// Blocks a stage, `n`; the depth is `6n + 2` (3 for ResNet-20).
    #[config(default = 3)]
    pub blocks: usize,
    /// Channels of the first stage; doubled by the second and by the third.
    #[config(default = 16)]
    pub width: usize,
    /// Number of classes.
    pub num_classes: usize,
    /// Side of the images it is trained on.
    #[config(default = 32)]
    pub input_side: usize,
    /// Mean of each channel on [0, 1], taken off first. Its length is the number of channels.
    #[config(default = "vec![0.485, 0.456, 0.406]")]
    pub mean: Vec<f32>,
    /// Standard deviation of each channel on [0, 1].
    #[config(default = "vec![0.229, 0.224, 0.225]")]
    pub std: Vec<f32>,
}

/// The network; see the module's documentation.
#[derive(Module, Debug)]
pub struct CifarResnet {
    conv1: BareConv,
    bn1: BatchNorm,
    layer1: Vec<Block>,
    layer2: Vec<Block>,
    layer3: Vec<Block>,
    linear: Linear,
    input_side: usize,
    #[module(skip)]
    preprocessing: Preprocessing,
}

impl CifarResnetConfig {
    /// Initialises the network (Kaiming normal, as the reference).
    pub fn init(&self, device: &Device) -> CifarResnet {
        let w = self.width;
        let n = self.blocks;
        CifarResnet {
            conv1: BareConv::new(self.mean.len(), w, 3, 1, device),
            bn1: BatchNormConfig::new(w).init(device),
            layer1: stage(n, w, w, 1, device),
            layer2: stage(n, w, 2 * w, 2, device),
            layer3: stage(n, 2 * w, 4 * w, 2, device),
            linear: LinearConfig::new(4 * w, self.num_classes).init(device),
            input_side: self.input_side,
            preprocessing: Preprocessing::new(&self.mean, &self.std),
        }
    }
}

/// The names of the published files (github.com/akamaster/pytorch_resnet_cifar10): ours, below `state_dict.module.`.
pub fn key_map() -> KeyMap {
    KeyMap::published()
}

impl Summary for CifarResnetConfig {
    fn summary(&self) -> Result<NetworkSummary, Error> {
        Ok(residual::summary(&self.init(&Device::flex()), &key_map()))
    }

    fn steps(&self, device: &Device) -> Result<Vec<Step>, Error> {
        let network = step::drawn(self.init(device));
        Ok(vec![step::classifier(&network, self.mean.len(), device)])
    }
}

impl Residual for CifarResnet {
    type Block = Block;

    fn parts(&self) -> Parts<'_, Block> {
        Parts {
            conv1: &self.conv1,
            stages: vec![&self.layer1, &self.layer2, &self.layer3],
            linear: &self.linear,
            preprocessing: &self.preprocessing,
            input_side: self.input_side,
        }
    }

    fn stem(&self, normalised: Tensor<4>) -> Tensor<4> {
        normed(&self.conv1, &self.bn1, normalised, None, true)
    }
}

/// Basic block: two convolutions and the identity, subsampled and zero-padded in channels where sizes change.
#[derive(Module, Debug)]
pub struct Block {
    conv1: BareConv,
    bn1: BatchNorm,
    conv2: BareConv,
    bn2: BatchNorm,
    padding: usize,
}

impl residual::Block for Block {
    fn new(channels_in: usize, channels: usize, stride: usize, device: &Device) -> Self {
        Self {
            conv1: BareConv::new(channels_in, channels, 3, stride, device),
            bn1: BatchNormConfig::new(channels).init(device),
            conv2: BareConv::new(channels, channels, 3, 1, device),
            bn2: BatchNormConfig::new(channels).init(device),
            padding: (channels - channels_in) / 2,
        }
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let h = normed(&self.conv1, &self.bn1, x.clone(), None, true);
        normed(&self.conv2, &self.bn2, h, Some(self.shortcut(x)), true)
    }

    fn convolutions(&self) -> (Vec<&BareConv>, Option<&BareConv>) {
        (vec![&self.conv1, &self.conv2], None)
    }
}

impl Block {
    /// Option A: every second pixel, and as many zero channels in front as behind.
    fn shortcut(&self, x: Tensor<4>) -> Tensor<4> {
        if self.padding == 0 {
            return x;
        }
        subsample2(x, self.padding)
    }
}
