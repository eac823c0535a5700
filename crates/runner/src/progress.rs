//! One overall display of a run: stage, set, images a second, time left; plain lines where there is no terminal.

use std::io::IsTerminal;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Time between two plain lines.
const PLAIN_INTERVAL: Duration = Duration::from_secs(15);

/// The display.
pub struct Progress {
    bar: ProgressBar,
    plain: bool,
    spoken: Mutex<Instant>,
    begun: Instant,
    computed: AtomicU64,
}

impl Progress {
    /// A display of `total` image-stages; nothing at all if `silent`.
    pub fn new(total: u64, silent: bool) -> Self {
        let terminal = std::io::stderr().is_terminal() && !silent;
        let target = match terminal {
            true => ProgressDrawTarget::stderr_with_hz(8),
            false => ProgressDrawTarget::hidden(),
        };
        let bar = ProgressBar::with_draw_target(Some(total), target);
        if let Ok(style) = ProgressStyle::with_template("{bar:24} {percent:>3}%  {msg}  {eta} left")
        {
            bar.set_style(style);
        }
        let now = Instant::now();
        Self {
            bar,
            plain: !terminal && !silent,
            spoken: Mutex::new(now),
            begun: now,
            computed: AtomicU64::new(0),
        }
    }

    /// `images` more went through a stage; `computed` tells whether they were not stored already.
    pub fn advance(&self, stage: &str, set: &str, images: u64, computed: bool) {
        self.bar.inc(images);
        if computed {
            self.computed.fetch_add(images, Ordering::Relaxed);
        }
        let rate = self.computed.load(Ordering::Relaxed) as f64
            / self.begun.elapsed().as_secs_f64().max(1e-3);
        self.bar
            .set_message(format!("{stage:<11} {set:<12} {rate:>5.0} image-stages/s"));
        let Ok(mut spoken) = self.spoken.lock() else {
            return;
        };
        if self.plain && spoken.elapsed() >= PLAIN_INTERVAL {
            let (at, total) = (self.bar.position(), self.bar.length().unwrap_or(0));
            let left = (total.saturating_sub(at)) as f64
                / (at as f64 / self.begun.elapsed().as_secs_f64()).max(1e-3);
            eprintln!(
                "{:>3}%  {stage} {set}, {rate:.0} image-stages/s, {left:.0} s left",
                100 * at / total.max(1)
            );
            *spoken = Instant::now();
        }
    }

    /// More work has become known.
    pub fn add_total(&self, images: u64) {
        self.bar.inc_length(images);
    }

    /// Removes the display.
    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }
}
