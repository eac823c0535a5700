//! VGG-16 (Simonyan and Zisserman 2015, configuration D), with torchvision's parameter names: as a classifier, and as
//! the network through which LPIPS and DISTS look at images.

use burn::config::Config;
use burn::module::{Module, Param};
use burn::nn::{Initializer, Linear, LinearConfig};
use burn::tensor::activation::relu;
use burn::tensor::module::{adaptive_avg_pool2d, max_pool2d};
use burn::tensor::ops::MaxPoolOptions;
use burn::tensor::{Device, Tensor, TensorData, s};

use crate::Error;
use crate::checkpoint::KeyMap;
use crate::error::check_images;
use crate::keys::keys;
use crate::layers::{Conv3x3, linear_parameters, trace_linear};
use crate::preprocessing::Preprocessing;
use crate::step::{self, Step};
use crate::summary::{NetworkSummary, Summary, Trace};
use crate::traits::Classifier;

/// Mean of each channel of ImageNet on [0, 1].
pub const IMAGENET_MEAN: [f32; 3] = [0.485, 0.456, 0.406];
/// Standard deviation of each channel of ImageNet on [0, 1].
pub const IMAGENET_STD: [f32; 3] = [0.229, 0.224, 0.225];
/// Channels of the five blocks' outputs.
pub const BLOCK_CHANNELS: [usize; 5] = [64, 128, 256, 512, 512];
/// Convolutions a block.
const BLOCK_DEPTH: [usize; 5] = [2, 2, 3, 3, 3];
/// Keeps the gradient of an L2 pooling finite where everything is zero (DISTS).
const L2_EPSILON: f64 = 1e-12;

/// How an image is halved between two blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pooling {
    /// The largest of 2x2 (the network as it was trained; LPIPS).
    Max,
    /// `sqrt(hann * x^2 + 1e-12)`, a 3x3 Hann window with stride 2 and zero padding 1 (Hénaff and Simoncelli 2016, as
    /// DISTS uses it).
    L2Hann,
}

impl Pooling {
    fn forward(self, x: Tensor<4>) -> Tensor<4> {
        match self {
            Self::Max => max_pool2d(x, MaxPoolOptions::new([2, 2]).with_stride([2, 2])),
            Self::L2Hann => l2_hann_pool(x),
        }
    }
}

/// `[b, c, h, w]` -> `[b, c, ceil(h / 2), ceil(w / 2)]`; see [`Pooling::L2Hann`].
fn l2_hann_pool(x: Tensor<4>) -> Tensor<4> {
    let [_, _, height, width] = x.dims();
    let (height, width) = (height.div_ceil(2) as i32, width.div_ceil(2) as i32);
    let x = x.square().pad((1, 1, 1, 1), 0.0);
    // The window is [1 2 1] / 4 along each axis.
    let rows = |first: i32| {
        x.clone()
            .slice(s![.., .., first..first + 2 * height - 1;2, ..])
    };
    let x = (rows(0) + rows(1) * 2.0 + rows(2)) * 0.25;
    let columns = |first: i32| {
        x.clone()
            .slice(s![.., .., .., first..first + 2 * width - 1;2])
    };
    ((columns(0) + columns(1) * 2.0 + columns(2)) * 0.25 + L2_EPSILON).sqrt()
}

/// The thirteen convolutions, at torchvision's positions: `features.0`, `features.2`, `features.5`, … (a ReLU or a
/// pooling stands at the others).
#[derive(Module, Debug)]
pub struct Vgg16Features {
    features: Vec<Option<Conv3x3>>,
}

/// Position, channels in and channels out of each convolution, for images of `channels_in` channels.
fn convolutions(mut channels_in: usize) -> impl Iterator<Item = (usize, usize, usize)> {
    let mut position = 0;
    BLOCK_CHANNELS
        .into_iter()
        .zip(BLOCK_DEPTH)
        .flat_map(move |(channels, depth)| {
            let block: Vec<_> = (0..depth)
                .map(|_| {
                    let convolution = (position, channels_in, channels);
                    (position, channels_in) = (position + 2, channels);
                    convolution
                })
                .collect();
            position += 1;
            block
        })
}

/// A list with `make(in, out)` at the convolutions' positions.
fn place<E>(
    image_channels: usize,
    mut make: impl FnMut(usize, usize, usize) -> Result<Conv3x3, E>,
) -> Result<Vec<Option<Conv3x3>>, E> {
    let mut features = Vec::new();
    for (position, channels_in, channels) in convolutions(image_channels) {
        features.resize_with(position, || None);
        features.push(Some(make(position, channels_in, channels)?));
    }
    Ok(features)
}

/// Activations after the last ReLU of each block; `x` is normalised.
fn blocks(features: &[Option<Conv3x3>], x: Tensor<4>, pooling: Pooling) -> Vec<Tensor<4>> {
    let mut convolutions = features.iter().flatten();
    let mut outputs: Vec<Tensor<4>> = Vec::with_capacity(BLOCK_DEPTH.len());
    for depth in BLOCK_DEPTH {
        let mut h = match outputs.last() {
            None => x.clone(),
            Some(before) => pooling.forward(before.clone()),
        };
        for convolution in convolutions.by_ref().take(depth) {
            h = relu(convolution.forward(h));
        }
        outputs.push(h);
    }
    outputs
}

/// `(x - mean) / std` with ImageNet's statistics, `x`: `[batch, 3, h, w]` in [0, 1].
pub fn imagenet_normalise(x: Tensor<4>) -> Tensor<4> {
    let device = x.device();
    let column = |values: [f32; 3]| Tensor::<1>::from_floats(values, &device).reshape([1, 3, 1, 1]);
    (x - column(IMAGENET_MEAN)) / column(IMAGENET_STD)
}

impl Vgg16Features {
    /// Smallest side of an image that [`Pooling::Max`] leaves a pixel of.
    pub const SMALLEST_SIDE: usize = 16;

    /// Names and shapes of the parameters, as torchvision's state dict has them.
    pub fn parameters() -> impl Iterator<Item = (String, Vec<usize>)> {
        convolutions(3).flat_map(|(position, channels_in, channels)| {
            [
                (
                    format!("features.{position}.weight"),
                    vec![channels, channels_in, 3, 3],
                ),
                (format!("features.{position}.bias"), vec![channels]),
            ]
        })
    }

    /// The network with the parameters that `values` gives for each name and shape of [`parameters`](Self::parameters),
    /// in row-major order.
    ///
    /// # Errors
    /// Those of `values`.
    pub fn from_values<E>(
        mut values: impl FnMut(&str, &[usize]) -> Result<Vec<f32>, E>,
        device: &Device,
    ) -> Result<Self, E> {
        let features = place(3, |position, channels_in, channels| {
            let shape = [channels, channels_in, 3, 3];
            let weight = values(&format!("features.{position}.weight"), &shape)?;
            let bias = values(&format!("features.{position}.bias"), &shape[..1])?;
            let weight = Tensor::from_data(TensorData::new(weight, shape), device);
            let bias = Tensor::from_data(TensorData::new(bias, [channels]), device);
            Ok(Conv3x3 {
                weight: Param::from_tensor(weight),
                bias: Param::from_tensor(bias),
            })
        })?;
        Ok(Self { features }.no_grad())
    }

    /// Activations after relu1_2, relu2_2, relu3_3, relu4_3 and relu5_3, `[batch, channel, h, w]` with the channels of
    /// [`BLOCK_CHANNELS`]. `image`: `[batch, 3, height, width]` in [0, 1].
    pub fn blocks(&self, image: Tensor<4>, pooling: Pooling) -> Vec<Tensor<4>> {
        blocks(&self.features, imagenet_normalise(image), pooling)
    }
}

/// Configuration of a [`Vgg16`]. The defaults are torchvision's for ImageNet.
#[derive(Config, Debug)]
pub struct Vgg16Config {
    /// Number of classes.
    pub num_classes: usize,
    /// Side of the images it is trained on.
    #[config(default = 224)]
    pub input_side: usize,
    /// Side of the activations behind the average pooling (1 for images of 32 pixels).
    #[config(default = 7)]
    pub pooled_side: usize,
    /// Width of the two hidden layers of the head (512 is usual for images of 32 pixels).
    #[config(default = 4096)]
    pub hidden: usize,
    /// Mean of each channel on [0, 1], taken off first. Its length is the number of channels.
    #[config(default = "IMAGENET_MEAN.to_vec()")]
    pub mean: Vec<f32>,
    /// Standard deviation of each channel on [0, 1].
    #[config(default = "IMAGENET_STD.to_vec()")]
    pub std: Vec<f32>,
}

/// VGG-16 as a classifier. Penultimate features are those behind the second hidden layer's ReLU. Without dropout: what
/// torchvision's network does in evaluation mode.
#[derive(Module, Debug)]
pub struct Vgg16 {
    features: Vec<Option<Conv3x3>>,
    /// At torchvision's positions 0, 3 and 6.
    classifier: Vec<Option<Linear>>,
    pooled_side: usize,
    input_side: usize,
    #[module(skip)]
    preprocessing: Preprocessing,
}

impl Vgg16Config {
    /// Smallest side of an image that the five poolings leave a pixel of.
    pub const SMALLEST_SIDE: usize = 32;

    /// Initialises the network as torchvision does: convolutions by Kaiming's normal distribution over the fan out,
    /// linear layers with a standard deviation of 0.01, biases zero.
    pub fn init(&self, device: &Device) -> Vgg16 {
        let normal = |std| Initializer::Normal { mean: 0.0, std };
        let features = place(self.mean.len(), |_, channels_in, channels| {
            let std = (2.0 / (9 * channels) as f64).sqrt();
            Ok::<_, std::convert::Infallible>(Conv3x3 {
                weight: normal(std).init([channels, channels_in, 3, 3], device),
                bias: Initializer::Zeros.init([channels], device),
            })
        });
        let Ok(features) = features;
        let linear = |inputs, outputs| {
            let mut layer = LinearConfig::new(inputs, outputs)
                .with_initializer(normal(0.01))
                .init(device);
            layer.bias = Some(Initializer::Zeros.init([outputs], device));
            Some(layer)
        };
        let pooled = BLOCK_CHANNELS[4] * self.pooled_side * self.pooled_side;
        Vgg16 {
            features,
            classifier: vec![
                linear(pooled, self.hidden),
                None,
                None,
                linear(self.hidden, self.hidden),
                None,
                None,
                linear(self.hidden, self.num_classes),
            ],
            pooled_side: self.pooled_side,
            input_side: self.input_side,
            preprocessing: Preprocessing::new(&self.mean, &self.std),
        }
    }
}

/// The names of torchvision's files.
pub fn key_map() -> KeyMap {
    KeyMap::published()
}

impl Summary for Vgg16Config {
    fn summary(&self) -> Result<NetworkSummary, Error> {
        let network = self.init(&Device::flex());
        let mut trace = Trace::default();
        let mut convolutions = network.features.iter().flatten();
        let mut side = self.input_side;
        for depth in BLOCK_DEPTH {
            for convolution in convolutions.by_ref().take(depth) {
                let [to, from, _, _] = convolution.weight.lazy_shape().dims();
                trace.convolution(3, from, to, side * side);
            }
            side /= 2;
        }
        for linear in network.classifier.iter().flatten() {
            trace_linear(linear, &mut trace);
        }
        Ok(trace.summary(keys(&network, &key_map())))
    }

    fn steps(&self, device: &Device) -> Result<Vec<Step>, Error> {
        let network = step::drawn(self.init(device));
        Ok(vec![step::classifier(&network, self.mean.len(), device)])
    }
}

impl Vgg16 {
    fn layer(&self, index: usize) -> &Linear {
        self.classifier
            .iter()
            .flatten()
            .nth(index)
            .expect("the head has three layers")
    }

    /// Activations after the last ReLU of each block, `[batch, channel, h, w]`, of a normalised image.
    pub fn blocks(&self, normalised: Tensor<4>) -> Vec<Tensor<4>> {
        blocks(&self.features, normalised, Pooling::Max)
    }
}

impl Classifier for Vgg16 {
    fn last_stage(&self, image: Tensor<4>) -> Tensor<4> {
        self.stage_activations(image)
            .swap_remove(BLOCK_DEPTH.len() - 1)
    }

    fn check_input(&self, shape: [usize; 3]) -> Result<(), Error> {
        let channels = self.preprocessing.channels();
        check_images(
            "features.0",
            channels,
            (Vgg16Config::SMALLEST_SIDE, false),
            shape,
        )
    }

    fn stage_activations(&self, image: Tensor<4>) -> Vec<Tensor<4>> {
        self.blocks(self.preprocessing.normalise(image))
    }

    fn pool(&self, activations: Tensor<4>) -> Tensor<2> {
        let side = self.pooled_side;
        let pooled = adaptive_avg_pool2d(Pooling::Max.forward(activations), [side, side]);
        let hidden = relu(self.layer(0).forward(pooled.flatten(1, 3)));
        relu(self.layer(1).forward(hidden))
    }

    fn head(&self, features: Tensor<2>) -> Tensor<2> {
        self.layer(2).forward(features)
    }

    fn head_parameters(&self) -> (Tensor<2>, Tensor<1>) {
        linear_parameters(self.layer(2))
    }

    fn num_classes(&self) -> usize {
        self.layer(2).weight.dims()[1]
    }

    fn input_side(&self) -> usize {
        self.input_side
    }
}
