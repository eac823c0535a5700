//! The golden cases that this crate runs, through the functions that a benchmark calls.

mod cfg_dsg;
mod cutouts;
mod ddim_inversion;
mod ddim_sampling;
mod diffood_sampling;
mod grad_cam;
mod networks;
mod recording;
mod schedule;
mod similarity;
mod tensors;

use diffguard_oracle::Kind;

/// The kinds of golden case of this crate.
pub const KINDS: &[Kind] = &[
    schedule::KIND,
    cutouts::KIND,
    ddim_inversion::KIND,
    ddim_sampling::KIND,
    cfg_dsg::KIND,
    diffood_sampling::KIND,
    grad_cam::KIND,
    similarity::KIND,
];
