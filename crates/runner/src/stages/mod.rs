//! The stages, in the order of the data: observe (and perturb, for ODIN), encode (for latent diffusion), invert, synthesise, compare. Each is a function from a work unit and
//! the outputs before it to a stored output.

mod compare;
mod encode;
mod invert;
mod kept;
mod observe;
mod perturb;
mod synthesise;

pub use compare::{Compared, compare};
pub use encode::{Encoded, encode};
pub use invert::{Inversion, invert};
pub use kept::Kept;
pub use observe::{Observed, observe};
pub use perturb::perturb;
pub use synthesise::{Synthesis, synthesise};
