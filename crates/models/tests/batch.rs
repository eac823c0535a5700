//! What a network makes of a sample is the same to the bit alone, among others, and in another order.

use burn::module::Module;
use burn::tensor::{Device, Int, Tensor, TensorData};
use diffguard_kernels::linear_rows;
use diffguard_models::checkpoint::{KeyMap, load};
use diffguard_models::latent_diffusion::{self, LatentDiffusionConfig};
use diffguard_models::unet_ddim::{self, DdimUnetConfig};
use diffguard_models::unet_iddpm::{self, IddpmUnetConfig};
use diffguard_models::unet_latent::LatentUnetConfig;
use diffguard_models::verify::procedural::Procedural;
use diffguard_models::vq_autoencoder::{AutoencoderConfig, VqAutoencoderConfig};
use diffguard_models::{FirstStage, NoisePredictor};

/// More than one unit of rows.
const BATCH: usize = 19;

fn noise<const D: usize>(shape: [usize; D], seed: usize) -> Tensor<D> {
    let count: usize = shape.iter().product();
    let values: Vec<f32> = (0..count)
        .map(|i| ((i + 1) as f32 * 0.37 + seed as f32).sin() * 1.3)
        .collect();
    Tensor::from_data(TensorData::new(values, shape), &Device::flex())
}

fn bits<const D: usize>(tensor: Tensor<D>) -> Vec<u32> {
    let values = tensor.into_data();
    values.iter::<f32>().map(f32::to_bits).collect()
}

/// `of(positions)` makes a batch of the samples at these positions; the results have `[sample, …]`.
fn independent<const D: usize>(what: &str, of: impl Fn(&[usize]) -> Tensor<D>) {
    let every: Vec<usize> = (0..BATCH).collect();
    let whole = of(&every);
    let row = |batch: &Tensor<D>, i: usize| bits(batch.clone().narrow(0, i, 1));
    let mut shuffled = every;
    shuffled.rotate_left(5);
    shuffled.swap(0, 11);
    for positions in [
        &shuffled[..],
        &[3],
        &[18],
        &[7, 2],
        &[4, 0, 9],
        &shuffled[..7],
    ] {
        let some = of(positions);
        for (i, position) in positions.iter().enumerate() {
            assert!(
                row(&some, i) == row(&whole, *position),
                "{what}: sample {position} in a batch of {}",
                positions.len()
            );
        }
    }
}

fn filled<M: Module>(network: M, map: &KeyMap) -> M {
    let source = Procedural::of(&network, map).source();
    load(network, &source, map).unwrap()
}

/// At samples' own steps and labels, the null label among them.
fn noise_predictor(what: &str, network: &dyn NoisePredictor, [channel, height, width]: [usize; 3]) {
    let x = noise([BATCH, channel, height, width], 1);
    let classes = network.num_classes();
    independent(what, |positions| {
        let device = Device::flex();
        let x = Tensor::cat(
            positions
                .iter()
                .map(|i| x.clone().narrow(0, *i, 1))
                .collect(),
            0,
        );
        let steps: Vec<f32> = positions.iter().map(|i| (i * 53 % 1000) as f32).collect();
        let labels: Vec<i64> = positions
            .iter()
            .map(|i| (i % (classes + 1)) as i64)
            .collect();
        let rows = positions.len();
        let label = Tensor::<1, Int>::from_data(TensorData::new(labels, [rows]), &device);
        network.eps(
            x,
            Tensor::from_floats(steps.as_slice(), &device),
            Some(label),
        )
    });
}

fn latent_diffusion(side: usize, levels: usize) -> LatentDiffusionConfig {
    LatentDiffusionConfig {
        unet: LatentUnetConfig {
            image_size: side,
            model_channels: 32,
            attention_resolutions: vec![1 << (levels - 1)],
            num_res_blocks: 1,
            channel_mult: (1..=levels).collect(),
            context_dim: 16,
            n_classes: 9,
            ..LatentUnetConfig::cin256_v2()
        },
        first_stage: VqAutoencoderConfig {
            embed_dim: 3,
            n_embed: 16,
            ddconfig: AutoencoderConfig {
                z_channels: 3,
                resolution: 4 * side,
                in_channels: 1,
                out_ch: 1,
                ch: 32,
                ch_mult: vec![1, 1, 1],
                num_res_blocks: 1,
                attn_resolutions: Vec::new(),
            },
        },
    }
}

#[test]
fn latent_diffusion_networks() {
    // Transformers over 49 pixels, and over so few that they are multiplied by rows.
    for (side, levels) in [(7, 1), (4, 2)] {
        let config = latent_diffusion(side, levels);
        let network = config.init(&Device::flex()).unwrap();
        let network = filled(network, &latent_diffusion::key_map());
        let image = noise([BATCH, 1, 4 * side, 4 * side], 2);
        let pick = |from: &Tensor<4>, positions: &[usize]| {
            let rows = positions.iter().map(|i| from.clone().narrow(0, *i, 1));
            Tensor::cat(rows.collect(), 0)
        };
        let stage = &network.first_stage;
        independent("encode", |positions| stage.encode(pick(&image, positions)));
        let latent = stage.encode(image.clone());
        independent("nearest codes", |positions| {
            stage.nearest_codes(pick(&latent, positions)).float()
        });
        independent("decode", |positions| stage.decode(pick(&latent, positions)));
        let unet = &network.diffusion;
        noise_predictor("tokens", unet, [3, side, side]);
        noise_predictor("labelled", &unet.clone().labelled(), [3, side, side]);
    }
}

#[test]
fn pixel_networks() {
    let device = Device::flex();
    let mut ddim = DdimUnetConfig::cifar10();
    (ddim.ch, ddim.num_classes) = (32, Some(10));
    let ddim = filled(ddim.init(&device).unwrap(), &unet_ddim::key_map());
    noise_predictor("ddim", &ddim, [3, 8, 8]);
    let mut iddpm = IddpmUnetConfig::cifar10();
    iddpm.model_channels = 32;
    let iddpm = filled(iddpm.init(&device).unwrap(), &unet_iddpm::key_map());
    noise_predictor("iddpm", &iddpm, [3, 8, 8]);
}

#[test]
fn rows_of_a_linear_layer() {
    for (inputs, outputs) in [
        (16, 8),
        (32, 128),
        (128, 32),
        (192, 768),
        (768, 192),
        (768, 40),
    ] {
        let x = noise([BATCH, inputs], 3);
        let (weight, bias) = (noise([outputs, inputs], 4), noise([outputs], 5));
        let layer = |x: Tensor<2>| linear_rows(x, weight.clone(), Some(bias.clone()));
        let what = format!("{inputs} to {outputs}");
        independent(&what, |positions| {
            let rows = positions.iter().map(|i| x.clone().narrow(0, *i, 1));
            layer(Tensor::cat(rows.collect(), 0))
        });
        let plain = x.clone().matmul(weight.clone().transpose()) + bias.clone().unsqueeze();
        let off = (layer(x) - plain).abs().max().into_scalar::<f32>();
        assert!(off < 1e-4, "{what}: {off}");
        assert_eq!(
            layer(Tensor::zeros([0, inputs], &Device::flex())).dims(),
            [0, outputs]
        );
    }
}
