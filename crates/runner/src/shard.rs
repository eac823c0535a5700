//! Shards: the work units of an experiment dealt out to several runs, on whatever machines, and brought together.
//!
//! Run `i` of `n` computes every `n`-th unit's stages and stores them; it writes no table. `merge` copies the stored
//! outputs into one store and runs the experiment over it: what is stored is read, and what only the whole run knows
//! (fits, the election, its row with oracle labels, fusions) is computed then.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::atomic::AtomicBool;

use diffguard_models::Compute;
use diffguard_report::write_atomic;
use serde::{Deserialize, Serialize};

use crate::bench::{Options, bench};
use crate::stages::STAGES;
use crate::store::{Key, Store, StorePlace};
use crate::{Error, Result};

/// One of several runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shard {
    /// From 1.
    pub index: usize,
    /// How many there are.
    pub of: usize,
}

impl Shard {
    /// Whether it computes the unit at this place.
    pub fn has(self, place: usize) -> bool {
        place % self.of == self.index - 1
    }
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let parsed = text
            .split_once('/')
            .and_then(|(index, of)| Some((index.parse().ok()?, of.parse().ok()?)));
        match parsed {
            Some((index, of)) if (1..=of).contains(&index) => Ok(Self { index, of }),
            _ => Err(format!("`{text}` is no shard; write i/n with 1 <= i <= n")),
        }
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.index, self.of)
    }
}

/// What a finished shard says of itself; shards that say otherwise don't belong together.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ShardRecord {
    /// Which one it is.
    pub shard: Shard,
    /// The experiment, by name or path.
    pub experiment: String,
    /// `--limit`.
    pub limit: Option<usize>,
    /// `--protect`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protect: Option<String>,
    /// `--against`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub against: Option<String>,
    /// `--compute`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compute: Option<Compute>,
    /// Images of a work unit.
    pub batch: usize,
    /// The seed.
    pub seed: u64,
    /// The device.
    pub device: String,
}

impl ShardRecord {
    const FILE: &str = "shard.json";
    /// The folder of a store that they are noted in.
    const NOTES: &str = "shards";

    /// Writes the record into the shard's folder.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&self, folder: &Path) -> Result<()> {
        let path = folder.join(Self::FILE);
        let text = serde_json::to_string_pretty(self).map_err(|error| Error::file(&path, error))?;
        Ok(write_atomic(&path, text + "\n")?)
    }

    /// Says in a store that several runs may share that this shard is complete.
    ///
    /// # Errors
    /// When that cannot be written.
    pub fn note(&self, store: &Store) -> Result<()> {
        let text = serde_json::to_string_pretty(self)
            .map_err(|error| Error::Setting(format!("{}: {error}", Self::FILE)))?;
        let run = Self {
            shard: Shard {
                index: 1,
                of: self.shard.of,
            },
            ..self.clone()
        };
        let run = Key::new("shard", 1, &run);
        let Shard { index, of } = self.shard;
        let name = format!("{}-{index}-of-{of}.json", run.as_str());
        store.note(Self::NOTES, &name, (text + "\n").into_bytes())
    }

    /// The shards that are complete in a store.
    fn noted(store: &Store) -> Result<Vec<(String, Self)>> {
        let records = store
            .notes(Self::NOTES)?
            .into_iter()
            .map(|(name, bytes)| {
                let place = format!("{}/{}/{name}", store.place(), Self::NOTES);
                let record = serde_json::from_slice(&bytes)
                    .map_err(|error| Error::Setting(format!("{place}: {error}")))?;
                Ok((place, record))
            })
            .collect::<Result<Vec<_>>>()?;
        match records.is_empty() {
            true => Err(Error::Setting(format!(
                "{}: no finished shard; run `bench --shard i/n --out DIR --store {0}` to its end first",
                store.place()
            ))),
            false => Ok(records),
        }
    }

    fn read(folder: &Path) -> Result<Self> {
        let path = folder.join(Self::FILE);
        let text = std::fs::read_to_string(&path).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => Error::file(
                &path,
                "no finished shard; run `bench --shard i/n --out DIR` to its end first",
            ),
            _ => Error::io(&path, &error),
        })?;
        serde_json::from_str(&text).map_err(|error| Error::file(&path, error))
    }

    fn same_run(&self, other: &Self) -> bool {
        let shard = Shard {
            of: self.shard.of,
            ..other.shard
        };
        *self
            == Self {
                shard: self.shard,
                ..other.clone()
            }
            && shard == other.shard
    }
}

/// Brings the shards of a run together and runs its experiment over what they stored, into `options.out`: the shards in
/// `folders`, and where none is given those that finished in `options.store`.
///
/// # Errors
/// When a shard is missing, unfinished or of another run; whatever [`bench`] meets.
pub fn merge(folders: &[PathBuf], options: &Options, stop: &AtomicBool) -> Result<PathBuf> {
    let Some(out) = &options.out else {
        return Err(Error::Setting("merge needs --out".into()));
    };
    let records = match (folders, &options.store) {
        ([], None) => {
            return Err(Error::Setting(
                "merge needs the shards' folders, or the --store that they share".into(),
            ));
        }
        ([], Some(place)) => ShardRecord::noted(&Store::open(place)?)?,
        _ => folders
            .iter()
            .map(|folder| Ok((folder.display().to_string(), ShardRecord::read(folder)?)))
            .collect::<Result<Vec<_>>>()?,
    };
    let (place, first) = &records[0];
    for (other, record) in &records {
        if !first.same_run(record) {
            let differs = "its experiment, limit, classifier under protection, row to compare with, batch, seed, device, type \
                           to compute on or number of shards differs";
            let mend = match folders.is_empty() {
                true => "; name the folders of one run's shards",
                false => "",
            };
            return Err(Error::Setting(format!(
                "{other}: not of the run that {place} is of: {differs}{mend}"
            )));
        }
    }
    let of = first.shard.of;
    let missing: Vec<String> = (1..=of)
        .filter(|index| {
            !records
                .iter()
                .any(|(_, record)| record.shard.index == *index)
        })
        .map(|index| Shard { index, of }.to_string())
        .collect();
    if !missing.is_empty() {
        return Err(Error::Setting(format!(
            "missing: the shards {}; run `bench {} --shard i/{of} --out DIR` for each",
            missing.join(", "),
            first.experiment
        )));
    }
    let store = options.store.clone();
    let store = store.unwrap_or_else(|| StorePlace::Folder(out.join("store")));
    for folder in folders {
        let from = folder.join("store");
        match (from.is_dir(), &options.store) {
            (true, _) => copy_missing(&from, &store)?,
            (false, Some(_)) => {}
            (false, None) => {
                let what = "not there; where the shards were given --store, give merge the same";
                return Err(Error::file(&from, what));
            }
        }
    }
    let options = Options {
        limit: first.limit,
        protect: first.protect.clone(),
        against: first.against.clone(),
        compute: first.compute,
        batch: Some(first.batch),
        seed: Some(first.seed),
        device: Some(first.device.clone()),
        store: Some(store),
        ..options.clone()
    };
    bench(&first.experiment, &options, stop)
}

/// Copies the stored outputs that the target has not; a file appears whole or not at all.
fn copy_missing(from: &Path, to: &StorePlace) -> Result<()> {
    let (from, to) = (Store::new(from.to_owned()), Store::open(to)?);
    for stage in STAGES {
        let there = to.keys(stage)?;
        for name in from
            .keys(stage)?
            .into_iter()
            .filter(|name| !there.contains(name))
        {
            from.copy(stage, &name, &to)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_unit_has_one_shard() {
        for of in 1..6 {
            for place in 0..20 {
                let having = (1..=of).filter(|index| Shard { index: *index, of }.has(place));
                assert_eq!(having.count(), 1);
            }
        }
    }

    #[test]
    fn what_is_no_shard_is_refused() {
        assert_eq!("2/3".parse(), Ok(Shard { index: 2, of: 3 }));
        for wrong in ["0/3", "4/3", "1", "a/b", "1/0", "-1/2"] {
            assert!(wrong.parse::<Shard>().is_err(), "{wrong}");
        }
    }
}
