//! Networks made small: every level stays, with few channels and one block.

use diffguard_models::network::{ClassifierNetwork, DiffusionNetwork};

/// Channels of every level: the group norms have 32 groups.
const CHANNELS: usize = 32;

/// A small network of the same family, classes, images and preprocessing.
pub(super) fn classifier(network: &ClassifierNetwork) -> ClassifierNetwork {
    let mut small = network.clone();
    match &mut small {
        ClassifierNetwork::CifarResnet { blocks, .. } => *blocks = 1,
        ClassifierNetwork::Resnet18Small { width, .. } => *width = (*width).min(16),
        ClassifierNetwork::Resnet50 { blocks, width, .. } => {
            *blocks = [1; 4];
            *width = (*width).min(16);
        }
        ClassifierNetwork::Vgg16 { hidden, .. } => *hidden = (*hidden).min(64),
        ClassifierNetwork::WideResnet { blocks, widen, .. } => {
            *blocks = 1;
            *widen = 1;
        }
    }
    small
}

/// A small network of the same family, classes, images and levels.
pub(super) fn diffusion(network: &DiffusionNetwork) -> DiffusionNetwork {
    let mut small = network.clone();
    match &mut small {
        DiffusionNetwork::QuickUnet {
            channels,
            blocks,
            heads,
            groups,
            ..
        } => {
            *channels = (*channels).min(16);
            *blocks = 1;
            *heads = 1;
            *groups = (*groups).min(8);
        }
        DiffusionNetwork::GuidedUnet(config) => {
            config.model_channels = config.model_channels.min(CHANNELS);
            config.num_res_blocks = 1;
            config.channel_mult.fill(1);
            config.num_heads = 1;
            config.num_head_channels = config.num_head_channels.map(|_| config.model_channels);
        }
        DiffusionNetwork::DdimUnet(config) => {
            config.ch = config.ch.min(CHANNELS);
            config.num_res_blocks = 1;
            config.ch_mult.fill(1);
        }
        DiffusionNetwork::IddpmUnet(config) => {
            config.model_channels = config.model_channels.min(CHANNELS);
            config.num_res_blocks = 1;
            config.channel_mult.fill(1);
            config.num_heads = 1;
        }
        DiffusionNetwork::LatentDiffusion(config) => {
            let unet = &mut config.unet;
            unet.model_channels = unet.model_channels.min(CHANNELS);
            unet.num_res_blocks = 1;
            unet.channel_mult.fill(1);
            unet.num_heads = 1;
            unet.context_dim = unet.context_dim.min(CHANNELS);
            let first_stage = &mut config.first_stage;
            first_stage.n_embed = first_stage.n_embed.min(256);
            first_stage.ddconfig.ch = first_stage.ddconfig.ch.min(CHANNELS);
            first_stage.ddconfig.num_res_blocks = 1;
            first_stage.ddconfig.ch_mult.fill(1);
        }
    }
    small
}
