//! A stage under one setting: how much of it there is to do, and at what rate.

use std::ops::Range;

use diffguard_guidance::Cost;
use diffguard_ood::detectors::Odin;

use crate::Result;
use crate::spent::Spent;
use crate::store::{Key, Store};

/// A stage under one setting.
pub(super) struct Setting {
    pub(super) of: Of,
    pub(super) stage: &'static str,
    pub(super) name: String,
    /// Moves of its inversion, or down from its noise, at most; 1 where there is none.
    pub(super) moves: usize,
    pub(super) images: u64,
    /// Or made by an earlier setting.
    pub(super) stored: u64,
    /// Some of the stored outputs, and their images.
    pub(super) samples: Vec<(Key, usize)>,
    pub(super) rate: Option<Rate>,
}

/// What a setting is.
#[derive(Clone, PartialEq)]
pub(super) enum Of {
    /// A classifier by its place.
    Observe(usize),
    /// A classifier by its place, the steps that ODIN may take, and where.
    Perturb(usize, Vec<Odin>, Where),
    /// An inversion by name, whose diffusion network works on latents.
    Encode(String),
    /// What is denoised, where the experiment's diffusion network works on latents and no inversion encodes.
    EncodeDenoised,
    /// The test images of traces, likewise where nothing else encodes.
    EncodeTraced,
    /// An inversion by name.
    Invert(String),
    /// A reconstruction by name, and a guard that is compared with it.
    Reconstruct(String, usize),
    /// A guard by its place.
    Synthesise(usize),
    /// A guard by its place, with all of its references.
    Compare(usize),
    /// A guard by its place, should it be elected.
    Oracle(usize),
    /// A denoising by its place, and the rounds that are stored together.
    Denoise(usize, Range<usize>),
    /// A trace by its place.
    Trace(usize),
}

#[derive(Clone, Copy, PartialEq)]
pub(super) enum Where {
    Validation,
    Test,
    Both,
}

/// What a setting takes, an image.
#[derive(Clone, Copy)]
pub(super) struct Rate {
    /// Of one worker.
    pub(super) seconds: f64,
    pub(super) unet_rows: f64,
    pub(super) bytes: f64,
    /// Seconds and rows that it would have taken besides, had an earlier setting not computed them.
    pub(super) shared: (f64, f64),
    pub(super) from: &'static str,
}

impl Rate {
    /// As the only setting.
    fn alone(self) -> Self {
        let (seconds, unet_rows) = self.shared;
        Self {
            seconds: self.seconds + seconds,
            unet_rows: self.unet_rows + unet_rows,
            shared: (0.0, 0.0),
            ..self
        }
    }
}

/// Of all guards that may be elected, one alone will run again under oracle labels: the one of which the most is
/// stored, else the one that takes longest.
pub(super) fn elected(settings: &mut Vec<Setting>) {
    let oracle = |setting: &Setting| matches!(setting.of, Of::Oracle(_));
    let rate_of = |guard: usize, settings: &[Setting]| {
        let own = settings
            .iter()
            .find(|setting| setting.of == Of::Synthesise(guard));
        own.and_then(|setting| setting.rate)
    };
    for i in 0..settings.len() {
        if let (Of::Oracle(guard), None) = (&settings[i].of, settings[i].rate) {
            // The predicted label and the true one share nothing.
            settings[i].rate = rate_of(*guard, settings).map(Rate::alone);
        }
    }
    let kept = settings
        .iter()
        .enumerate()
        .filter(|(_, setting)| oracle(setting))
        .max_by(|(_, a), (_, b)| {
            let order = a.stored.cmp(&b.stored);
            order.then(a.seconds().total_cmp(&b.seconds()))
        })
        .map(|(i, _)| i);
    let mut place = 0;
    settings.retain(|setting| {
        place += 1;
        !oracle(setting) || Some(place - 1) == kept
    });
}

impl Setting {
    pub(super) fn new(of: Of, stage: &'static str, name: impl Into<String>) -> Self {
        Self {
            of,
            stage,
            name: name.into(),
            moves: 1,
            images: 0,
            stored: 0,
            samples: Vec::new(),
            rate: None,
        }
    }

    pub(super) fn missing(&self) -> u64 {
        self.images - self.stored
    }

    pub(super) fn total(&self, of: impl Fn(&Rate) -> f64) -> f64 {
        self.rate
            .map_or(0.0, |rate| self.missing() as f64 * of(&rate))
    }

    /// Of one worker.
    pub(super) fn seconds(&self) -> f64 {
        self.total(|rate| rate.seconds)
    }

    /// What the samples in a store took.
    pub(super) fn measured(&self, store: &Store, from: &'static str) -> Result<Option<Rate>> {
        let (mut images, mut seconds, mut bytes, mut cost) = (0, 0.0, 0.0, Cost::default());
        let mut shared = Spent::default();
        for (key, of) in &self.samples {
            // One that is not whole is computed again.
            let Some(output) = store.get(self.stage, key)? else {
                continue;
            };
            images += of;
            seconds += output.seconds;
            cost += output.cost;
            shared += output.shared;
            bytes += output.bytes() as f64;
        }
        if images == 0 {
            return Ok(None);
        }
        let images = images as f64;
        Ok(Some(Rate {
            seconds: seconds / images,
            unet_rows: cost.unet_rows as f64 / images,
            bytes: bytes / images,
            shared: (
                shared.seconds / images,
                shared.cost.unet_rows as f64 / images,
            ),
            from,
        }))
    }
}

/// The mean rate of the other settings of a stage, by the moves that they make.
pub(super) fn mean(of: &Setting, settings: &[Setting]) -> Option<Rate> {
    let others: Vec<(Rate, f64)> = settings
        .iter()
        .filter(|other| other.stage == of.stage)
        .filter_map(|other| Some((other.rate?, of.moves as f64 / other.moves as f64)))
        .collect();
    let mean = |value: &dyn Fn(&Rate, f64) -> f64| {
        let values = others.iter().map(|(rate, longer)| value(rate, *longer));
        values.sum::<f64>() / others.len() as f64
    };
    (!others.is_empty()).then(|| Rate {
        seconds: mean(&|rate, longer| rate.seconds * longer),
        unet_rows: mean(&|rate, longer| rate.unet_rows * longer),
        bytes: mean(&|rate, _| rate.bytes),
        shared: (
            mean(&|rate, _| rate.shared.0),
            mean(&|rate, _| rate.shared.1),
        ),
        from: "the others",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_without_a_rate_takes_the_others_by_their_moves() {
        let of = |moves, rate| Setting {
            moves,
            rate,
            ..Setting::new(Of::Synthesise(0), "synthesise", "one")
        };
        let rate = |unet_rows| Rate {
            seconds: 0.5 * unet_rows,
            unet_rows,
            bytes: 7.0,
            shared: (0.0, 0.0),
            from: "probe",
        };
        let known = [of(4, Some(rate(8.0))), of(10, Some(rate(20.0)))];
        let mean = mean(&of(20, None), &known).unwrap();
        assert_eq!(
            (mean.unet_rows, mean.seconds, mean.bytes),
            (40.0, 20.0, 7.0)
        );
    }
}
