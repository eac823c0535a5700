//! Data sets for the commands: where they are, and fetching what is missing.

mod needs;
mod progress;
mod size;

use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use diffguard_datasets::benchmark::{self, OpenBenchmark, Shelf};
use diffguard_datasets::fetch::{DataDirs, Fetcher, Found, Plan, Presence, Settings, Silent};
use diffguard_datasets::manifest::Manifest;

pub use progress::FetchProgress;
pub use size::size;

use crate::experiment::Experiment;
use crate::networks::published_checkpoints;
use crate::{Error, Result, Root, perceptual};

/// What to do about data that is not at hand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Missing {
    /// Fetch what is free to download, after naming size and licence.
    #[default]
    Fetch,
    /// Fetch nothing, and refuse with the command that would.
    Refuse,
    /// Fetch nothing, and leave out the sets that are missing.
    LeaveOut,
}

/// The manifest and the folders.
#[derive(Clone, Debug)]
pub struct Data {
    /// What there is.
    pub manifest: Manifest,
    /// Where it is.
    pub dirs: DataDirs,
    assets: PathBuf,
}

impl Data {
    /// Reads the manifest of the repository.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn new(root: &Root, dirs: DataDirs) -> Result<Self> {
        Ok(Self {
            manifest: Manifest::read(&root.path().join("datasets.toml"))?,
            dirs,
            assets: root.assets(),
        })
    }

    /// Where benchmarks are read from.
    pub fn shelf(&self) -> Shelf<'_> {
        Shelf {
            assets: &self.assets,
            manifest: &self.manifest,
            dirs: &self.dirs,
        }
    }

    /// A fetcher into the cache.
    pub fn fetcher(&self) -> Fetcher<'_> {
        Fetcher::new(&self.manifest, &self.dirs, Settings::default())
    }

    /// An error, with the command that fetches them, where any of `names` is not at hand.
    fn refuse(&self, names: &[&str]) -> Result<()> {
        let settings = Settings {
            offline: true,
            ..Settings::default()
        };
        let fetcher = Fetcher::new(&self.manifest, &self.dirs, settings);
        fetcher.ensure(names, &Silent)?;
        Ok(())
    }

    /// Where all of a data set or checkpoint is.
    ///
    /// # Errors
    /// Those of [`DataDirs::find`].
    pub fn find(&self, name: &str) -> Result<Found> {
        Ok(self.dirs.find(&self.manifest, name)?)
    }

    /// Makes sure of data sets and checkpoints; what is not free to download is an error that says what to put where.
    ///
    /// # Errors
    /// Those of [`Fetcher::ensure`]; [`Missing::LeaveOut`] is [`Missing::Refuse`] here.
    pub fn ensure(&self, names: &[&str], missing: Missing, stop: &AtomicBool) -> Result<()> {
        let fetcher = self.fetcher();
        let plan = fetcher.plan(names)?;
        if plan.fetch.is_empty() && plan.by_hand.is_empty() {
            return Ok(());
        }
        if missing != Missing::Fetch {
            return self.refuse(names);
        }
        announce(&plan);
        let progress = FetchProgress::new(stop);
        let result = fetcher.ensure(names, &progress);
        progress.finish();
        result.map(|_| ()).map_err(Into::into)
    }

    /// Makes sure of the weights that an experiment needs and the repository does not have: published checkpoints, and
    /// what DISTS and LPIPS look through.
    ///
    /// # Errors
    /// As [`ensure`](Self::ensure).
    pub fn weights(
        &self,
        experiment: &Experiment,
        root: &Root,
        missing: Missing,
        stop: &AtomicBool,
    ) -> Result<()> {
        let mut names = published_checkpoints(experiment, root, &self.manifest)?;
        names.extend(perceptual::needed(experiment));
        self.ensure(&names, missing, stop)
    }

    /// Opens a benchmark after making sure of its data sets. Sets that are not free to download are left out and told
    /// in [`OpenBenchmark::left_out`] (see [`tell_left_out`]).
    ///
    /// # Errors
    /// With [`Missing::Refuse`] when anything is missing that could be fetched; when the in-distribution images are
    /// missing; when a fetch fails; what reading the sets meets.
    pub fn benchmark(
        &self,
        name: &str,
        missing: Missing,
        stop: &AtomicBool,
    ) -> Result<OpenBenchmark> {
        let fetcher = self.fetcher();
        let plan = fetcher.plan(benchmark::entry(name)?.datasets)?;
        let free: Vec<&str> = plan.fetch.iter().map(|set| set.name.as_str()).collect();
        match missing {
            Missing::Fetch if !free.is_empty() => {
                announce(&plan);
                let progress = FetchProgress::new(stop);
                let result = fetcher.ensure(&free, &progress);
                progress.finish();
                result.map_err(|error| match error {
                    diffguard_datasets::Error::Stopped => Error::from(error),
                    error => Error::Setting(format!(
                        "{error}\n  or: run without what is missing: add --at-hand"
                    )),
                })?;
            }
            Missing::Refuse => self.refuse(&free)?,
            _ => {}
        }
        Ok(benchmark::open(name, &self.shelf())?)
    }
}

/// Says on the error stream which sets of a benchmark are left out, and how to get them.
pub fn tell_left_out(opened: &OpenBenchmark) {
    for set in &opened.left_out {
        eprintln!(
            "LEFT OUT: {} ({}): {}; get it: {}",
            set.name, set.role, set.reason, set.command
        );
    }
}

/// Says what is about to be fetched.
pub fn announce(plan: &Plan) {
    for set in &plan.fetch {
        if set.at_hand != Presence::Missing {
            eprintln!("{}: {}", set.name, set.at_hand);
        }
        let checked = match set.checked {
            true => "",
            false => ", UNVERIFIED: nobody has published its checksum",
        };
        eprintln!(
            "{}: {}, licence {}, from {}{checked}",
            set.name,
            set.bytes.map_or("size unknown".into(), size),
            set.licence,
            set.place
        );
    }
    for (name, mend) in &plan.by_hand {
        eprintln!("{name}: {mend}");
    }
}
