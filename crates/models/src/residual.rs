//! What the residual classifiers have in common: a stem, stages of blocks, the mean over space and one linear layer.
//!
//! A family keeps its own fields, because their names are those of its files; it says here what they are, and its face
//! as a [`Classifier`] and its summary follow.

use burn::module::Module;
use burn::nn::{BatchNorm, BatchNormConfig, Linear};
use burn::tensor::{Device, Tensor};

use crate::Error;
use crate::checkpoint::KeyMap;
use crate::error::check_images;
use crate::keys::keys;
use crate::layers::{BareConv, average_pool, linear_parameters, normed, trace_linear};
use crate::preprocessing::Preprocessing;
use crate::summary::{NetworkSummary, Trace};
use crate::traits::Classifier;

/// A residual block.
pub trait Block: Sized {
    /// Channels out of it, over its width.
    const EXPANSION: usize = 1;

    /// Initialises it (Kaiming normal).
    fn new(channels_in: usize, width: usize, stride: usize, device: &Device) -> Self;

    /// `[batch, in, h, w]` -> `[batch, EXPANSION * width, ceil(h / stride), ceil(w / stride)]`.
    fn forward(&self, x: Tensor<4>) -> Tensor<4>;

    /// Its convolutions in the order of the main branch, and the one beside them where sizes change by it.
    fn convolutions(&self) -> (Vec<&BareConv>, Option<&BareConv>);

    /// Counts its work on an image of `side` x `side`, the input kept beside it; the side of what comes out.
    fn trace(&self, side: usize, trace: &mut Trace) -> usize {
        let (convolutions, projection) = self.convolutions();
        let [_, channels, _, _] = convolutions[0].weight.lazy_shape().dims();
        let held = channels * side * side;
        trace.hold(held);
        if let Some(projection) = projection {
            projection.trace(side, trace);
        }
        let out = convolutions
            .iter()
            .fold(side, |side, convolution| convolution.trace(side, trace));
        trace.release(held);
        out
    }
}

/// Blocks of one width, of which the first has the stride.
pub(crate) fn stage<B: Block>(
    blocks: usize,
    channels_in: usize,
    width: usize,
    stride: usize,
    device: &Device,
) -> Vec<B> {
    (0..blocks)
        .map(|i| match i {
            0 => B::new(channels_in, width, stride, device),
            _ => B::new(B::EXPANSION * width, width, 1, device),
        })
        .collect()
}

/// The identity where sizes change: a 1x1 convolution and its norm.
#[derive(Module, Debug)]
pub struct Projection {
    /// The convolution.
    pub conv: BareConv,
    norm: BatchNorm,
}

impl Projection {
    /// `None` where the identity fits.
    pub(crate) fn where_needed(
        channels_in: usize,
        channels: usize,
        stride: usize,
        device: &Device,
    ) -> Option<Self> {
        (stride != 1 || channels_in != channels).then(|| Self {
            conv: BareConv::new(channels_in, channels, 1, stride, device),
            norm: BatchNormConfig::new(channels).init(device),
        })
    }

    /// `x` itself where there is none.
    pub(crate) fn apply(projection: Option<&Self>, x: Tensor<4>) -> Tensor<4> {
        match projection {
            Some(projection) => normed(&projection.conv, &projection.norm, x, None, false),
            None => x,
        }
    }
}

/// What every residual classifier has.
pub struct Parts<'a, B> {
    /// The stem's convolution.
    pub conv1: &'a BareConv,
    /// The stages.
    pub stages: Vec<&'a [B]>,
    /// The last layer.
    pub linear: &'a Linear,
    /// From [-1, 1] to what it was trained on.
    pub preprocessing: &'a Preprocessing,
    /// Side of the images it was trained on.
    pub input_side: usize,
}

/// A residual classifier.
pub trait Residual: Module + Send + Sync {
    /// The blocks of every stage.
    type Block: Block;
    /// How many times smaller the stem's pooling makes an image.
    const STEM_POOLING: usize = 1;

    /// Its parts.
    fn parts(&self) -> Parts<'_, Self::Block>;

    /// What the first stage is given, of a normalised image `[batch, channel, h, w]`.
    fn stem(&self, normalised: Tensor<4>) -> Tensor<4>;

    /// What follows the last stage, before the mean.
    fn finish(&self, activations: Tensor<4>) -> Tensor<4> {
        activations
    }

    /// Activations that are averaged, of a normalised image; `seen` is shown those of the stem and of each stage.
    fn activations(&self, normalised: Tensor<4>, seen: &mut dyn FnMut(&Tensor<4>)) -> Tensor<4> {
        let mut h = self.stem(normalised);
        seen(&h);
        for stage in self.parts().stages {
            for block in stage {
                h = block.forward(h);
            }
            seen(&h);
        }
        self.finish(h)
    }
}

/// What a residual classifier costs, under the names of `map`.
pub(crate) fn summary<R: Residual>(network: &R, map: &KeyMap) -> NetworkSummary {
    let (parts, mut trace) = (network.parts(), Trace::default());
    let mut side = parts.conv1.trace(parts.input_side, &mut trace);
    side = side.div_ceil(R::STEM_POOLING);
    for block in parts.stages.into_iter().flatten() {
        side = block.trace(side, &mut trace);
    }
    trace_linear(parts.linear, &mut trace);
    trace.summary(keys(network, map))
}

impl<R: Residual> Classifier for R {
    fn last_stage(&self, image: Tensor<4>) -> Tensor<4> {
        self.activations(self.parts().preprocessing.normalise(image), &mut |_| ())
    }

    fn check_input(&self, shape: [usize; 3]) -> Result<(), Error> {
        let [_, channels, _, _] = self.parts().conv1.weight.lazy_shape().dims();
        check_images("conv1", channels, (1, false), shape)
    }

    fn stage_activations(&self, image: Tensor<4>) -> Vec<Tensor<4>> {
        let mut seen = Vec::new();
        let last = self.activations(self.parts().preprocessing.normalise(image), &mut |h| {
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
        self.parts().linear.forward(features)
    }

    fn head_parameters(&self) -> (Tensor<2>, Tensor<1>) {
        linear_parameters(self.parts().linear)
    }

    fn num_classes(&self) -> usize {
        self.parts().linear.weight.lazy_shape().dims::<2>()[1]
    }

    fn input_side(&self) -> usize {
        self.parts().input_side
    }
}
