//! Detectors: `fit` once on stored training observations, then `score` any number of samples.
//!
//! A higher score means more in-distribution. Adding a detector takes one file with an `ENTRY` and one line
//! in [`DETECTORS`]. [`build`] is the only way in: what it returns checks its inputs, so that a method's file
//! holds the method alone.
//!
//! ```
//! use diffguard_ood::detectors::{Detector, FitData, Observations, build};
//! use ndarray::array;
//! let logits = array![[4.0, 0.0, 0.0], [1.0, 1.0, 1.0]];
//! let mut detector = build("msp", toml::Table::new())?;
//! detector.fit(&FitData::default())?;
//! let scores = detector.score(&Observations { logits: logits.view(), ..Observations::default() })?;
//! assert!(scores[0] > scores[1]);
//! # Ok::<(), diffguard_ood::Error>(())
//! ```

mod checked;
mod class_means;
pub(crate) mod grid;
mod head;
mod input;
mod mlp;
mod neighbours;
mod weibull;

pub(crate) mod ash;
pub(crate) mod confidnet;
pub(crate) mod deep_ensemble;
pub(crate) mod dice;
pub(crate) mod ebo;
pub(crate) mod entropy;
pub(crate) mod fdbd;
pub(crate) mod gen_entropy;
pub(crate) mod gradnorm;
pub(crate) mod kl_matching;
pub(crate) mod knn;
pub(crate) mod mc_dropout;
pub(crate) mod mds;
pub(crate) mod mls;
pub(crate) mod msp;
pub(crate) mod nci;
pub(crate) mod nnguide;
pub(crate) mod odin;
pub(crate) mod openmax;
pub(crate) mod react;
pub(crate) mod relation;
pub(crate) mod residual;
pub(crate) mod rmds;
pub(crate) mod scale;
pub(crate) mod she;
pub mod softmax;
pub(crate) mod temp_scaling;
pub(crate) mod vim;
pub(crate) mod vra;

pub use grid::GridAxis;
pub use input::{FitData, Head, Labelled, Need, Observations, Perturbed};
pub use odin::{Odin, odin_scores};
pub use temp_scaling::optimal_temperature;
pub use weibull::Weibull;

use crate::Error;
use crate::parameters;

/// Every detector, in the order in which they are listed. (`gen` is a reserved word, hence its file's name.)
pub const DETECTORS: &[DetectorEntry] = &[
    msp::ENTRY,
    mls::ENTRY,
    ebo::ENTRY,
    temp_scaling::ENTRY,
    entropy::ENTRY,
    gen_entropy::ENTRY,
    kl_matching::ENTRY,
    openmax::ENTRY,
    knn::ENTRY,
    mds::ENTRY,
    rmds::ENTRY,
    vim::ENTRY,
    residual::ENTRY,
    react::ENTRY,
    vra::ENTRY,
    dice::ENTRY,
    ash::ENTRY,
    scale::ENTRY,
    she::ENTRY,
    nnguide::ENTRY,
    relation::ENTRY,
    fdbd::ENTRY,
    nci::ENTRY,
    odin::ENTRY,
    gradnorm::ENTRY,
    deep_ensemble::ENTRY,
    mc_dropout::ENTRY,
    confidnet::ENTRY,
];

/// Separates in-distribution from out-of-distribution samples by a score.
pub trait Detector: Send + Sync {
    /// Learns what the detector needs from in-distribution data; detectors without a state do nothing.
    ///
    /// # Errors
    /// [`Error::Detector`] when the data do not suffice.
    fn fit(&mut self, data: &FitData) -> Result<(), Error> {
        let _ = data;
        Ok(())
    }

    /// One finite score a sample, higher = more in-distribution.
    ///
    /// # Errors
    /// [`Error::Detector`] for observations that do not fit the detector's state.
    fn score(&self, observations: &Observations) -> Result<Vec<f64>, Error>;

    /// The class that the detector assigns to each sample: the largest logit's, unless the detector changes
    /// the logits.
    ///
    /// # Errors
    /// As [`Detector::score`].
    fn predict(&self, observations: &Observations) -> Result<Vec<usize>, Error> {
        Ok(softmax::predictions(observations.logits))
    }
}

/// A registry line.
#[derive(Debug, Clone, Copy)]
pub struct DetectorEntry {
    /// The name used in experiments and tables.
    pub name: &'static str,
    /// What it does, in one line.
    pub summary: &'static str,
    /// Where it was published.
    pub citation: &'static str,
    /// The observations it uses.
    pub needs: &'static [Need],
    /// The published default parameters; a parameter that is absent by default does not appear.
    pub defaults: fn() -> toml::Table,
    /// The published values that a validation split may choose among; see [`crate::tune`].
    pub(crate) grid: &'static [GridAxis],
    construct: fn(toml::Table) -> Result<Box<dyn Detector>, Error>,
}

impl DetectorEntry {
    /// The detector with `parameters` laid over its defaults. What it returns checks its inputs (shapes,
    /// finiteness, labels, presence of what is needed) before the method sees them.
    ///
    /// # Errors
    /// [`Error::Parameter`] for an unknown key or a value out of range.
    pub fn build(&self, parameters: toml::Table) -> Result<Box<dyn Detector>, Error> {
        Ok(Box::new(checked::Checked::new(
            *self,
            (self.construct)(parameters)?,
        )))
    }
}

/// The registry line of `name`.
///
/// # Errors
/// [`Error::UnknownName`] with the nearest name.
pub fn entry(name: &str) -> Result<&'static DetectorEntry, Error> {
    DETECTORS
        .iter()
        .find(|entry| entry.name == name)
        .ok_or_else(|| Error::UnknownName {
            kind: KIND,
            name: name.into(),
            hint: parameters::hint(name, DETECTORS.iter().map(|entry| entry.name)),
        })
}

/// The detector `name` with `parameters` laid over its defaults.
///
/// # Errors
/// [`Error::UnknownName`] with the nearest name; as [`DetectorEntry::build`].
pub fn build(name: &str, parameters: toml::Table) -> Result<Box<dyn Detector>, Error> {
    entry(name)?.build(parameters)
}

const KIND: &str = "detector";

/// A `Box` of a detector without parameters; the table must be empty.
fn without_parameters<D: Detector + Default + 'static>(
    name: &'static str,
    table: toml::Table,
) -> Result<Box<dyn Detector>, Error> {
    #[derive(serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Nothing {}
    parameters::parse::<Nothing>(KIND, name, table)?;
    Ok(Box::new(D::default()))
}

fn check(name: &str, right: bool, problem: &str) -> Result<(), Error> {
    parameters::check(KIND, name, right, problem)
}

/// The error of a detector that scores before it was fitted.
fn fitted<'a, T>(name: &str, state: &'a Option<T>) -> Result<&'a T, Error> {
    state
        .as_ref()
        .ok_or_else(|| Error::detector(name, "it scores before it was fitted", "call `fit` first"))
}
