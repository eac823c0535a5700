//! Latent diffusion's first stage (Rombach et al. 2022): inversion, guidance and synthesis run on what it encodes.

use burn::tensor::Tensor;

/// An autoencoder in whose latent space a diffusion model works.
pub trait LatentModel: Send + Sync {
    /// The latent `[batch, latent channel, h, w]` of images `[batch, channel, height, width]` in [-1, 1]; nothing is
    /// quantised or sampled, so that the same image has the same latent.
    fn encode(&self, image: Tensor<4>) -> Tensor<4>;

    /// The images of latents; may leave [-1, 1]. Quantises first, where the model does.
    fn decode(&self, latent: Tensor<4>) -> Tensor<4>;
}
