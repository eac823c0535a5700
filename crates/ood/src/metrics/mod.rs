//! Metrics of a score column that separates in-distribution (ID) from out-of-distribution (OOD) samples.
//!
//! A column is ranked once ([`Ranking`]); every metric is a linear pass over its tie groups.
//!
//! ```
//! use diffguard_ood::metrics::{Metric, Ranking};
//! let ranking = Ranking::new("msp", &[0.9, 0.8, 0.4], &[0.5, 0.1])?;
//! assert_eq!(ranking.auroc(), 5.0 / 6.0);
//! assert_eq!(ranking.value(Metric::FprIdPositive(0.95))?, 0.5);
//! # Ok::<(), diffguard_ood::Error>(())
//! ```

mod bootstrap;
mod classification;
mod delong;
mod frechet;
mod normal;
mod pr;
mod ranking;
mod replicates;
mod roc;

pub use bootstrap::{Bootstrap, Interval, Resamples};
pub use classification::{accuracy, ccr_at_fpr};
pub use delong::{DeLong, DeLongComparison, delong, delong_paired};
pub use frechet::frechet_distance;
pub use pr::{Precision, aupr_out_of_one_minus};
pub use ranking::{Metric, Ranking};
pub use roc::{OperatingPoint, Points, Positive, RocCurve};

pub(crate) use ranking::{score_of, sort_key};
