//! What a fetch happens in.

use std::fs;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use diffguard_datasets::Result;
use diffguard_datasets::fetch::{DataDirs, Fetcher, Found, Patience, Presence, Progress, Settings};
use diffguard_datasets::hash::md5_hex;
use diffguard_datasets::manifest::Manifest;

use crate::server::{Server, ranged};

/// A cache, a data folder and a manifest.
pub struct World {
    pub dir: tempfile::TempDir,
    pub manifest: Manifest,
    pub dirs: DataDirs,
}

impl World {
    /// One data set `set` with these archives, each the keys of its table but `layout` and `holds`.
    pub fn new(archives: &[String]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut text = "checkpoint = []\n[[dataset]]\nname = 'set'\nrole = 'r'\nwhat = 'w'\npreprocessing = 'p'\n\
                        licence = 'MIT'\ncitation = 'c'\n"
            .to_owned();
        for archive in archives {
            text += &format!("[[dataset.archive]]\nlayout = 'l'\nholds = 'other'\n{archive}\n");
        }
        let path = dir.path().join("datasets.toml");
        fs::write(&path, text).unwrap();
        Self {
            manifest: Manifest::read(&path).unwrap(),
            dirs: DataDirs {
                data: vec![dir.path().join("data")],
                cache: dir.path().join("cache"),
            },
            dir,
        }
    }

    pub fn settings(&self) -> Settings {
        Settings {
            patience: Patience {
                connect: Duration::from_secs(5),
                stall: Duration::from_millis(300),
                pause: Duration::from_millis(5),
                retries: 2,
            },
            ..Settings::default()
        }
    }

    pub fn ensure(&self, progress: &dyn Progress) -> Result<Vec<Found>> {
        self.ensure_with(self.settings(), progress)
    }

    pub fn ensure_with(&self, settings: Settings, progress: &dyn Progress) -> Result<Vec<Found>> {
        Fetcher::new(&self.manifest, &self.dirs, settings).ensure(&["set"], progress)
    }

    pub fn presence(&self) -> Presence {
        Fetcher::new(&self.manifest, &self.dirs, self.settings())
            .presence("set")
            .unwrap()
    }

    pub fn cached(&self, file: &str) -> PathBuf {
        self.dirs.cache.join("set").join(file)
    }

    /// Leaves the beginning of a fetch behind.
    pub fn begun(&self, file: &str, bytes: &[u8], url: &str, version: &str) {
        fs::create_dir_all(self.dirs.cache.join("set")).unwrap();
        fs::write(self.cached(&format!("{file}.part")), bytes).unwrap();
        let origin = format!("{{\"url\":{url:?},\"version\":{version:?}}}");
        fs::write(self.cached(&format!("{file}.part.json")), origin).unwrap();
    }

    pub fn assert_only(&self, file: &str, body: &[u8]) {
        assert!(fs::read(self.cached(file)).unwrap() == body, "other bytes");
        let left: Vec<_> = fs::read_dir(self.dirs.cache.join("set"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .filter(|name| name != ".lock" && name != file)
            .collect();
        assert!(left.is_empty(), "left behind: {left:?}");
    }
}

/// 300,000 bytes without a pattern that a shift would hide.
pub fn body() -> Vec<u8> {
    let mut state = 1u32;
    (0..300_000)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        })
        .collect()
}

pub fn url(server: &Server, body: &[u8]) -> String {
    format!(
        "url = '{}/file'\nmd5 = '{}'\nbytes = {}",
        server.base,
        md5_hex(body),
        body.len()
    )
}

/// Keeps what was said; stops after so many bytes.
#[derive(Default)]
pub struct Ear {
    pub notes: Mutex<Vec<String>>,
    pub stop_at: Option<u64>,
    pub stop: AtomicBool,
    pub reached: AtomicU64,
}

impl Progress for Ear {
    fn reached(&self, _: &str, have: u64) {
        self.reached.store(have, Ordering::Relaxed);
        if self.stop_at.is_some_and(|at| have >= at) {
            self.stop.store(true, Ordering::Relaxed);
        }
    }

    fn note(&self, file: &str, text: &str) {
        self.notes.lock().unwrap().push(format!("{file}: {text}"));
    }

    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

impl Ear {
    pub fn heard(&self, words: &str) -> bool {
        self.notes
            .lock()
            .unwrap()
            .iter()
            .any(|note| note.contains(words))
    }
}

/// A server that has [`body`] under this version, and the body.
pub fn served(version: &'static str) -> (Server, Vec<u8>) {
    let body = body();
    let served = body.clone();
    let server = Server::new(move |request, _| ranged(request, &served, version));
    (server, body)
}
