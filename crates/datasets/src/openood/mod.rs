//! The benchmarks of OpenOOD: v1, which the DiffGuard paper used, and v1.5, which the field uses now.
//!
//! Each is a table of image lists (see [`crate::lists`]); images come from the official archives where these are at
//! hand, else from OpenOOD's own or from a user's folder, by list name.

mod splits;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::benchmark::{AnySet, LeftOut, OpenBenchmark, OpenOodSet, Outline, Role, Shelf, Source};
use crate::fetch::{Found, Presence, command};
use crate::hash::sha256_hex;
use crate::listed::{ListedSet, Pictures, in_colours, open_archive};
use crate::lists::{Half, Lists};
use crate::transforms::{Picture, Preprocess};
use crate::{Error, ImageSet, ImageShape, Result, fashion_mnist, quick};
use splits::Listed;
pub(crate) use splits::{
    CIFAR10_V1, CIFAR10_V1_5, IMAGENET_V1, IMAGENET_V1_5, IMAGENET_V1_5_256, IMAGENET_V1_256, Spec,
};

/// The lists and archives that a benchmark has been opened from so far.
struct Opening<'a> {
    shelf: &'a Shelf<'a>,
    preprocess: Preprocess,
    lists: Lists,
    halves: BTreeMap<&'static str, Vec<Half>>,
    /// By data set; an error in words where it is not at hand.
    archives: BTreeMap<&'static str, std::result::Result<Arc<dyn Pictures>, String>>,
    sources: Vec<Source>,
}

impl Spec {
    /// Finds its images.
    ///
    /// # Errors
    ///
    /// [`Error::Missing`] where its in-distribution images are not at hand; what reading the sets at hand meets.
    pub(crate) fn open(&self, shelf: &Shelf<'_>) -> Result<OpenBenchmark> {
        let lists = Lists::open()?;
        let mut halves: BTreeMap<&str, Vec<Half>> = BTreeMap::new();
        for listed in self.every() {
            let own = halves.entry(listed.dataset).or_default();
            for half in halves_of(listed.dataset, listed.list) {
                if !own.contains(half) {
                    own.push(*half);
                }
            }
        }
        let mut opening = Opening {
            shelf,
            preprocess: self.preprocess,
            lists,
            halves,
            archives: BTreeMap::new(),
            sources: Vec::new(),
        };
        let mut left_out = Vec::new();
        let id_test = opening.needed(self.lists, &self.id_test)?;
        let id_val = opening.needed(self.validation_lists, &self.id_val)?;
        let (fit, id_val) = match &self.fit {
            Some(fit) => (opening.needed(self.lists, fit)?, id_val),
            None if self.fit_to_validation => id_val.split(id_val.len() / 2, 0),
            None => (AnySet::Memory(self.nothing()?), id_val),
        };
        let mut ood_val = Vec::new();
        for listed in self.ood_val {
            match opening.set(self.validation_lists, listed)? {
                Ok(set) => ood_val.push(set.unlabelled()),
                Err(reason) => left_out.push(self.leave_out(listed, LeftOut::VALIDATION, reason)),
            }
        }
        let mut ood_test = Vec::new();
        for (role, listed) in self.ood_test {
            match opening.set(self.lists, listed)? {
                Ok(set) => ood_test.push(OpenOodSet {
                    role: *role,
                    set: set.unlabelled(),
                }),
                Err(reason) => left_out.push(self.leave_out(listed, role.name(), reason)),
            }
        }
        if self.extras {
            opening.extras(&mut ood_test, &mut left_out)?;
        }
        Ok(OpenBenchmark {
            name: self.name.into(),
            class_names: (self.classes)(),
            fit,
            id_val,
            ood_val,
            id_test,
            ood_test,
            sources: opening.sources,
            left_out,
        })
    }

    /// What it looks like from outside.
    pub(crate) fn outline(&self) -> Outline {
        let extras = ["fashion-mnist", "mnist-10k"].map(|name| (Role::Extra, name));
        let test = self.ood_test.iter().map(|(role, set)| (*role, set.name));
        Outline {
            name: self.name,
            class_names: (self.classes)(),
            shape: self.shape(),
            fit: self.fit.as_ref().map_or(self.id_val.name, |fit| fit.name),
            id_val: self.id_val.name,
            ood_val: self.ood_val.iter().map(|set| set.name).collect(),
            id_test: self.id_test.name,
            ood_test: test
                .chain(extras.into_iter().filter(|_| self.extras))
                .collect(),
        }
    }

    fn shape(&self) -> ImageShape {
        let side = self.preprocess.crop;
        ImageShape {
            channels: 3,
            height: side,
            width: side,
        }
    }

    fn leave_out(&self, listed: &Listed, role: &'static str, reason: String) -> LeftOut {
        LeftOut {
            name: listed.name.into(),
            dataset: listed.dataset.into(),
            role,
            reason,
            command: command(&[listed.dataset]),
        }
    }

    /// No training images.
    fn nothing(&self) -> Result<ImageSet> {
        ImageSet::new("fit", self.shape(), Vec::new(), Vec::new(), Vec::new())
    }
}

/// Which halves of a data set a list names images of.
fn halves_of(dataset: &str, list: &str) -> &'static [Half] {
    match dataset {
        "mnist" => &[Half::Train, Half::Test],
        _ if list.starts_with("train_") => &[Half::Train],
        _ => &[Half::Test],
    }
}

impl Opening<'_> {
    /// A set without which there is no benchmark.
    fn needed(&mut self, lists: &str, listed: &Listed) -> Result<AnySet> {
        // Says where it was looked for, and how to get it.
        self.shelf.find(listed.dataset)?;
        self.set(lists, listed)?.map_err(|reason| Error::Invalid {
            what: listed.dataset.into(),
            problem: reason,
        })
    }

    /// A set whose list is in the folder `lists`, or in words why it is not at hand.
    fn set(&mut self, lists: &str, listed: &Listed) -> Result<std::result::Result<AnySet, String>> {
        let pictures = match self.archives.get(listed.dataset) {
            Some(known) => known.clone(),
            None => {
                let opened = self.open(listed.dataset)?;
                self.archives.insert(listed.dataset, opened.clone());
                opened
            }
        };
        let pictures = match pictures {
            Ok(pictures) => pictures,
            Err(reason) => return Ok(Err(reason)),
        };
        let name = format!("{lists}/{}", listed.list);
        let list = self.lists.get(&name)?;
        self.sources.push(Source {
            name: format!("{name}.txt"),
            licence: "a list of names".into(),
            sha256: sha256_hex(self.lists.text(&name).unwrap_or_default().as_bytes()),
        });
        let set = ListedSet::new(listed.name, &list, pictures, self.preprocess)?;
        Ok(Ok(AnySet::Listed(set)))
    }

    fn open(
        &mut self,
        dataset: &'static str,
    ) -> Result<std::result::Result<Arc<dyn Pictures>, String>> {
        let entry = self.shelf.manifest.dataset(dataset)?;
        let found = match self.found(dataset)? {
            Ok(found) => found,
            Err(reason) => return Ok(Err(reason)),
        };
        let halves = &self.halves[dataset];
        let pictures = open_archive(entry, &found, halves)?;
        self.sources.extend(sources(entry, &found));
        Ok(Ok(pictures))
    }

    /// Where a data set is, or why it is left out.
    fn found(&self, dataset: &str) -> Result<std::result::Result<Found, String>> {
        let item = self.shelf.manifest.item(dataset)?;
        Ok(match self.shelf.dirs.presence(&item)? {
            Presence::Present(found) => Ok(found),
            // Tables say it too, on other machines: the file's name, not its place here.
            Presence::Damaged { path, problem } => {
                let file = path.file_name().unwrap_or_default().display();
                Err(format!("damaged: {file}: {problem}"))
            }
            other => Err(other.to_string()),
        })
    }

    /// Grey sets that are in no published table, and keep none back where they are damaged.
    fn extras(&self, ood: &mut Vec<OpenOodSet>, left_out: &mut Vec<LeftOut>) -> Result<()> {
        let name = "fashion-mnist";
        let loaded = self.found(name)?.and_then(|found| {
            fashion_mnist::load_test(&found.paths)
                .map_err(|_| "damaged: its test images cannot be read".to_owned())
        });
        match loaded {
            Ok(set) => ood.push(self.extra(&set, name)?),
            Err(reason) => left_out.push(LeftOut {
                name: name.into(),
                dataset: name.into(),
                role: Role::Extra.name(),
                reason,
                command: command(&[name]),
            }),
        }
        ood.push(self.extra(&quick::digits(self.shelf.assets)?, "mnist-10k")?);
        Ok(())
    }

    /// All images of a small set as the benchmark shows them.
    fn extra(&self, set: &ImageSet, name: &str) -> Result<OpenOodSet> {
        let mut pixels = Vec::new();
        for index in 0..set.len() {
            let picture: Picture = in_colours(set.shape, set.image(index))?;
            pixels.extend(self.preprocess.apply(&picture)?.into_pixels());
        }
        let side = self.preprocess.crop;
        let shape = ImageShape {
            channels: 3,
            height: side,
            width: side,
        };
        let (labels, ids) = (set.labels.clone(), set.ids.clone());
        let set = ImageSet::new(name, shape, pixels, labels, ids)?.unlabelled();
        Ok(OpenOodSet {
            role: Role::Extra,
            set: AnySet::Memory(set),
        })
    }
}

/// The archives that a data set was read from, with what is known of their bytes.
fn sources(dataset: &crate::manifest::Dataset, found: &Found) -> Vec<Source> {
    let checksum = |file: &str| {
        let mut archives = dataset.archives.iter();
        let archive = archives.find(|archive| file.ends_with(archive.file.as_str()));
        match archive {
            Some(archive) if !found.unpacked => archive.checksum.to_string(),
            _ => "unverified".into(),
        }
    };
    found
        .paths
        .iter()
        .map(|path| {
            let file = path.file_name().unwrap_or_default().to_string_lossy();
            Source {
                name: format!("{}/{file}", dataset.name),
                licence: dataset.licence.clone(),
                sha256: checksum(&path.to_string_lossy()),
            }
        })
        .collect()
}
