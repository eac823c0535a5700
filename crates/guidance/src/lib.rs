//! The method of DiffGuard (Gao et al., ICCV 2023): an image is inverted to noise, synthesised again under
//! the label that a classifier gives it, and compared with what came out.
//!
//! The way through the crate is the way of an image:
//!
//! 1. [`schedule`] and [`spacing`]: the noise levels, and the few of them that are visited; [`trajectory`]: the moves
//!    between them, upward and downward, and the [`solver`] that makes them;
//! 2. [`inversion`] (P eq. 6): from the image up to noise, with [`early_stop`]; or [`noising`] in its place, several times;
//! 3. [`synthesis`] (P eq. 3): from there down to an image, under a [`guidance`]: classifier-free (P eq. 5) with
//!    distinct semantic guidance ([`grad_cam`]), or by a classifier (P eq. 4) with Clean Grad and [`cutouts`]; the class
//!    to follow is one of the [`labels`];
//! 4. [`similarity`]: how alike the two are.
//!
//! [`denoising`] asks the network about the label without a synthesis.
//!
//! [`DiffGuard`] is all of it as one object; `examples/` shows it on one image, on a folder, and with a classifier of one's
//! own.
//!
//! "P" is the paper, "the authors" its published code and configurations. Images are `[batch, channel, height, width]`
//! in [-1, 1] unless said otherwise. A sample's result does not depend on the batch it is in.

pub mod augment;
mod centre_crop;
mod cost;
pub mod cutouts;
pub mod ddim;
pub mod denoising;
pub mod early_stop;
mod error;
mod first_step;
pub mod grad_cam;
mod guard;
pub mod guidance;
pub mod inversion;
pub mod labels;
pub mod latent;
pub mod nearest;
pub mod noising;
mod random;
mod rows;
pub mod schedule;
pub mod similarity;
mod simple;
pub mod solver;
pub mod spacing;
pub mod synthesis;
pub mod trajectory;
pub mod verify;

pub use centre_crop::CentreCrop;
pub use cost::{Cost, Spent};
pub use denoising::{Denoised, DenoisingConfig, denoising_score, denoising_scores};
pub use early_stop::{EarlyStopConfig, Look, StopMetric};
pub use error::Error;
pub use first_step::FirstStep;
pub use guard::{DiffGuard, ImageReport, Reference, Report, Settings};
pub use guidance::{Guidance, GuidanceConfig, GuidanceContext};
pub use inversion::{InversionConfig, Inverted, Step, invert, invert_guided, invert_with};
pub use labels::{Known, LabelSource};
pub use noising::noised;
pub use random::forward_noise;
pub use rows::Rows;
pub use schedule::{Schedule, ScheduleConfig};
pub use similarity::{SIMILARITIES, Similarity, SimilarityName, View};
pub use simple::{Simple, SimpleClassifier};
pub use solver::Solver;
pub use spacing::SpacingConfig;
pub use synthesis::{Start, SynthesisConfig, Synthesised, synthesise};
pub use trajectory::{Move, Trajectory};
