//! The golden cases that this crate runs.

mod similarity;

use diffguard_oracle::Kind;

/// The kinds of golden case of this crate.
pub const KINDS: &[Kind] = &[similarity::KIND];
