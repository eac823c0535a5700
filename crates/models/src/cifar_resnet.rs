//! The residual networks of He et al. 2016 for CIFAR (section 4.2): three stages of `2n` convolutions, parameter-free
//! shortcuts (option A), global average pooling, one linear layer; depth `6n + 2`.

use burn::config::Config;
use burn::module::{Module, Param};
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::{BatchNorm, BatchNormConfig, Initializer, Linear, LinearConfig, PaddingConfig2d};
use burn::tensor::activation::relu;
use burn::tensor::{Device, Tensor};
use diffguard_kernels::conv3x3;

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
    conv1: PlainConv,
    bn1: BatchNorm,
    layer1: Vec<Block>,
    layer2: Vec<Block>,
    layer3: Vec<Block>,
    linear: Linear,
    input_side: usize,
    #[module(skip)]
    mean: Vec<f32>,
    #[module(skip)]
    std: Vec<f32>,
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
            conv1: PlainConv::new(self.mean.len(), w, device),
            bn1: BatchNormConfig::new(w).init(device),
            layer1: stage(w, w, 1),
            layer2: stage(w, 2 * w, 2),
            layer3: stage(2 * w, 4 * w, 2),
            linear: LinearConfig::new(4 * w, self.num_classes).init(device),
            input_side: self.input_side,
            mean: self.mean.clone(),
            std: self.std.clone(),
        }
    }
}

impl CifarResnet {
    /// From [-1, 1] to the normalised input that the network was trained on.
    fn normalise(&self, image: Tensor<4>) -> Tensor<4> {
        let channels = self.mean.len();
        let column = |values: Vec<f32>| {
            Tensor::<1>::from_floats(values.as_slice(), &image.device())
                .reshape([1, channels, 1, 1])
        };
        // ((x + 1) / 2 - mean) / std, as one multiplication and one addition
        let scale = column(self.std.iter().map(|s| 0.5 / s).collect());
        let shift = column(
            self.mean
                .iter()
                .zip(&self.std)
                .map(|(m, s)| (0.5 - m) / s)
                .collect(),
        );
        image * scale + shift
    }

    /// Activations of the last stage for an input that is normalised already.
    pub fn stages(&self, normalised: Tensor<4>) -> Tensor<4> {
        let [_, _, last] = self.each_stage(normalised);
        last
    }

    /// Activations of all three stages for an input that is normalised already.
    fn each_stage(&self, normalised: Tensor<4>) -> [Tensor<4>; 3] {
        let mut h = relu(self.bn1.forward(self.conv1.forward(normalised)));
        [&self.layer1, &self.layer2, &self.layer3].map(|stage| {
            for block in stage {
                h = block.forward(h.clone());
            }
            h.clone()
        })
    }
}

impl Classifier for CifarResnet {
    fn last_stage(&self, image: Tensor<4>) -> Tensor<4> {
        self.stages(self.normalise(image))
    }

    fn stage_activations(&self, image: Tensor<4>) -> Vec<Tensor<4>> {
        self.each_stage(self.normalise(image)).into()
    }

    fn pool(&self, activations: Tensor<4>) -> Tensor<2> {
        let [batch, channels, _, _] = activations.dims();
        activations
            .reshape([batch as i32, channels as i32, -1])
            .mean_dim(2)
            .reshape([batch, channels])
    }

    fn head(&self, features: Tensor<2>) -> Tensor<2> {
        self.linear.forward(features)
    }

    fn head_parameters(&self) -> (Tensor<2>, Tensor<1>) {
        let bias = self.linear.bias.as_ref().map(|bias| bias.val());
        let weight = self.linear.weight.val();
        let bias = bias.unwrap_or_else(|| Tensor::zeros([weight.dims()[1]], &weight.device()));
        (weight.transpose(), bias)
    }

    fn num_classes(&self) -> usize {
        self.linear.weight.dims()[1]
    }

    fn input_side(&self) -> usize {
        self.input_side
    }
}

/// A 3x3 convolution with stride 1 and without a bias (the batch norm behind it has one).
#[derive(Module, Debug)]
struct PlainConv {
    weight: Param<Tensor<4>>,
}

impl PlainConv {
    fn new(channels_in: usize, channels_out: usize, device: &Device) -> Self {
        let std = (2.0 / (9 * channels_in) as f64).sqrt();
        Self {
            weight: Initializer::Normal { mean: 0.0, std }
                .init([channels_out, channels_in, 3, 3], device),
        }
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let weight = self.weight.val();
        let no_bias = Tensor::zeros([weight.dims()[0]], &x.device());
        conv3x3(x, weight, no_bias)
    }
}

/// The first convolution of a block, which may halve the image.
#[derive(Module, Debug)]
enum FirstConv {
    Plain(PlainConv),
    Strided(Conv2d),
}

/// Basic block: two convolutions and the identity, subsampled and zero-padded in channels where sizes change.
#[derive(Module, Debug)]
struct Block {
    conv1: FirstConv,
    bn1: BatchNorm,
    conv2: PlainConv,
    bn2: BatchNorm,
    padding: usize,
}

impl Block {
    fn new(channels_in: usize, channels: usize, stride: usize, device: &Device) -> Self {
        let conv1 = match stride {
            1 => FirstConv::Plain(PlainConv::new(channels_in, channels, device)),
            _ => FirstConv::Strided(
                Conv2dConfig::new([channels_in, channels], [3, 3])
                    .with_stride([stride, stride])
                    .with_padding(PaddingConfig2d::Explicit(1, 1, 1, 1))
                    .with_bias(false)
                    .with_initializer(Initializer::Normal {
                        mean: 0.0,
                        std: (2.0 / (9 * channels_in) as f64).sqrt(),
                    })
                    .init(device),
            ),
        };
        Self {
            conv1,
            bn1: BatchNormConfig::new(channels).init(device),
            conv2: PlainConv::new(channels, channels, device),
            bn2: BatchNormConfig::new(channels).init(device),
            padding: (channels - channels_in) / 2,
        }
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let h = match &self.conv1 {
            FirstConv::Plain(conv) => conv.forward(x.clone()),
            FirstConv::Strided(conv) => conv.forward(x.clone()),
        };
        let h = relu(self.bn1.forward(h));
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
