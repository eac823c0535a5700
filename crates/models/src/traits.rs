//! The two faces through which the method sees a network.

use burn::tensor::{Int, Tensor};

use crate::Error;

/// A noise-prediction network `eps(x_t, t, y)`.
pub trait NoisePredictor: Send + Sync {
    /// Predicts the noise in `x_t`.
    ///
    /// - `x_t`: `[batch, channel, height, width]`, images in [-1, 1] diffused to step `t`;
    /// - `t`: `[batch]`, the ORIGINAL training step of each sample (may be fractional);
    /// - `label`: `[batch]`, a class of each sample or [`null_label`](Self::null_label); `None` asks for the
    ///   unconditional prediction of the whole batch.
    ///
    /// Returns eps, shaped as `x_t`.
    ///
    /// # Panics
    /// Without a label where [`check_unlabelled`](Self::check_unlabelled) refuses, and on tensors that do not fit the
    /// network or each other.
    fn eps(&self, x_t: Tensor<4>, t: Tensor<1>, label: Option<Tensor<1, Int>>) -> Tensor<4>;

    /// Number of classes it was conditioned on; 0 for an unconditional network.
    fn num_classes(&self) -> usize;

    /// The label that stands for "no label" (classifier-free guidance), where the network was trained with one.
    fn null_label(&self) -> Option<usize>;

    /// Refuses an `x_t` of `[channel, height, width]` that the network does not take. One that says nothing takes all.
    ///
    /// # Errors
    /// [`Error::Images`] names the layer, what it expects and what was found.
    fn check_input(&self, shape: [usize; 3]) -> Result<(), Error> {
        let _ = shape;
        Ok(())
    }

    /// Refuses a network that cannot predict without a label. Whoever asks for unconditional predictions of a network
    /// that a user named asks this first.
    ///
    /// # Errors
    /// [`Error::NeedsLabel`] when it is class-conditional and has no null label.
    fn check_unlabelled(&self) -> Result<(), Error> {
        match (self.num_classes(), self.null_label()) {
            (classes @ 1.., None) => Err(Error::NeedsLabel { classes }),
            _ => Ok(()),
        }
    }
}

/// The first stage of a latent diffusion model: between images and the latent images that the diffusion works on.
pub trait FirstStage: Send + Sync {
    /// Encodes images `[batch, channel, h, w]` in [-1, 1] to latent images, without quantising them:
    /// `[batch, latent_channels, h / factor, w / factor]`.
    fn encode(&self, image: Tensor<4>) -> Tensor<4>;

    /// Decodes latent images, quantising them first; the images may leave [-1, 1] a little.
    fn decode(&self, latent: Tensor<4>) -> Tensor<4>;

    /// Channels of the latent images.
    fn latent_channels(&self) -> usize;

    /// How many times smaller than an image the sides of its latent image are.
    fn factor(&self) -> usize;
}

/// A classifier under protection, split where out-of-distribution detection needs to look inside.
///
/// Preprocessing (from [-1, 1] to what the network was trained on) belongs to the implementation.
pub trait Classifier: Send + Sync {
    /// Activations of the last block of the last stage, after its nonlinearity: `[batch, feature, h, w]`.
    /// `image`: `[batch, channel, height, width]` in [-1, 1].
    fn last_stage(&self, image: Tensor<4>) -> Tensor<4>;

    /// Penultimate features `[batch, feature]` of the activations of [`last_stage`](Self::last_stage).
    fn pool(&self, activations: Tensor<4>) -> Tensor<2>;

    /// Logits `[batch, class]` of penultimate features `[batch, feature]`.
    fn head(&self, features: Tensor<2>) -> Tensor<2>;

    /// Weight `[class, feature]` and bias `[class]` of the last linear layer (ViM, ReAct, DICE… need them).
    fn head_parameters(&self) -> (Tensor<2>, Tensor<1>);

    /// Number of classes.
    fn num_classes(&self) -> usize;

    /// Side in pixels of the square images that it was trained on.
    fn input_side(&self) -> usize;

    /// Refuses images of `[channel, height, width]` that the layers do not take. A network that says nothing takes all.
    ///
    /// # Errors
    /// [`Error::Images`] names the layer, what it expects and what was found.
    fn check_input(&self, shape: [usize; 3]) -> Result<(), Error> {
        let _ = shape;
        Ok(())
    }

    /// Height and width of the part of an image of `size`, around its centre, that it looks at: all of it, unless the
    /// implementation crops.
    fn seen(&self, size: [usize; 2]) -> [usize; 2] {
        size
    }

    /// Activations `[batch, channel, h, w]` after each stage, from the first to [`last_stage`](Self::last_stage), all of
    /// one pass; the last stage alone where an implementation does not say more. `image`: as there.
    fn stage_activations(&self, image: Tensor<4>) -> Vec<Tensor<4>> {
        vec![self.last_stage(image)]
    }

    /// Penultimate features `[batch, feature]` of images in [-1, 1].
    fn features(&self, image: Tensor<4>) -> Tensor<2> {
        self.pool(self.last_stage(image))
    }

    /// Logits `[batch, class]` of images in [-1, 1].
    fn logits(&self, image: Tensor<4>) -> Tensor<2> {
        self.head(self.features(image))
    }
}
