//! ResNet-50 (He et al. 2016) as torchvision builds it: bottleneck blocks with the stride in their 3x3 convolution.

use burn::config::Config;
use burn::module::Module;
use burn::nn::{BatchNorm, BatchNormConfig, Linear, LinearConfig};
use burn::tensor::module::max_pool2d;
use burn::tensor::ops::MaxPoolOptions;
use burn::tensor::{Device, Tensor};

use crate::Error;
use crate::checkpoint::KeyMap;
use crate::layers::{BareConv, normed};
use crate::preprocessing::Preprocessing;
use crate::residual::{self, Parts, Projection, Residual, stage};
use crate::step::{self, Step};
use crate::summary::{NetworkSummary, Summary};

/// Channels out of a bottleneck, over those inside.
const EXPANSION: usize = 4;

/// Configuration of a [`Resnet50`].
#[derive(Config, Debug)]
pub struct Resnet50Config {
    /// Number of classes.
    pub num_classes: usize,
    /// Blocks of each stage; `[3, 4, 6, 3]` are fifty layers, `[3, 4, 23, 3]` a hundred and one.
    #[config(default = "[3, 4, 6, 3]")]
    pub blocks: [usize; 4],
    /// Channels inside the first stage's blocks; doubled by each further stage.
    #[config(default = 64)]
    pub width: usize,
    /// Side of the images it is trained on.
    #[config(default = 224)]
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
pub struct Resnet50 {
    conv1: BareConv,
    bn1: BatchNorm,
    layer1: Vec<Bottleneck>,
    layer2: Vec<Bottleneck>,
    layer3: Vec<Bottleneck>,
    layer4: Vec<Bottleneck>,
    fc: Linear,
    input_side: usize,
    #[module(skip)]
    preprocessing: Preprocessing,
}

impl Resnet50Config {
    /// Initialises the network (Kaiming normal).
    pub fn init(&self, device: &Device) -> Resnet50 {
        let w = self.width;
        let [first, second, third, fourth] = self.blocks;
        Resnet50 {
            conv1: BareConv::new(self.mean.len(), w, 7, 2, device),
            bn1: BatchNormConfig::new(w).init(device),
            layer1: stage(first, w, w, 1, device),
            layer2: stage(second, EXPANSION * w, 2 * w, 2, device),
            layer3: stage(third, 2 * EXPANSION * w, 4 * w, 2, device),
            layer4: stage(fourth, 4 * EXPANSION * w, 8 * w, 2, device),
            fc: LinearConfig::new(8 * EXPANSION * w, self.num_classes).init(device),
            input_side: self.input_side,
            preprocessing: Preprocessing::new(&self.mean, &self.std),
        }
    }
}

/// The names of torchvision's files.
pub fn key_map() -> KeyMap {
    KeyMap::published().with_renames([
        ("downsample.0", "downsample.conv"),
        ("downsample.1", "downsample.norm"),
    ])
}

impl Summary for Resnet50Config {
    fn summary(&self) -> Result<NetworkSummary, Error> {
        Ok(residual::summary(&self.init(&Device::flex()), &key_map()))
    }

    fn steps(&self, device: &Device) -> Result<Vec<Step>, Error> {
        let network = step::drawn(self.init(device));
        Ok(vec![step::classifier(&network, self.mean.len(), device)])
    }
}

impl Residual for Resnet50 {
    type Block = Bottleneck;
    const STEM_POOLING: usize = 2;

    fn parts(&self) -> Parts<'_, Bottleneck> {
        Parts {
            conv1: &self.conv1,
            stages: vec![&self.layer1, &self.layer2, &self.layer3, &self.layer4],
            linear: &self.fc,
            preprocessing: &self.preprocessing,
            input_side: self.input_side,
        }
    }

    fn stem(&self, normalised: Tensor<4>) -> Tensor<4> {
        let h = normed(&self.conv1, &self.bn1, normalised, None, true);
        let pooling = MaxPoolOptions {
            kernel_size: [3, 3],
            stride: [2, 2],
            padding: [(1, 1), (1, 1)],
            dilation: [1, 1],
            ceil_mode: false,
        };
        max_pool2d(h, pooling)
    }
}

/// Bottleneck: 1x1, 3x3 and 1x1 convolutions, and the identity or its projection.
#[derive(Module, Debug)]
pub struct Bottleneck {
    conv1: BareConv,
    bn1: BatchNorm,
    conv2: BareConv,
    bn2: BatchNorm,
    conv3: BareConv,
    bn3: BatchNorm,
    downsample: Option<Projection>,
}

impl residual::Block for Bottleneck {
    const EXPANSION: usize = EXPANSION;

    fn new(channels_in: usize, inside: usize, stride: usize, device: &Device) -> Self {
        let channels = EXPANSION * inside;
        Self {
            conv1: BareConv::new(channels_in, inside, 1, 1, device),
            bn1: BatchNormConfig::new(inside).init(device),
            conv2: BareConv::new(inside, inside, 3, stride, device),
            bn2: BatchNormConfig::new(inside).init(device),
            conv3: BareConv::new(inside, channels, 1, 1, device),
            bn3: BatchNormConfig::new(channels).init(device),
            downsample: Projection::where_needed(channels_in, channels, stride, device),
        }
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let h = normed(&self.conv1, &self.bn1, x.clone(), None, true);
        let h = normed(&self.conv2, &self.bn2, h, None, true);
        let shortcut = Projection::apply(self.downsample.as_ref(), x);
        normed(&self.conv3, &self.bn3, h, Some(shortcut), true)
    }

    fn convolutions(&self) -> (Vec<&BareConv>, Option<&BareConv>) {
        let projection = self.downsample.as_ref().map(|projection| &projection.conv);
        (vec![&self.conv1, &self.conv2, &self.conv3], projection)
    }
}
