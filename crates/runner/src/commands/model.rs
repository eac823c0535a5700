//! `model`: what a network is and what it costs.

use std::path::{Path, PathBuf};

use burn::tensor::Device;
use clap::{Args, Subcommand};
use diffguard_datasets::manifest::Manifest;
use diffguard_models::latent_diffusion::LatentDiffusionConfig;
use diffguard_models::network::{ClassifierNetwork, DiffusionNetwork, WeightsRecord};
use diffguard_models::unet_ddim::DdimUnetConfig;
use diffguard_models::unet_guided::GuidedUnetConfig;
use diffguard_models::unet_iddpm::IddpmUnetConfig;
use diffguard_models::unet_latent::LatentUnetConfig;
use diffguard_models::vq_autoencoder::VqAutoencoderConfig;
use diffguard_models::{NetworkSummary, Summary};

use super::data_folders;
use crate::data::Data;
use crate::model::{FoundClassifier, network};
use crate::{Error, Result, Root};

type Summarise = fn() -> Result<NetworkSummary, diffguard_models::Error>;

/// Diffusion networks at their published sizes: name, what it is, how to describe it.
const DIFFUSION: [(&str, &str, Summarise); 6] = [
    (
        "guided-diffusion-256-uncond",
        "guided-diffusion U-Net, ImageNet 256 x 256, unconditional (GDM)",
        || GuidedUnetConfig::imagenet_256_unconditional().summary(),
    ),
    (
        "latent-diffusion-cin256-v2",
        "latent diffusion, ImageNet 256 x 256: U-Net, class embedder and first stage (LDM)",
        || LatentDiffusionConfig::cin256_v2().summary(),
    ),
    (
        "unet-latent-cin256-v2",
        "its U-Net and class embedder alone",
        || LatentUnetConfig::cin256_v2().summary(),
    ),
    (
        "vq-f4",
        "its first stage alone, one encoding and one decoding",
        || VqAutoencoderConfig::vq_f4().summary(),
    ),
    ("unet-ddim-cifar10", "DDIM U-Net, CIFAR-10", || {
        DdimUnetConfig::cifar10().summary()
    }),
    (
        "unet-iddpm-cifar10",
        "improved-DDPM U-Net, CIFAR-10",
        || IddpmUnetConfig::cifar10().summary(),
    ),
];

/// Classifiers of the benchmarks that datasets.toml has no single file of: name, what it is, its description.
const CLASSIFIERS: [(&str, &str, &str); 3] = [
    (
        "resnet18-32",
        "ResNet-18 for 32 pixels, ten classes (OpenOOD)",
        "family = 'resnet18-32'\nnum_classes = 10\ninput_side = 32\nmean = [0.4914, 0.4822, 0.4465]\nstd = [0.2470, 0.2435, 0.2616]",
    ),
    (
        "resnet50",
        "ResNet-50, ImageNet (torchvision)",
        "family = 'resnet50'\nnum_classes = 1000\ninput_side = 224\nmean = [0.485, 0.456, 0.406]\nstd = [0.229, 0.224, 0.225]",
    ),
    (
        "wide-resnet-28-10",
        "WideResNet-28-10, ten classes",
        "family = 'wide-resnet'\nblocks = 4\nwiden = 10\nnum_classes = 10\ninput_side = 32\nmean = [0.4914, 0.4822, 0.4465]\nstd = [0.2470, 0.2435, 0.2616]",
    ),
];

/// Arguments of `model`.
#[derive(Debug, Args)]
pub struct Model {
    #[command(subcommand)]
    question: Question,
}

#[derive(Debug, Subcommand)]
enum Question {
    /// Parameters, work an image, memory and the number of keys
    Info {
        /// A network or checkpoint by name, or the path of a checkpoint, description or weights record
        name: String,
        /// List the published file's keys with their shapes
        #[arg(long)]
        keys: bool,
        /// For a checkpoint file that datasets.toml does not know: the TOML that describes its network
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
    },
}

impl Model {
    pub(crate) fn run(self) -> Result<()> {
        let Question::Info { name, keys, config } = self.question;
        let root = Root::find()?;
        let (what, summary) = describe(&name, config.as_deref(), &root)?;
        println!("{name}: {what}");
        println!(
            "  parameters  {} ({} in f32)",
            grouped(summary.parameters),
            megabytes(summary.parameter_bytes())
        );
        println!("  work        {:.3} GFLOP an image", summary.gflop);
        println!(
            "  memory      {} of activations an image, at least",
            megabytes(summary.activation_bytes)
        );
        println!("  keys        {}", summary.keys.len());
        if keys {
            for key in &summary.keys {
                println!("{} {:?}", key.published, key.shape);
            }
        }
        Ok(())
    }
}

fn describe(name: &str, config: Option<&Path>, root: &Root) -> Result<(String, NetworkSummary)> {
    if let Some((_, what, summarise)) = DIFFUSION.iter().find(|(known, ..)| *known == name) {
        return Ok(((*what).to_owned(), summarise()?));
    }
    if let Some((_, what, description)) = CLASSIFIERS.iter().find(|(known, ..)| *known == name) {
        let network: ClassifierNetwork =
            toml::from_str(description).map_err(|error| Error::Setting(error.to_string()))?;
        return Ok(((*what).to_owned(), network.summary()?));
    }
    let path = Path::new(name);
    if path.exists() {
        let record = WeightsRecord::<DiffusionNetwork>::read(path);
        if let (Some("toml"), Ok(record)) = (path.extension().and_then(|e| e.to_str()), record) {
            let what = match record.network {
                DiffusionNetwork::QuickUnet { .. } => {
                    "diffusion network; work and memory at 28 x 28 pixels"
                }
                _ => "diffusion network",
            };
            return Ok((what.to_owned(), record.network.summary()?));
        }
        let data = Data::new(root, data_folders(None, None)?)?;
        let found = FoundClassifier::find(name, config, &data, root)?;
        // Read whole once, so that what is told of the file is true of it.
        found.load(&Device::flex())?;
        return Ok((
            format!("{}, classifier", found.name),
            found.network.summary()?,
        ));
    }
    let manifest = Manifest::read(&root.path().join("datasets.toml"))?;
    let known = manifest.checkpoints.iter().find(|known| known.name == name);
    if let Some(checkpoint) = known
        && let Some(network) = network(checkpoint, root)?
    {
        return Ok((checkpoint.what.clone(), network.summary()?));
    }
    let described = manifest.checkpoints.iter().filter(|c| c.network.is_some());
    let names: Vec<&str> = DIFFUSION
        .iter()
        .map(|(name, ..)| *name)
        .chain(CLASSIFIERS.iter().map(|(name, ..)| *name))
        .chain(described.map(|checkpoint| checkpoint.name.as_str()))
        .collect();
    Err(Error::Setting(format!(
        "no network is called `{name}` and no file is there; there are: {}",
        names.join(", ")
    )))
}

fn megabytes(bytes: usize) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}

fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
