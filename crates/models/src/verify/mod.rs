//! The golden cases that this crate runs: networks. One file a kind, one line each in [`KINDS`].

use diffguard_oracle::Kind;

/// The kinds of golden case of this crate.
pub const KINDS: &[Kind] = &[];
