//! Out-of-distribution detection from stored observations: detectors, their combination, and metrics.
//!
//! Everything here is a pure function of arrays that were stored earlier: no network runs, no file is read.
//! One convention holds throughout: **a higher score means more in-distribution**.
//!
//! * [`metrics`]: AUROC, AUPR, FPR at a TPR, CCR, ROC curves, bootstrap intervals and DeLong's test.
//! * [`detectors`]: the baselines, each one file and one line in [`detectors::DETECTORS`].
//! * [`tune`]: a detector's parameters, chosen on validation data by grid.
//! * [`combine`]: "DiffGuard + X", each rule one file and one line in [`combine::RULES`].
//! * [`verify`]: runs the crate on a golden case and returns what it produced, for comparison.

pub mod combine;
pub mod detectors;
mod error;
mod linalg;
pub mod metrics;
mod parameters;
mod quantile;
mod root;
mod suggest;
pub mod tune;
pub mod verify;

pub use error::Error;
pub use quantile::quantile;
pub use suggest::suggest;
