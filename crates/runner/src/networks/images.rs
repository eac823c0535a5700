//! The images that a diffusion network takes.

use diffguard_datasets::ImageShape;
use diffguard_models::network::DiffusionNetwork;

/// Refuses images that a network was not made for, in words; `None` where they fit.
pub(crate) fn misfit(network: &DiffusionNetwork, images: ImageShape) -> Option<String> {
    let (channels, side) = match network {
        // It takes images of any size that its patches divide.
        DiffusionNetwork::QuickUnet { image_channels, .. } => (*image_channels, images.height),
        DiffusionNetwork::GuidedUnet(config) => (config.in_channels, config.image_size),
        DiffusionNetwork::DdimUnet(config) => (config.in_channels, config.image_size),
        DiffusionNetwork::IddpmUnet(config) => (config.in_channels, config.image_size),
        DiffusionNetwork::LatentDiffusion(config) => {
            let first_stage = &config.first_stage.ddconfig;
            (first_stage.in_channels, first_stage.resolution)
        }
    };
    let found = [images.channels, images.height, images.width];
    if found == [channels, side, images.width] && images.height == images.width {
        return None;
    }
    let [c, h, w] = found;
    Some(format!(
        "it works on images of {channels} channels and {side} x {side} pixels, the benchmark's have {c} channels and {h} x {w} \
         (imagenet-v1-256px and imagenet-v1.5-256px are ImageNet's benchmarks at 256 x 256)"
    ))
}
