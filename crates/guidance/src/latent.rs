//! Latent space: images through the first stage of a latent model and back, and what means nothing in between.

use burn::tensor::Tensor;
use diffguard_models::FirstStage;

use crate::{Cost, Error, GuidanceConfig, InversionConfig, SynthesisConfig};

/// Pixels that go through a first stage at once: four images of 256 x 256. Its widest layers hold 128 channels of them in
/// f32, 134 MB each, so that memory is bounded whatever the batch.
const PIXELS: usize = 4 * 256 * 256;

/// The latent images `[batch, latent_channels, h / factor, w / factor]` of images `[batch, channel, h, w]` in [-1, 1], and
/// what they cost.
pub fn encode(first_stage: &dyn FirstStage, image: Tensor<4>) -> (Tensor<4>, Cost) {
    let [batch, _, height, width] = image.dims();
    let cost = Cost {
        encoder_rows: batch as u64,
        ..Cost::default()
    };
    let encode = |image| first_stage.encode(image);
    (by_few(image, height * width, encode), cost)
}

/// The images `[batch, channel, h, w]` of latent images, quantised first, and what they cost; the images may leave
/// [-1, 1] a little.
pub fn decode(first_stage: &dyn FirstStage, latent: Tensor<4>) -> (Tensor<4>, Cost) {
    let [batch, _, height, width] = latent.dims();
    let cost = Cost {
        decoder_rows: batch as u64,
        ..Cost::default()
    };
    let pixels = height * width * first_stage.factor() * first_stage.factor();
    (
        by_few(latent, pixels, |latent| first_stage.decode(latent)),
        cost,
    )
}

/// Images of `pixels` each through `network`, a few at a time.
fn by_few(images: Tensor<4>, pixels: usize, network: impl Fn(Tensor<4>) -> Tensor<4>) -> Tensor<4> {
    let [batch, ..] = images.dims();
    let few = (PIXELS / pixels.max(1)).max(1);
    if batch <= few {
        return network(images);
    }
    Tensor::cat(images.split(few, 0).into_iter().map(network).collect(), 0)
}

/// Refuses settings that mean nothing for a diffusion network in latent space.
///
/// # Errors
/// For guidance by a classifier, which cannot see latents, and for clamping them to the range of images.
pub fn check(
    guidance: &GuidanceConfig,
    inversion: &InversionConfig,
    synthesis: &SynthesisConfig,
) -> Result<(), Error> {
    let refuse = |setting, value: &str, reason: &str| {
        Err(Error::Setting {
            setting,
            value: value.into(),
            reason: reason.into(),
        })
    };
    if matches!(guidance, GuidanceConfig::Classifier(_)) {
        return refuse(
            "guidance",
            "classifier",
            "the classifier cannot see latents; use \"classifier-free\" with a latent diffusion network",
        );
    }
    if inversion.clip_denoised || synthesis.clip_denoised {
        return refuse(
            "clip_denoised",
            "true",
            "latents are not confined to [-1, 1] as images are; leave it out with a latent diffusion network",
        );
    }
    Ok(())
}
