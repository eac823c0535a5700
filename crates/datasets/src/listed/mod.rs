//! Image sets that are named by a list and decoded when they are needed: the benchmarks of OpenOOD, from CIFAR-10 that
//! fits into memory to ImageNet that does not.

mod archive;
mod memory;
mod open;
mod set;

pub(crate) use memory::in_colours;
pub use open::open_archive;
pub use set::{ListedSet, Pictures};
