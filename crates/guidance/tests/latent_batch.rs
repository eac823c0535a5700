//! A latent run from end to end: a sample's image and stop are the same alone, among others, and in another order.

mod common;

use burn::tensor::{Device, Tensor};
use common::{host, networks::SmallClassifier, uniform};
use diffguard_guidance::{
    DiffGuard, EarlyStopConfig, GuidanceConfig, InversionConfig, Reference, Report, ScheduleConfig,
    Settings, SimilarityName, guidance::ClassifierFreeConfig,
};
use diffguard_models::{
    checkpoint::load,
    latent_diffusion::{self, LatentDiffusion, LatentDiffusionConfig},
    unet_latent::LatentUnetConfig,
    verify::procedural::Procedural,
    vq_autoencoder::{AutoencoderConfig, VqAutoencoderConfig},
};

const SIDE: usize = 28;
const BATCH: usize = 7;
/// Some of the samples stop early at this likeness, others do not.
const STOP: f64 = 0.02;

/// A small latent diffusion model of ten classes for grey images of 28 pixels, with weights by formula.
fn network() -> LatentDiffusion {
    let config = LatentDiffusionConfig {
        unet: LatentUnetConfig {
            image_size: SIDE / 4,
            model_channels: 32,
            attention_resolutions: vec![1],
            num_res_blocks: 1,
            channel_mult: vec![1],
            context_dim: 16,
            n_classes: 11,
            ..LatentUnetConfig::cin256_v2()
        },
        first_stage: VqAutoencoderConfig {
            embed_dim: 3,
            n_embed: 16,
            ddconfig: AutoencoderConfig {
                z_channels: 3,
                resolution: SIDE,
                in_channels: 1,
                out_ch: 1,
                ch: 32,
                ch_mult: vec![1, 1, 1],
                num_res_blocks: 1,
                attn_resolutions: Vec::new(),
            },
        },
    };
    let network = config.init(&Device::flex()).unwrap();
    let map = latent_diffusion::key_map();
    let source = Procedural::of(&network, &map).source();
    load(network, &source, &map).unwrap()
}

fn guard(dsg_cut: Option<f64>, early_stop: Option<EarlyStopConfig>) -> DiffGuard {
    let network = network();
    let settings = Settings {
        schedule: ScheduleConfig::ScaledLinear {
            steps: 1000,
            start: 0.0015,
            end: 0.0195,
        },
        inversion: InversionConfig {
            spacing: "uniform5".parse().unwrap(),
            early_stop,
            ..InversionConfig::default()
        },
        guidance: GuidanceConfig::ClassifierFree(ClassifierFreeConfig {
            scale: 2.0,
            dsg_cut,
        }),
        reference: vec![Reference::Input, Reference::Reconstruction],
        similarity: ["l2", "ssim", "logits-l1"]
            .map(|name| name.parse::<SimilarityName>().unwrap())
            .to_vec(),
        ..Settings::default()
    };
    let unet = Box::new(network.diffusion.labelled());
    DiffGuard::new(unet, Box::new(SmallClassifier::random(SIDE)), settings)
        .unwrap()
        .with_first_stage(Box::new(network.first_stage))
        .unwrap()
}

fn rows(batch: &Tensor<4>, positions: &[usize]) -> Tensor<4> {
    let rows = positions.iter().map(|i| batch.clone().narrow(0, *i, 1));
    Tensor::cat(rows.collect(), 0)
}

#[test]
fn a_latent_sample_does_not_depend_on_its_batch() {
    let image = uniform([BATCH, 1, SIDE, SIDE], 5);
    let every: Vec<usize> = (0..BATCH).collect();
    let stop = EarlyStopConfig::new([("ssim".parse().unwrap(), STOP)]);
    for (dsg_cut, early_stop) in [(None, None), (Some(0.2), None), (None, Some(stop))] {
        let stops_early = early_stop.is_some();
        let guard = guard(dsg_cut, early_stop);
        let score = |positions: &[usize]| {
            let samples: Vec<u64> = positions.iter().map(|i| *i as u64).collect();
            guard
                .score_named(&rows(&image, positions), &samples)
                .unwrap()
        };
        let whole = score(&every);
        let differ = whole
            .images
            .iter()
            .any(|one| one.stop != whole.images[0].stop);
        assert_eq!(differ, stops_early, "{:?}", stops(&whole));
        for positions in [&[4, 0, 6, 3, 2, 5, 1][..], &[0], &[3], &[6], &[2, 5]] {
            let some = score(positions);
            let among = |batch: &Tensor<4>| host(&rows(batch, positions));
            common::close(
                "synthesis",
                &host(&some.synthesis),
                &among(&whole.synthesis),
                1e-6,
                1e-6,
            );
            for (one, position) in some.images.iter().zip(positions) {
                let other = &whole.images[*position];
                assert_eq!((one.label, one.stop), (other.label, other.stop));
                for (key, score) in &one.scores {
                    let what = format!("sample {position}, {}", key.1.as_str());
                    common::close(&what, &[*score], &[other.scores[key]], 1e-5, 1e-5);
                }
            }
        }
    }
}

fn stops(report: &Report) -> Vec<usize> {
    report.images.iter().map(|image| image.stop).collect()
}
