//! The display of a fetch: a bar a file with rate and time left; plain lines where there is no terminal.

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use diffguard_datasets::fetch::Progress;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::size;

/// Time between two plain lines of a file.
const PLAIN_INTERVAL: Duration = Duration::from_secs(5);

/// The display; it also passes the user's wish to stop on.
#[derive(Debug)]
pub struct FetchProgress<'a> {
    stop: &'a AtomicBool,
    bars: MultiProgress,
    plain: bool,
    files: Mutex<BTreeMap<String, FileProgress>>,
}

#[derive(Debug)]
struct FileProgress {
    bar: ProgressBar,
    begun: Instant,
    first: u64,
    total: Option<u64>,
    spoken: Instant,
}

impl<'a> FetchProgress<'a> {
    /// A display on the error stream.
    pub fn new(stop: &'a AtomicBool) -> Self {
        Self {
            stop,
            bars: MultiProgress::new(),
            plain: !std::io::stderr().is_terminal(),
            files: Mutex::default(),
        }
    }

    /// Removes what is left of the display.
    pub fn finish(&self) {
        for file in self.lock().values() {
            file.bar.finish_and_clear();
        }
        let _ = self.bars.clear();
    }

    fn say(&self, line: &str) {
        match self.plain {
            true => eprintln!("{line}"),
            false => {
                let _ = self.bars.println(line);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, FileProgress>> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Progress for FetchProgress<'_> {
    fn began(&self, file: &str, have: u64, total: Option<u64>) {
        let now = Instant::now();
        let bar = match self.plain {
            true => ProgressBar::hidden(),
            false => self.bars.add(match total {
                Some(total) => ProgressBar::new(total),
                None => ProgressBar::new_spinner(),
            }),
        };
        let template = match total {
            Some(_) => {
                "{prefix}  {bar:24} {bytes}/{total_bytes}  {binary_bytes_per_sec}  {eta} left"
            }
            None => "{prefix}  {spinner} {bytes}  {binary_bytes_per_sec}",
        };
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        bar.set_prefix(file.to_owned());
        bar.set_position(have);
        bar.reset_eta();
        let fresh = FileProgress {
            bar,
            begun: now,
            first: have,
            total,
            spoken: now,
        };
        if let Some(old) = self.lock().insert(file.to_owned(), fresh) {
            old.bar.finish_and_clear();
        }
        if self.plain {
            let of = total.map_or(String::new(), |total| format!(" of {}", size(total)));
            match have {
                0 => self.say(&format!("{file}: begins{of}")),
                have => self.say(&format!("{file}: goes on from {}{of}", size(have))),
            }
        }
    }

    fn reached(&self, file: &str, have: u64) {
        let mut files = self.lock();
        let Some(progress) = files.get_mut(file) else {
            return;
        };
        progress.bar.set_position(have);
        if !self.plain || progress.spoken.elapsed() < PLAIN_INTERVAL {
            return;
        }
        progress.spoken = Instant::now();
        let rate = (have - progress.first.min(have)) as f64
            / progress.begun.elapsed().as_secs_f64().max(1e-3);
        let line = match progress.total {
            Some(total) => format!(
                "{file}: {:>3} % of {}, {}/s, {:.0} s left",
                100 * have / total.max(1),
                size(total),
                size(rate as u64),
                total.saturating_sub(have) as f64 / rate.max(1.0)
            ),
            None => format!("{file}: {}, {}/s", size(have), size(rate as u64)),
        };
        drop(files);
        self.say(&line);
    }

    fn note(&self, file: &str, text: &str) {
        self.say(&format!("{file}: {text}"));
    }

    fn ended(&self, file: &str) {
        if let Some(progress) = self.lock().remove(file) {
            progress.bar.finish_and_clear();
        }
    }

    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}
