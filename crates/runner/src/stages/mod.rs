//! The stages, in the order of the data: observe, invert, synthesise, compare. Each is a function from a work unit and
//! the outputs before it to a stored output.

mod compare;
mod invert;
mod observe;
mod synthesise;

pub use compare::compare;
pub use invert::{Inversion, invert};
pub use observe::{Observed, observe};
pub use synthesise::{Synthesis, synthesise};
