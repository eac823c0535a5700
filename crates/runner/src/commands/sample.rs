//! `sample`: how good an experiment's diffusion network is.

use std::path::PathBuf;

use clap::Args;
use diffguard_guidance::SpacingConfig;
use diffguard_report::write_atomic;

use super::{data_folders, stop_signal_saying};
use crate::data::{Data, Missing};
use crate::experiment::Experiment;
use crate::networks::Networks;
use crate::perceptual::LoadedPerceptual;
use crate::sample::{Asked, sample};
use crate::{Error, Result, Root, device, outputs};

/// Arguments of `sample`.
#[derive(Debug, Args)]
pub struct Sample {
    /// An experiment's name (see `list`), or the path of its TOML file: its diffusion network, classifiers, inversions
    experiment: String,
    /// Samples to draw, as many of every class
    #[arg(long, value_name = "N", default_value_t = 1000)]
    samples: usize,
    /// Test images that they are compared with, at most
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    images: usize,
    /// Steps of the samples
    #[arg(long, value_name = "SPACING", default_value = "ddim20")]
    spacing: SpacingConfig,
    /// Classifier-free guidance scale; 1 is conditional without guidance
    #[arg(long, value_name = "W", default_value_t = 1.0)]
    scale: f64,
    /// Seed of the noise
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// Folder for samples.png and samples.json [default: runs/NAME-samples]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Device: cpu, ndarray, cuda:N, vulkan:N or wgpu:N (all but cpu need a cargo feature)
    #[arg(long, value_name = "NAME", default_value = "cpu")]
    device: String,
    /// Folder that data sets and checkpoints are looked for in first [default: those of $DIFFGUARD_DATA]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Folder for fetched data sets [default: $DIFFGUARD_CACHE, else the user's cache]
    #[arg(long, value_name = "DIR")]
    cache: Option<PathBuf>,
    /// Fetch nothing; only the in-distribution images are needed
    #[arg(long)]
    at_hand: bool,
    /// Show no progress
    #[arg(long)]
    no_progress: bool,
}

impl Sample {
    pub(crate) fn run(self) -> Result<()> {
        let root = Root::find()?.with_data(Some(data_folders(self.data, self.cache)?));
        let (name, experiment) = Experiment::read(&self.experiment, &root)?;
        let device = device::parse(&self.device)?;
        let stop = stop_signal_saying("stopping; nothing is written. Ctrl-C again ends at once")?;
        let missing = match self.at_hand {
            true => Missing::LeaveOut,
            false => Missing::Fetch,
        };
        let data = Data::new(&root, root.data())?;
        data.weights(&experiment, &root, missing, stop)?;
        let benchmark = data.benchmark(&experiment.benchmark, missing, stop)?;
        let networks = Networks {
            perceptual: LoadedPerceptual::of(&experiment, &data, &device)?,
            ..Networks::load(&experiment, &root, &device)?
        };
        let asked = Asked {
            samples: self.samples,
            images: self.images,
            spacing: self.spacing,
            scale: self.scale,
            seed: self.seed,
        };
        let show = (stop, self.no_progress);
        let (quality, pictures) =
            sample(&experiment, &networks, &benchmark, &asked, &device, show)?;
        let out = self
            .out
            .unwrap_or_else(|| root.runs().join(format!("{name}-samples")));
        let (picture, record) = (out.join("samples.png"), out.join("samples.json"));
        std::fs::create_dir_all(&out).map_err(|error| Error::io(&out, &error))?;
        pictures.write(&picture)?;
        let text =
            serde_json::to_string_pretty(&quality).map_err(|error| Error::file(&record, error))?;
        write_atomic(&record, format!("{text}\n"))?;
        for (classifier, accuracy) in &quality.accuracy {
            println!(
                "{classifier}: {:.1} % of {} samples are of the class asked for; Fréchet distance {:.2} to {} test images \
                 (as many test images to the others: {:.2})",
                100.0 * accuracy,
                quality.samples,
                quality.frechet_distance[classifier],
                quality.images,
                quality.frechet_distance_of_test_images[classifier],
            );
        }
        for (inversion, psnr) in &quality.reconstruction_psnr {
            println!(
                "inversion `{inversion}` and unconditional synthesis: {psnr:.2} dB over {} images",
                quality.reconstructed
            );
        }
        outputs::print_written(&[picture, record], root.path());
        Ok(())
    }
}
