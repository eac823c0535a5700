//! `accuracy`: how often a classifier is right.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use diffguard_datasets::ImageSet;
use diffguard_datasets::benchmark::Shelf;
use diffguard_datasets::cifar::{
    CIFAR10_CLASSES, CIFAR100_CLASSES, Part, load_cifar10, load_cifar100,
};

use super::{data_folders, stop_signal_saying};
use crate::data::{Data, Missing};
use crate::model::FoundClassifier;
use crate::{Error, Result, Root, accuracy, device};

/// A test set.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum TestSet {
    /// The 10,000 test images of CIFAR-10
    Cifar10,
    /// The 10,000 test images of CIFAR-100
    Cifar100,
}

impl TestSet {
    fn load(self, shelf: &Shelf<'_>) -> Result<ImageSet> {
        Ok(match self {
            Self::Cifar10 => load_cifar10(shelf, Part::Test)?,
            Self::Cifar100 => load_cifar100(shelf, Part::Test)?,
        })
    }

    fn num_classes(self) -> usize {
        match self {
            Self::Cifar10 => CIFAR10_CLASSES.len(),
            Self::Cifar100 => CIFAR100_CLASSES.len(),
        }
    }

    /// Its name in datasets.toml.
    fn name(self) -> &'static str {
        match self {
            Self::Cifar10 => "cifar10",
            Self::Cifar100 => "cifar100",
        }
    }
}

/// Arguments of `accuracy`.
#[derive(Debug, Args)]
pub struct Accuracy {
    /// A checkpoint of datasets.toml by name, a checkpoint file, a description of a classifier or a weights record
    #[arg(long, value_name = "NAME-OR-PATH")]
    model: String,
    /// For a checkpoint file that datasets.toml does not know: the TOML that describes its network
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The test set
    #[arg(long)]
    dataset: TestSet,
    /// Images at most, evenly over the classes
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    /// Folder that is looked into first, and never written [default: those of $DIFFGUARD_DATA]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Folder for what is fetched [default: $DIFFGUARD_CACHE, else the user's cache]
    #[arg(long, value_name = "DIR")]
    cache: Option<PathBuf>,
    /// Fetch nothing: refuse where images or checkpoint are missing
    #[arg(long)]
    offline: bool,
    /// Folder whose table gets the result
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Device, as for `bench`
    #[arg(long, default_value = "cpu", value_name = "NAME")]
    device: String,
}

impl Accuracy {
    pub(crate) fn run(self) -> Result<()> {
        let root = Root::find()?;
        let data = Data::new(&root, data_folders(self.data, self.cache)?)?;
        let device = device::parse(&self.device)?;
        let mut needed = vec![self.dataset.name()];
        let path = Path::new(&self.model);
        let is_name = path.extension().is_none_or(|ending| ending != "toml") && !path.is_file();
        if self.config.is_none() && is_name {
            needed.push(&data.manifest.checkpoint(&self.model)?.name);
        }
        let missing = match self.offline {
            true => Missing::Refuse,
            false => Missing::Fetch,
        };
        let stop =
            stop_signal_saying("stopping; what was fetched is kept. Ctrl-C again ends at once")?;
        data.ensure(&needed, missing, stop)?;
        let found = FoundClassifier::find(&self.model, self.config.as_deref(), &data, &root)?;
        let (classes, known) = (found.network.num_classes(), self.dataset.num_classes());
        if classes != known {
            return Err(Error::Setting(format!(
                "{}: its last layer has {classes} classes, {} has {known}",
                found.name,
                self.dataset.name()
            )));
        }
        let mut set = self.dataset.load(&data.shelf())?;
        if let Some(limit) = self.limit {
            set = set.limit(limit, 0);
        }
        if set.is_empty() {
            return Err(Error::Setting("--limit 0 leaves no image".into()));
        }
        let shape = set.shape;
        found
            .network
            .check_images([shape.channels, shape.height, shape.width])?;
        let network = found.load(&device)?;
        eprintln!(
            "{}: {} from {}",
            found.name,
            self.dataset.name(),
            found.path.display()
        );
        let limit = self
            .limit
            .map_or(String::new(), |n| format!(" --limit {n}"));
        let config = self.config.as_ref();
        let config = config.map_or(String::new(), |it| format!(" --config {}", it.display()));
        let command = format!(
            "cargo xtask accuracy --model {}{config} --dataset {}{limit}",
            self.model,
            self.dataset.name()
        );
        let ids = (found.name.as_str(), found.sha256.as_str());
        let measured = accuracy::measure(&*network, &set, &device, ids, command, stop)?;
        if let Some(out) = &self.out {
            accuracy::record(out, &measured)?;
        }
        eprintln!("{:.1} s on {} threads", measured.seconds, measured.threads);
        println!("{:.2} % of {} images", measured.percent, measured.images);
        Ok(())
    }
}
