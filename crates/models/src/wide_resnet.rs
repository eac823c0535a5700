//! Wide residual networks (Zagoruyko & Komodakis 2016): pre-activation blocks, depth `6n + 4`, `k` times the channels.

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
        let stage = |channels_in, channels, stride| {
            let layer = (0..self.blocks)
                .map(|i| match i {
                    0 => Block::new(channels_in, channels, stride, device),
                    _ => Block::new(channels, channels, 1, device),
                })
                .collect();
            Stage { layer }
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

impl WideResnet {
    /// Activations of the last stage, after the last norm and ReLU, for an input that is normalised already; `seen`
    /// is shown those of the stem and of each stage.
    pub fn stages(&self, normalised: Tensor<4>, seen: &mut dyn FnMut(&Tensor<4>)) -> Tensor<4> {
        let mut h = self.conv1.forward(normalised);
        seen(&h);
        for stage in [&self.block1, &self.block2, &self.block3] {
            for block in &stage.layer {
                h = block.forward(h);
            }
            seen(&h);
        }
        relu(self.bn1.forward(h))
    }
}

impl Summary for WideResnetConfig {
    fn summary(&self) -> Result<NetworkSummary, Error> {
        let network = self.init(&Device::flex());
        let mut trace = Trace::default();
        let mut side = network.conv1.trace(self.input_side, &mut trace);
        for block in [&network.block1, &network.block2, &network.block3]
            .into_iter()
            .flat_map(|stage| &stage.layer)
        {
            side = block.trace(side, &mut trace);
        }
        trace_linear(&network.fc, &mut trace);
        Ok(trace.summary(keys(&network, &key_map())))
    }
}

impl Classifier for WideResnet {
    fn last_stage(&self, image: Tensor<4>) -> Tensor<4> {
        self.stages(self.preprocessing.normalise(image), &mut |_| ())
    }

    fn stage_activations(&self, image: Tensor<4>) -> Vec<Tensor<4>> {
        let mut seen = Vec::new();
        let last = self.stages(self.preprocessing.normalise(image), &mut |h| {
            seen.push(h.clone());
        });
        // Not the stem; and the last stage as the head sees it.
        seen.pop();
        seen.push(last);
        seen.split_off(1)
    }

    fn pool(&self, activations: Tensor<4>) -> Tensor<2> {
        average_pool(activations)
    }

    fn head(&self, features: Tensor<2>) -> Tensor<2> {
        self.fc.forward(features)
    }

    fn head_parameters(&self) -> (Tensor<2>, Tensor<1>) {
        linear_parameters(&self.fc)
    }

    fn num_classes(&self) -> usize {
        self.fc.weight.dims()[1]
    }

    fn input_side(&self) -> usize {
        self.input_side
    }
}

/// Blocks of one width.
#[derive(Module, Debug)]
struct Stage {
    layer: Vec<Block>,
}

/// Pre-activation block; where widths change, the shortcut begins after the first norm and ReLU.
#[derive(Module, Debug)]
struct Block {
    bn1: BatchNorm,
    conv1: BareConv,
    bn2: BatchNorm,
    conv2: BareConv,
    shortcut: Option<BareConv>,
}

impl Block {
    /// Counts its work on an image of `side` x `side`, the identity kept beside it; the side of what comes out.
    fn trace(&self, side: usize, trace: &mut Trace) -> usize {
        let [_, channels, _, _] = self.conv1.weight.lazy_shape().dims();
        let held = channels * side * side;
        trace.hold(held);
        if let Some(shortcut) = &self.shortcut {
            shortcut.trace(side, trace);
        }
        let side = self.conv1.trace(side, trace);
        let side = self.conv2.trace(side, trace);
        trace.release(held);
        side
    }

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
        let h = relu(self.bn2.forward(self.conv1.forward(active.clone())));
        let h = self.conv2.forward(h);
        match &self.shortcut {
            Some(shortcut) => shortcut.forward(active) + h,
            None => x + h,
        }
    }
}
