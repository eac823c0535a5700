//! `model`: what a network is and what it costs.

use std::path::{Path, PathBuf};

use burn::tensor::Device;
use clap::{Args, Subcommand};
use diffguard_datasets::manifest::Manifest;
use diffguard_models::latent_diffusion::LatentDiffusionConfig;
use diffguard_models::network::{ClassifierNetwork, DiffusionNetwork, WeightsRecord};
use diffguard_models::step::{self, Step};
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

type Configuration = fn() -> Box<dyn Summary>;

/// Diffusion networks at their published sizes: name, what it is, its configuration.
const DIFFUSION: [(&str, &str, Configuration); 6] = [
    (
        "guided-diffusion-256-uncond",
        "guided-diffusion U-Net, ImageNet 256 x 256, unconditional (GDM)",
        || Box::new(GuidedUnetConfig::imagenet_256_unconditional()),
    ),
    (
        "latent-diffusion-cin256-v2",
        "latent diffusion, ImageNet 256 x 256: U-Net, class embedder and first stage (LDM)",
        || Box::new(LatentDiffusionConfig::cin256_v2()),
    ),
    (
        "unet-latent-cin256-v2",
        "its U-Net and class embedder alone",
        || Box::new(LatentUnetConfig::cin256_v2()),
    ),
    (
        "vq-f4",
        "its first stage alone, one encoding and one decoding",
        || Box::new(VqAutoencoderConfig::vq_f4()),
    ),
    ("unet-ddim-cifar10", "DDIM U-Net, CIFAR-10", || {
        Box::new(DdimUnetConfig::cifar10())
    }),
    (
        "unet-iddpm-cifar10",
        "improved-DDPM U-Net, CIFAR-10",
        || Box::new(IddpmUnetConfig::cifar10()),
    ),
];

/// Classifiers of the benchmarks that datasets.toml has no single file of: name, what it is, its description.
const CLASSIFIERS: [(&str, &str, &str); 4] = [
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
        "vgg16",
        "VGG-16, ImageNet (torchvision)",
        "family = 'vgg16'\nnum_classes = 1000\ninput_side = 224\nmean = [0.485, 0.456, 0.406]\nstd = [0.229, 0.224, 0.225]",
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
    /// Parameters, work an image, memory and keys; and what one evaluation takes here
    Info {
        /// A network or checkpoint by name, or the path of a checkpoint, description or weights record
        name: String,
        /// List the published file's keys with their shapes
        #[arg(long)]
        keys: bool,
        /// For a checkpoint file that datasets.toml does not know: the TOML that describes its network
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
        /// Do not run the network (the largest take minutes and 3 GB)
        #[arg(long)]
        no_run: bool,
    },
}

impl Model {
    pub(crate) fn run(self) -> Result<()> {
        let Question::Info {
            name,
            keys,
            config,
            no_run,
        } = self.question;
        let root = Root::find()?;
        let described = describe(&name, config.as_deref(), &root)?;
        let summary = &described.summary;
        println!("{name}: {}", described.what);
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
        if !no_run {
            let (weights, steps) = described.run(&Device::flex())?;
            println!(
                "  run here    {weights} weights, {} threads",
                rayon::current_num_threads()
            );
            for step in &steps {
                println!("  {}", line(step));
            }
        }
        Ok(())
    }
}

/// What is asked about.
struct Described {
    what: String,
    summary: NetworkSummary,
    network: Network,
}

/// Where its evaluation comes from.
enum Network {
    /// Nothing but a configuration.
    Configured(Box<dyn Summary>),
    /// A classifier of a family, without its file.
    Classifier(ClassifierNetwork),
    /// A classifier with its file.
    File(Box<FoundClassifier>),
    /// A diffusion network with its file.
    Record(PathBuf, Box<WeightsRecord<DiffusionNetwork>>),
}

impl Described {
    /// Evaluates it: what its weights are, and what was measured.
    fn run(&self, device: &Device) -> Result<(&'static str, Vec<Step>)> {
        const INITIAL: &str = "random";
        const STORED: &str = "its";
        Ok(match &self.network {
            Network::Configured(configuration) => (INITIAL, configuration.steps(device)?),
            Network::Classifier(network) => (INITIAL, network.steps(device)?),
            Network::File(found) => {
                let network = found.load(device)?;
                let channels = found.network.channels();
                (STORED, vec![step::classifier(&*network, channels, device)])
            }
            Network::Record(path, record) => {
                let weights = record.weights_path(path);
                let network = record
                    .network
                    .load(&weights, Some(&record.sha256), device)?;
                (STORED, vec![record.network.step(&*network, device)])
            }
        })
    }
}

fn line(step: &Step) -> String {
    let shape = |shape: &[usize]| {
        let sides: Vec<String> = shape.iter().map(usize::to_string).collect();
        sides.join("x")
    };
    let peak = match step.peak_bytes {
        Some(bytes) => format!("peak memory {:.1} MB", bytes as f64 / 1e6),
        None => "peak memory unknown on this system".to_owned(),
    };
    let seconds = match step.seconds {
        short if short < 0.1 => format!("{:.2} ms", 1e3 * short),
        long => format!("{long:.2} s"),
    };
    format!(
        "{}, {} -> {}: {seconds} (median of {}), {peak}",
        step.what,
        shape(&step.input),
        shape(&step.output),
        step.evaluations
    )
}

fn describe(name: &str, config: Option<&Path>, root: &Root) -> Result<Described> {
    if let Some((_, what, configuration)) = DIFFUSION.iter().find(|(known, ..)| *known == name) {
        let configuration = configuration();
        return Ok(Described {
            what: (*what).to_owned(),
            summary: configuration.summary()?,
            network: Network::Configured(configuration),
        });
    }
    if let Some((_, what, description)) = CLASSIFIERS.iter().find(|(known, ..)| *known == name) {
        let network: ClassifierNetwork =
            toml::from_str(description).map_err(|error| Error::Setting(error.to_string()))?;
        return Ok(Described {
            what: (*what).to_owned(),
            summary: network.summary()?,
            network: Network::Classifier(network),
        });
    }
    let path = Path::new(name);
    if path.exists() {
        let record = WeightsRecord::<DiffusionNetwork>::read(path);
        if let (Some("toml"), Ok(record)) = (path.extension().and_then(|e| e.to_str()), record) {
            let [_, height, width] = record.network.input_shape();
            return Ok(Described {
                what: format!("diffusion network, {height} x {width} pixels"),
                summary: record.network.summary()?,
                network: Network::Record(path.to_owned(), Box::new(record)),
            });
        }
        let data = Data::new(root, data_folders(None, None)?)?;
        let found = FoundClassifier::find(name, config, &data, root)?;
        // Read whole once, so that what is told of the file is true of it.
        found.load(&Device::flex())?;
        return Ok(Described {
            what: format!("{}, classifier", found.name),
            summary: found.network.summary()?,
            network: Network::File(Box::new(found)),
        });
    }
    let manifest = Manifest::read(&root.path().join("datasets.toml"))?;
    let known = manifest.checkpoints.iter().find(|known| known.name == name);
    if let Some(checkpoint) = known
        && let Some(network) = network(checkpoint, root)?
    {
        return Ok(Described {
            what: checkpoint.what.clone(),
            summary: network.summary()?,
            network: Network::Classifier(network),
        });
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
