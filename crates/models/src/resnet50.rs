//! ResNet-50 (He et al. 2016) as torchvision builds it: bottleneck blocks with the stride in their 3x3 convolution.

use burn::config::Config;
use burn::module::Module;
use burn::nn::{BatchNorm, BatchNormConfig, Linear, LinearConfig};
use burn::tensor::activation::relu;
use burn::tensor::module::max_pool2d;
use burn::tensor::ops::MaxPoolOptions;
use burn::tensor::{Device, Tensor};

use crate::Error;
use crate::checkpoint::KeyMap;
use crate::keys::keys;
use crate::layers::{BareConv, average_pool, linear_parameters, trace_linear};
use crate::preprocessing::Preprocessing;
use crate::summary::{NetworkSummary, Summary, Trace};
use crate::traits::Classifier;

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
        let stage = |channels_in: usize, stage: usize, stride: usize| {
            let inside = w << stage;
            (0..self.blocks[stage])
                .map(|i| match i {
                    0 => Bottleneck::new(channels_in, inside, stride, device),
                    _ => Bottleneck::new(EXPANSION * inside, inside, 1, device),
                })
                .collect()
        };
        Resnet50 {
            conv1: BareConv::new(self.mean.len(), w, 7, 2, device),
            bn1: BatchNormConfig::new(w).init(device),
            layer1: stage(w, 0, 1),
            layer2: stage(EXPANSION * w, 1, 2),
            layer3: stage(2 * EXPANSION * w, 2, 2),
            layer4: stage(4 * EXPANSION * w, 3, 2),
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

impl Resnet50 {
    /// Activations of the last stage for an input that is normalised already; `seen` is shown those of the stem
    /// (after its pooling) and of each stage.
    pub fn stages(&self, normalised: Tensor<4>, seen: &mut dyn FnMut(&Tensor<4>)) -> Tensor<4> {
        let h = relu(self.bn1.forward(self.conv1.forward(normalised)));
        let pooling = MaxPoolOptions {
            kernel_size: [3, 3],
            stride: [2, 2],
            padding: [(1, 1), (1, 1)],
            dilation: [1, 1],
            ceil_mode: false,
        };
        let mut h = max_pool2d(h, pooling);
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

impl Summary for Resnet50Config {
    fn summary(&self) -> Result<NetworkSummary, Error> {
        let network = self.init(&Device::flex());
        let mut trace = Trace::default();
        let mut side = network.conv1.trace(self.input_side, &mut trace);
        side = side.div_ceil(2);
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

impl Classifier for Resnet50 {
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

/// Bottleneck: 1x1, 3x3 and 1x1 convolutions, and the identity or its projection.
#[derive(Module, Debug)]
struct Bottleneck {
    conv1: BareConv,
    bn1: BatchNorm,
    conv2: BareConv,
    bn2: BatchNorm,
    conv3: BareConv,
    bn3: BatchNorm,
    downsample: Option<Projection>,
}

/// The identity where sizes change: a 1x1 convolution and its norm.
#[derive(Module, Debug)]
struct Projection {
    conv: BareConv,
    norm: BatchNorm,
}

impl Bottleneck {
    /// Counts its work on an image of `side` x `side`, the identity kept beside it; the side of what comes out.
    fn trace(&self, side: usize, trace: &mut Trace) -> usize {
        let [_, channels, _, _] = self.conv1.weight.lazy_shape().dims();
        let held = channels * side * side;
        trace.hold(held);
        if let Some(projection) = &self.downsample {
            projection.conv.trace(side, trace);
        }
        let side = self.conv1.trace(side, trace);
        let side = self.conv2.trace(side, trace);
        let side = self.conv3.trace(side, trace);
        trace.release(held);
        side
    }

    fn new(channels_in: usize, inside: usize, stride: usize, device: &Device) -> Self {
        let channels = EXPANSION * inside;
        let same = stride == 1 && channels_in == channels;
        Self {
            conv1: BareConv::new(channels_in, inside, 1, 1, device),
            bn1: BatchNormConfig::new(inside).init(device),
            conv2: BareConv::new(inside, inside, 3, stride, device),
            bn2: BatchNormConfig::new(inside).init(device),
            conv3: BareConv::new(inside, channels, 1, 1, device),
            bn3: BatchNormConfig::new(channels).init(device),
            downsample: (!same).then(|| Projection {
                conv: BareConv::new(channels_in, channels, 1, stride, device),
                norm: BatchNormConfig::new(channels).init(device),
            }),
        }
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let h = relu(self.bn1.forward(self.conv1.forward(x.clone())));
        let h = relu(self.bn2.forward(self.conv2.forward(h)));
        let h = self.bn3.forward(self.conv3.forward(h));
        relu(match &self.downsample {
            Some(projection) => h + projection.norm.forward(projection.conv.forward(x)),
            None => h + x,
        })
    }
}
