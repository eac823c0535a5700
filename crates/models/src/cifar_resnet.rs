//! The residual networks of He et al. 2016 for CIFAR (section 4.2): three stages of `2n` convolutions, parameter-free
//! shortcuts (option A), global average pooling, one linear layer; depth `6n + 2`.

use burn::config::Config;
use burn::module::Module;
use burn::nn::{BatchNorm, BatchNormConfig, Linear, LinearConfig};
use burn::tensor::activation::relu;
use burn::tensor::{Device, Tensor};

use crate::Error;
use crate::checkpoint::KeyMap;
use crate::keys::keys;
use crate::layers::{BareConv, average_pool, linear_parameters, trace_linear};
use crate::preprocessing::Preprocessing;
use crate::summary::{NetworkSummary, Summary, Trace};
use crate::traits::Classifier;

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
        let stage = |channels_in: usize, channels: usize, stride: usize| {
            (0..self.blocks)
                .map(|i| match i {
                    0 => Block::new(channels_in, channels, stride, device),
                    _ => Block::new(channels, channels, 1, device),
                })
                .collect()
        };
        CifarResnet {
            conv1: BareConv::new(self.mean.len(), w, 3, 1, device),
            bn1: BatchNormConfig::new(w).init(device),
            layer1: stage(w, w, 1),
            layer2: stage(w, 2 * w, 2),
            layer3: stage(2 * w, 4 * w, 2),
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

impl CifarResnet {
    /// Activations of the last stage for an input that is normalised already; `seen` is shown those of the stem
    /// (after its ReLU) and of each stage.
    pub fn stages(&self, normalised: Tensor<4>, seen: &mut dyn FnMut(&Tensor<4>)) -> Tensor<4> {
        let mut h = relu(self.bn1.forward(self.conv1.forward(normalised)));
        seen(&h);
        for stage in [&self.layer1, &self.layer2, &self.layer3] {
            for block in stage {
                h = block.forward(h);
            }
            seen(&h);
        }
        h
    }
}

impl Summary for CifarResnetConfig {
    fn summary(&self) -> Result<NetworkSummary, Error> {
        let network = self.init(&Device::flex());
        let mut trace = Trace::default();
        let mut side = network.conv1.trace(self.input_side, &mut trace);
        for block in [&network.layer1, &network.layer2, &network.layer3]
            .into_iter()
            .flatten()
        {
            side = block.trace(side, &mut trace);
        }
        trace_linear(&network.linear, &mut trace);
        Ok(trace.summary(keys(&network, &key_map())))
    }
}

impl Classifier for CifarResnet {
    fn last_stage(&self, image: Tensor<4>) -> Tensor<4> {
        self.stages(self.preprocessing.normalise(image), &mut |_| ())
    }

    fn stage_activations(&self, image: Tensor<4>) -> Vec<Tensor<4>> {
        let mut stages = Vec::new();
        self.stages(self.preprocessing.normalise(image), &mut |h| {
            stages.push(h.clone());
        });
        // The stem comes first.
        stages.split_off(1)
    }

    fn pool(&self, activations: Tensor<4>) -> Tensor<2> {
        average_pool(activations)
    }

    fn head(&self, features: Tensor<2>) -> Tensor<2> {
        self.linear.forward(features)
    }

    fn head_parameters(&self) -> (Tensor<2>, Tensor<1>) {
        linear_parameters(&self.linear)
    }

    fn num_classes(&self) -> usize {
        self.linear.weight.dims()[1]
    }

    fn input_side(&self) -> usize {
        self.input_side
    }
}

/// Basic block: two convolutions and the identity, subsampled and zero-padded in channels where sizes change.
#[derive(Module, Debug)]
struct Block {
    conv1: BareConv,
    bn1: BatchNorm,
    conv2: BareConv,
    bn2: BatchNorm,
    padding: usize,
}

impl Block {
    /// Counts its work on an image of `side` x `side`, the identity kept beside it; the side of what comes out.
    fn trace(&self, side: usize, trace: &mut Trace) -> usize {
        let [_, channels, _, _] = self.conv1.weight.lazy_shape().dims();
        let held = channels * side * side;
        trace.hold(held);
        let side = self.conv1.trace(side, trace);
        let side = self.conv2.trace(side, trace);
        trace.release(held);
        side
    }

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
        let h = relu(self.bn1.forward(self.conv1.forward(x.clone())));
        let h = self.bn2.forward(self.conv2.forward(h));
        relu(h + self.shortcut(x))
    }

    /// Option A: every second pixel, and as many zero channels in front as behind.
    fn shortcut(&self, x: Tensor<4>) -> Tensor<4> {
        if self.padding == 0 {
            return x;
        }
        let [batch, _, height, width] = x.dims();
        let x = x.slice(burn::tensor::s![.., .., 0..;2, 0..;2]);
        let zeros = Tensor::zeros(
            [batch, self.padding, height.div_ceil(2), width.div_ceil(2)],
            &x.device(),
        );
        Tensor::cat(vec![zeros.clone(), x, zeros], 1)
    }
}
