//! Operations that are linear in their images: a gradient follows from the result's alone.

use std::fmt;
use std::sync::Arc;

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Flex, TensorMetadata};

use super::autodiff::register;
use super::flex::{Primitive, contiguous, values};

/// The gradient of the image of a number, of the result's.
type Transpose = dyn Fn(&[f32], usize) -> Vec<f32> + Send + Sync;

#[derive(Debug)]
struct Linear;

/// Dimensions of the images, and what gives their gradients.
#[derive(Clone)]
struct State<const N: usize> {
    dims: [[usize; 4]; N],
    transpose: Arc<Transpose>,
}

impl<const N: usize> fmt::Debug for State<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State").field("dims", &self.dims).finish()
    }
}

impl<const N: usize> Backward<Flex, N> for Linear {
    type State = State<N>;

    fn backward(self, ops: Ops<Self::State, N>, grads: &mut Gradients, _: &mut Checkpointer) {
        let dy = contiguous(&grads.consume::<Flex>(&ops.node));
        let State { dims, transpose } = ops.state;
        for (number, (node, dims)) in ops.parents.into_iter().zip(dims).enumerate() {
            if let Some(node) = node {
                let gradient = transpose(values(&dy), number);
                register(grads, Some(node.id), gradient, dims);
            }
        }
    }
}

/// `forward` of images `[batch, channel, height, width]`; `transpose` gives the gradient of the image of a number.
pub(super) fn linear<C: CheckpointStrategy, const N: usize>(
    images: [FloatTensor<Autodiff<Flex, C>>; N],
    forward: impl FnOnce([Primitive; N]) -> Primitive,
    transpose: impl Fn(&[f32], usize) -> Vec<f32> + Send + Sync + 'static,
) -> FloatTensor<Autodiff<Flex, C>> {
    let nodes: [_; N] = std::array::from_fn(|i| images[i].node());
    let state = State {
        dims: std::array::from_fn(|i| images[i].shape().dims()),
        transpose: Arc::new(transpose),
    };
    let images = images.map(|image| image.into_primitive());
    match Linear.prepare::<C>(nodes).compute_bound().stateful() {
        OpsKind::Tracked(prep) => prep.finish(state, forward(images)),
        OpsKind::UnTracked(prep) => prep.finish(forward(images)),
    }
}
