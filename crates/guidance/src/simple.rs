//! A short way to bring a classifier of one's own.

use burn::tensor::Tensor;
use diffguard_models::Classifier;

/// A convolutional classifier that ends as most do: global average pooling, then one linear layer. [`Simple`] makes a
/// whole [`Classifier`] of it.
pub trait SimpleClassifier: Send + Sync {
    /// Activations of the last convolutional stage, `[batch, feature, h, w]`, of images `[batch, channel, height, width]`
    /// in [-1, 1]; normalisation belongs to it.
    fn activations(&self, image: Tensor<4>) -> Tensor<4>;

    /// Weight `[class, feature]` and bias `[class]` of the linear layer.
    fn linear(&self) -> (Tensor<2>, Tensor<1>);

    /// Side in pixels of the square images that it was trained on.
    fn input_side(&self) -> usize;
}

/// Any [`SimpleClassifier`] as a [`Classifier`].
#[derive(Debug, Clone, Copy)]
pub struct Simple<C>(pub C);

impl<C: SimpleClassifier> Classifier for Simple<C> {
    fn last_stage(&self, image: Tensor<4>) -> Tensor<4> {
        self.0.activations(image)
    }

    fn pool(&self, activations: Tensor<4>) -> Tensor<2> {
        activations.mean_dims(&[2, 3]).flatten(1, 3)
    }

    fn head(&self, features: Tensor<2>) -> Tensor<2> {
        let (weight, bias) = self.0.linear();
        features.matmul(weight.transpose()) + bias.unsqueeze()
    }

    fn head_parameters(&self) -> (Tensor<2>, Tensor<1>) {
        self.0.linear()
    }

    fn num_classes(&self) -> usize {
        self.0.linear().1.dims()[0]
    }

    fn input_side(&self) -> usize {
        self.0.input_side()
    }
}
