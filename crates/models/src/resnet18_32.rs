//! ResNet-18 for images of 32 pixels (He et al. 2016, as OpenOOD's `ResNet18_32x32`): a 3x3 stem without pooling, four
//! stages of two basic blocks, projection shortcuts.

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
        let stage = |channels_in: usize, channels: usize, stride: usize| {
            vec![
                Block::new(channels_in, channels, stride, device),
                Block::new(channels, channels, 1, device),
            ]
        };
        Resnet18Small {
            conv1: BareConv::new(self.mean.len(), w, 3, 1, device),
            bn1: BatchNormConfig::new(w).init(device),
            layer1: stage(w, w, 1),
            layer2: stage(w, 2 * w, 2),
            layer3: stage(2 * w, 4 * w, 2),
            layer4: stage(4 * w, 8 * w, 2),
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

impl Resnet18Small {
    /// Activations of the last stage for an input that is normalised already; `seen` is shown those of the stem
    /// (after its ReLU) and of each stage.
    pub fn stages(&self, normalised: Tensor<4>, seen: &mut dyn FnMut(&Tensor<4>)) -> Tensor<4> {
        let mut h = relu(self.bn1.forward(self.conv1.forward(normalised)));
        seen(&h);
        for stage in [&self.layer1, &self.layer2, &self.layer3, &self.layer4] {
            for block in stage {
                h = block.forward(h);
            }
            seen(&h);
        }
        h
    }
}

impl Summary for Resnet18SmallConfig {
    fn summary(&self) -> Result<NetworkSummary, Error> {
        let network = self.init(&Device::flex());
        let mut trace = Trace::default();
        let mut side = network.conv1.trace(self.input_side, &mut trace);
        for block in [
            &network.layer1,
            &network.layer2,
            &network.layer3,
            &network.layer4,
        ]
        .into_iter()
        .flatten()
        {
            side = block.trace(side, &mut trace);
        }
        trace_linear(&network.fc, &mut trace);
        Ok(trace.summary(keys(&network, &key_map())))
    }
}

impl Classifier for Resnet18Small {
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

/// Basic block: two convolutions, and the identity or its projection.
#[derive(Module, Debug)]
struct Block {
    conv1: BareConv,
    bn1: BatchNorm,
    conv2: BareConv,
    bn2: BatchNorm,
    shortcut: Option<Projection>,
}

/// The identity where sizes change: a 1x1 convolution and its norm.
#[derive(Module, Debug)]
struct Projection {
    conv: BareConv,
    norm: BatchNorm,
}

impl Block {
    /// Counts its work on an image of `side` x `side`, the identity kept beside it; the side of what comes out.
    fn trace(&self, side: usize, trace: &mut Trace) -> usize {
        let [_, channels, _, _] = self.conv1.weight.lazy_shape().dims();
        let held = channels * side * side;
        trace.hold(held);
        if let Some(shortcut) = &self.shortcut {
            shortcut.conv.trace(side, trace);
        }
        let side = self.conv1.trace(side, trace);
        let side = self.conv2.trace(side, trace);
        trace.release(held);
        side
    }

    fn new(channels_in: usize, channels: usize, stride: usize, device: &Device) -> Self {
        let same = stride == 1 && channels_in == channels;
        Self {
            conv1: BareConv::new(channels_in, channels, 3, stride, device),
            bn1: BatchNormConfig::new(channels).init(device),
            conv2: BareConv::new(channels, channels, 3, 1, device),
            bn2: BatchNormConfig::new(channels).init(device),
            shortcut: (!same).then(|| Projection {
                conv: BareConv::new(channels_in, channels, 1, stride, device),
                norm: BatchNormConfig::new(channels).init(device),
            }),
        }
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let h = relu(self.bn1.forward(self.conv1.forward(x.clone())));
        let h = self.bn2.forward(self.conv2.forward(h));
        relu(match &self.shortcut {
            Some(shortcut) => h + shortcut.norm.forward(shortcut.conv.forward(x)),
            None => h + x,
        })
    }
}
