//! Getting what `datasets.toml` lists: from the folders that the user has, else from the official places, into a cache.
//!
//! A file is fetched beside its place as `NAME.part`, goes on where it stopped, is compared with its published
//! checksum, and only then gets its name. What is whole is never fetched again. Nothing here looks at the environment
//! or keeps global state: folders, patience and progress are arguments.

mod drive;
mod http;
mod item;
mod npm;
mod plan;
mod presence;
mod progress;
mod settings;
mod turns;
mod verified;

use std::fs::{self, File, OpenOptions, TryLockError};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ureq::Agent;

pub use item::{Item, Offer, Way};
pub use plan::{Plan, Planned};
pub use presence::{DataDirs, Found, Presence};
pub use progress::{Progress, Silent};
pub use settings::{Patience, Settings};
pub use verified::Condition;

use crate::manifest::{Checksum, Manifest, Place};
use crate::{Error, Result};
use http::{Failure, Transfer};
use presence::part_file;
use turns::Turns;
use verified::Verified;

/// Brings items of a manifest into a cache.
#[derive(Debug)]
pub struct Fetcher<'a> {
    manifest: &'a Manifest,
    dirs: &'a DataDirs,
    settings: Settings,
    agent: Agent,
    verified: Verified,
    turns: Turns,
}

/// The command that fetches `names`.
pub fn command(names: &[&str]) -> String {
    format!("cargo xtask fetch {}", names.join(" "))
}

impl<'a> Fetcher<'a> {
    /// A fetcher into `dirs.cache`.
    pub fn new(manifest: &'a Manifest, dirs: &'a DataDirs, settings: Settings) -> Self {
        let Patience { connect, stall, .. } = settings.patience;
        let config = Agent::config_builder()
            .timeout_connect(Some(connect))
            .timeout_resolve(Some(connect))
            .timeout_per_read(Some(stall))
            .timeout_per_write(Some(stall))
            .timeout_recv_response(Some(stall))
            .http_status_as_error(false)
            .user_agent(concat!("diffguard/", env!("CARGO_PKG_VERSION")))
            .build();
        Self {
            manifest,
            dirs,
            verified: Verified::open(&dirs.cache),
            turns: Turns::new(settings.parallel.max(1)),
            settings,
            agent: Agent::new_with_config(config),
        }
    }

    /// What of `name` is at hand.
    ///
    /// # Errors
    ///
    /// [`Error::Unknown`], [`Error::Io`].
    pub fn presence(&self, name: &str) -> Result<Presence> {
        self.dirs.look(&self.manifest.item(name)?, &self.verified)
    }

    /// Makes sure of `names`: what is at hand stays, the rest is fetched, several at the same time. Gives where each
    /// is, in the order of `names`.
    ///
    /// # Errors
    ///
    /// The first of: [`Error::Unknown`]; [`Error::Offline`] with the command that fetches what is missing;
    /// [`Error::ByHand`] for what is not free to download; [`Error::Fetch`] with what every place said;
    /// [`Error::Stopped`]; [`Error::Full`]; [`Error::Io`]. What came before is kept.
    pub fn ensure(&self, names: &[&str], progress: &dyn Progress) -> Result<Vec<Found>> {
        if self.settings.offline {
            return self.refuse(names);
        }
        self.ensure_each(names, progress)?.into_iter().collect()
    }

    /// As [`ensure`](Self::ensure), but goes on with the others where one of `names` cannot be had; never refuses for
    /// being offline.
    ///
    /// # Errors
    ///
    /// [`Error::Unknown`]; the other errors of [`ensure`](Self::ensure) are those of each name.
    pub fn ensure_each(
        &self,
        names: &[&str],
        progress: &dyn Progress,
    ) -> Result<Vec<Result<Found>>> {
        let items = names
            .iter()
            .map(|name| self.manifest.item(name))
            .collect::<Result<Vec<_>>>()?;
        let done = AtomicBool::new(false);
        Ok(std::thread::scope(|scope| {
            // A transfer that waits for its next byte hears of the stop at once.
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    if progress.stopped() {
                        self.agent.clone().shutdown();
                        return;
                    }
                    std::thread::sleep(Duration::from_millis(50));
                }
            });
            let threads: Vec<_> = items
                .iter()
                .map(|item| scope.spawn(|| self.item(item, progress)))
                .collect();
            let results = threads.into_iter().map(|thread| match thread.join() {
                Ok(result) => result,
                Err(panic) => std::panic::resume_unwind(panic),
            });
            let results = results.collect();
            done.store(true, Ordering::Relaxed);
            results
        }))
    }

    /// The places of `names`, all of which have to be at hand.
    fn refuse(&self, names: &[&str]) -> Result<Vec<Found>> {
        let (mut found, mut missing, mut told) = (Vec::new(), Vec::new(), Vec::new());
        for &name in names {
            match self.presence(name)? {
                Presence::Present(place) => found.push(place),
                presence => {
                    missing.push(name);
                    told.push(match presence {
                        Presence::Missing => name.into(),
                        // Damaged, begun, incomplete.
                        other => format!("{name} ({other})"),
                    });
                }
            }
        }
        match missing.is_empty() {
            true => Ok(found),
            false => Err(Error::Offline {
                missing: told.join(", "),
                command: command(&missing),
            }),
        }
    }

    /// Makes sure of one item.
    fn item(&self, item: &Item<'_>, progress: &dyn Progress) -> Result<Found> {
        let presence = self.dirs.look(item, &self.verified)?;
        if let Presence::Present(found) = presence {
            return Ok(found);
        }
        if item.is_by_hand() || item.free().is_none() {
            return Err(Error::ByHand {
                name: item.name.into(),
                mend: presence.before(item.by_hand()),
            });
        }
        let folder = self.dirs.cache_of(item.name);
        fs::create_dir_all(&folder).map_err(Error::io(&folder, "make the folder"))?;
        let _lock = self.lock(&folder, item.name, progress)?;
        let mut problems = Vec::new();
        for way in item.ways.iter().filter(|way| way.is_free()) {
            // Another process may have fetched it while this one waited for the lock.
            if let Presence::Present(found) = self.dirs.look(item, &self.verified)? {
                return Ok(found);
            }
            match self.way(item, way, &folder, progress) {
                Ok(()) => {}
                Err(Stop::Way(mut told)) => problems.append(&mut told),
                Err(Stop::All(error)) => return Err(error),
            }
        }
        match self.dirs.look(item, &self.verified)? {
            Presence::Present(found) => Ok(found),
            _ => Err(Error::Fetch {
                name: item.name.into(),
                problems: problems.join("\n  "),
                mend: self.mend(item, &folder),
            }),
        }
    }

    /// Brings every part of one way.
    fn way(
        &self,
        item: &Item<'_>,
        way: &Way<'_>,
        folder: &Path,
        progress: &dyn Progress,
    ) -> std::result::Result<(), Stop> {
        let results: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = way
                .parts
                .iter()
                .map(|offers| scope.spawn(|| self.part(item, offers, folder, progress)))
                .collect();
            let results = threads.into_iter().map(|thread| match thread.join() {
                Ok(result) => result,
                Err(panic) => std::panic::resume_unwind(panic),
            });
            results.collect()
        });
        let mut told = Vec::new();
        for result in results {
            match result {
                Ok(()) => {}
                Err(Stop::Way(mut problems)) => told.append(&mut problems),
                Err(all) => return Err(all),
            }
        }
        match told.is_empty() {
            true => Ok(()),
            false => Err(Stop::Way(told)),
        }
    }

    /// Brings one file from the first of its places that gives it whole.
    fn part(
        &self,
        item: &Item<'_>,
        offers: &[Offer<'_>],
        folder: &Path,
        progress: &dyn Progress,
    ) -> std::result::Result<(), Stop> {
        if self
            .dirs
            .part(item, offers, &self.verified, &mut None)
            .map_err(Stop::All)?
            .is_some()
        {
            return Ok(());
        }
        let _turn = self.turns.take();
        let mut told = Vec::new();
        for offer in offers.iter().filter(|offer| offer.place.is_free()) {
            let label = format!("{}/{}", item.name, offer.file);
            let result = self.offer(offer, &label, folder, progress);
            progress.ended(&label);
            match result {
                Ok(()) => return Ok(()),
                Err(Failure::Stopped) => return Err(Stop::All(Error::Stopped)),
                Err(Failure::Here(error)) => return Err(Stop::All(error)),
                Err(Failure::Page(_)) => {
                    told.push(format!("{}: it sends a web page and no file", offer.place));
                }
                Err(Failure::Place(problem)) => told.push(format!("{}: {problem}", offer.place)),
            }
            if let Some(problem) = told.last() {
                progress.note(&label, &format!("not from there: {problem}"));
            }
        }
        Err(Stop::Way(told))
    }

    /// Brings one file from one place, compares it and puts it where it belongs.
    fn offer(
        &self,
        offer: &Offer<'_>,
        label: &str,
        folder: &Path,
        progress: &dyn Progress,
    ) -> std::result::Result<(), Failure> {
        let file = folder.join(offer.file);
        let part = part_file(&file);
        let transfer = Transfer {
            agent: &self.agent,
            patience: &self.settings.patience,
            progress,
            label,
            part: &part,
            bytes: offer.bytes,
            checked: *offer.checksum != Checksum::Unverified,
        };
        let mut again = true;
        // All bytes had come, and nobody had looked at them.
        let mut is_whole = transfer.checked
            && offer.bytes.is_some()
            && fs::metadata(&part).ok().map(|it| it.len()) == offer.bytes;
        loop {
            match offer.place {
                _ if std::mem::take(&mut is_whole) => {}
                Place::Url(url) => transfer.bring(url)?,
                Place::GoogleDrive(id) => drive::bring(&transfer, &self.settings.drive, id)?,
                Place::Npm(package) => {
                    npm::bring(&self.settings.npm, package, &part, label, progress)?;
                }
                other => return Err(Failure::Place(format!("{other} cannot be fetched"))),
            }
            let condition = self
                .verified
                .condition(&part, offer.checksum, offer.bytes, offer.place)
                .map_err(Failure::Here)?;
            let Condition::Damaged(problem) = condition else {
                break;
            };
            http::discard(&part).map_err(Failure::Here)?;
            if !again {
                return Err(Failure::Place(problem));
            }
            // Pieces of two versions, or a bit that flipped on the way: once more from the beginning.
            progress.note(label, &format!("{problem}; once more from the beginning"));
            again = false;
        }
        if !transfer.checked {
            progress.note(
                label,
                "UNVERIFIED: nobody has published a checksum for this file",
            );
        }
        fs::rename(&part, &file)
            .map_err(|error| Failure::Here(Error::io(&file, "move the file into place")(error)))?;
        http::discard(&part).map_err(Failure::Here)?;
        // Recorded under its own name, so that nobody hashes it again.
        self.verified
            .condition(&file, offer.checksum, offer.bytes, offer.place)
            .map(|_| ())
            .map_err(Failure::Here)
    }

    /// What a user can still do about an item that no place gives.
    fn mend(&self, item: &Item<'_>, folder: &Path) -> String {
        let files: Vec<&str> = item
            .ways
            .iter()
            .filter(|way| way.parts.len() == 1)
            .flat_map(|way| way.parts.iter().flatten())
            .filter(|offer| offer.place.is_free())
            .map(|offer| offer.file)
            .collect();
        let by_hand = match (files.as_slice(), item.by_hand().as_str()) {
            ([], "") => String::new(),
            ([], text) => format!("; or {text}"),
            (files, text) => format!(
                "; or put {} into {}{}",
                files.join(" or "),
                folder.display(),
                if text.is_empty() {
                    String::new()
                } else {
                    format!("; or {text}")
                }
            ),
        };
        format!(
            "try again later, it goes on where it stopped: {}{by_hand}",
            command(&[item.name])
        )
    }

    /// Waits until no other process fetches the item.
    fn lock(&self, folder: &Path, name: &str, progress: &dyn Progress) -> Result<File> {
        let path = folder.join(".lock");
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(Error::io(&path, "make the file"))?;
        let mut told = false;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(file),
                Err(TryLockError::Error(error)) => {
                    return Err(Error::io(&path, "lock the file")(error));
                }
                Err(TryLockError::WouldBlock) if progress.stopped() => return Err(Error::Stopped),
                Err(TryLockError::WouldBlock) => {
                    if !told {
                        progress.note(name, "another process fetches it: waiting");
                        told = true;
                    }
                    std::thread::sleep(Duration::from_millis(100));
                }
            }
        }
    }
}

/// What ends the work on a way.
enum Stop {
    /// Its places said this.
    Way(Vec<String>),
    /// There is no point in going on.
    All(Error),
}
