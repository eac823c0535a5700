//! One overall display of a run: stage, setting and set, images a second, time left; plain lines where there is no
//! terminal.

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Time between two plain lines.
const PLAIN_INTERVAL: Duration = Duration::from_secs(15);

/// Steps of the bar.
const STEPS: u64 = 1000;

/// What a stage has to do in a run.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Work {
    /// Images that it has to compute.
    pub images: u64,
    /// Seconds that all of them are expected to take, summed over the workers.
    pub seconds: f64,
}

/// The display.
pub struct Progress {
    bar: ProgressBar,
    plain: bool,
    state: Mutex<State>,
}

/// What is known of the run.
struct State {
    workers: f64,
    stages: BTreeMap<&'static str, Stage>,
    spoken: Instant,
}

#[derive(Default)]
struct Stage {
    planned: Work,
    done: Work,
}

impl Stage {
    /// Seconds an image: as measured in this run, else as planned.
    fn pace(&self) -> f64 {
        let known = match self.done.images {
            0 => self.planned,
            _ => self.done,
        };
        known.seconds / known.images.max(1) as f64
    }

    fn left(&self) -> f64 {
        self.planned.images.saturating_sub(self.done.images) as f64 * self.pace()
    }
}

impl State {
    fn add(&mut self, stage: &'static str, images: u64, seconds: f64) {
        let done = &mut self.stages.entry(stage).or_default().done;
        done.images += images;
        done.seconds += seconds;
    }

    /// Wall-clock seconds that are left.
    fn left(&self) -> f64 {
        self.stages.values().map(Stage::left).sum::<f64>() / self.workers
    }

    /// The share of the work that is done.
    fn share(&self) -> f64 {
        let done: f64 = self.stages.values().map(|stage| stage.done.seconds).sum();
        let left = self.left() * self.workers;
        done / (done + left).max(1e-9)
    }

    /// Images a second that the stage takes where all workers are at it.
    fn rate(&self, stage: &str) -> Option<f64> {
        let done = self.stages.get(stage)?.done;
        (done.images > 0).then(|| self.workers * done.images as f64 / done.seconds.max(1e-9))
    }

    fn message(&self, stage: &str, what: &str) -> String {
        let rate = match self.rate(stage) {
            Some(rate) => format!("{rate:.1} images/s"),
            None => "stored".to_owned(),
        };
        format!("{stage} {what}, {rate}, {} left", duration(self.left()))
    }
}

impl Progress {
    /// A display of what the stages have to compute on so many workers; nothing at all if `silent`.
    pub fn new(planned: BTreeMap<&'static str, Work>, workers: usize, silent: bool) -> Self {
        let terminal = std::io::stderr().is_terminal() && !silent;
        let target = match terminal {
            true => ProgressDrawTarget::stderr_with_hz(8),
            false => ProgressDrawTarget::hidden(),
        };
        let bar = ProgressBar::with_draw_target(Some(STEPS), target);
        if let Ok(style) = ProgressStyle::with_template("{bar:24} {percent:>3}%  {msg}") {
            bar.set_style(style);
        }
        let stage = |planned| Stage {
            planned,
            done: Work::default(),
        };
        Self {
            bar,
            plain: !terminal && !silent,
            state: Mutex::new(State {
                workers: workers.max(1) as f64,
                stages: planned
                    .into_iter()
                    .map(|(name, work)| (name, stage(work)))
                    .collect(),
                spoken: Instant::now(),
            }),
        }
    }

    /// None.
    pub fn silent() -> Self {
        Self::new(BTreeMap::new(), 1, true)
    }

    /// `images` more went through a stage, in so many seconds of one worker; none where they were stored already.
    pub fn advance(&self, stage: &'static str, what: &str, images: u64, seconds: Option<f64>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(seconds) = seconds {
            state.add(stage, images, seconds);
        }
        let speak = self.plain && state.spoken.elapsed() >= PLAIN_INTERVAL;
        if !speak && self.bar.is_hidden() {
            return;
        }
        let (message, share) = (state.message(stage, what), state.share());
        if speak {
            eprintln!("{:>3.0}%  {message}", 100.0 * share);
            state.spoken = Instant::now();
        }
        drop(state);
        self.bar.set_position((share * STEPS as f64) as u64);
        self.bar.set_message(message);
    }

    /// Removes the display.
    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

/// Seconds in words: the largest unit and the next one.
pub fn duration(seconds: f64) -> String {
    let whole = seconds.max(0.0).round() as u64;
    match whole {
        0 if seconds > 0.0 => "under 1 s".to_owned(),
        0..60 => format!("{whole} s"),
        60..3600 => format!("{} min {:02} s", whole / 60, whole % 60),
        3600..172_800 => format!("{} h {:02} min", whole / 3600, whole % 3600 / 60),
        _ => format!("{} d {} h", whole / 86_400, whole % 86_400 / 3600),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn progress() -> Progress {
        let work = |images, seconds| Work { images, seconds };
        Progress::new(
            BTreeMap::from([("invert", work(100, 50.0)), ("compare", work(100, 10.0))]),
            2,
            true,
        )
    }

    fn state<T>(progress: &Progress, read: impl Fn(&State) -> T) -> T {
        read(&progress.state.lock().unwrap())
    }

    #[test]
    fn time_left_follows_the_plan_and_then_what_is_measured() {
        let progress = progress();
        assert_eq!(state(&progress, State::left), 30.0);
        assert_eq!(state(&progress, State::share), 0.0);
        // Twice as slow as planned: half of the inversions took what all were to take.
        progress.advance("invert", "lower on shirt", 50, Some(50.0));
        assert_eq!(state(&progress, State::left), 30.0);
        assert_eq!(state(&progress, |s| s.rate("invert")), Some(2.0));
        progress.advance("invert", "lower on shirt", 50, Some(50.0));
        progress.advance("compare", "free on shirt", 100, Some(10.0));
        assert_eq!(state(&progress, State::left), 0.0);
        assert_eq!(state(&progress, State::share), 1.0);
    }

    #[test]
    fn stored_images_take_no_time_and_unplanned_ones_do_no_harm() {
        let progress = progress();
        progress.advance("invert", "lower on shirt", 50, None);
        progress.advance("perturb", "odin on shirt", 50, Some(1.0));
        assert_eq!(state(&progress, State::left), 30.0);
        let text = state(&progress, |s| s.message("invert", "lower on shirt"));
        assert_eq!(text, "invert lower on shirt, stored, 30 s left");
    }

    #[test]
    fn durations() {
        for (seconds, text) in [
            (0.0, "0 s"),
            (0.2, "under 1 s"),
            (59.4, "59 s"),
            (61.0, "1 min 01 s"),
            (7_260.0, "2 h 01 min"),
            (180_000.0, "2 d 2 h"),
        ] {
            assert_eq!(duration(seconds), text);
        }
    }
}
