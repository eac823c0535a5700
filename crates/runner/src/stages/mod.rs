//! The stages, in the order of the data: observe (and perturb, for ODIN), encode (for latent diffusion), invert (or noise, which
//! is not stored), synthesise, compare; denoise, which needs no synthesis; and trace, for figures over the noise level. Each is a
//! function from a work unit and the outputs before it to a stored output.

mod compare;
mod denoise;
mod encode;
mod invert;
mod kept;
mod noise;
mod observe;
mod perturb;
mod synthesise;
mod trace;

use std::collections::BTreeMap;

pub use compare::{Columns, Compared, STAGE as COMPARE, compare, compare_key};
pub use denoise::{STAGE as DENOISE, denoise, denoise_key, denoising_columns, spans};
pub use encode::{Encoded, STAGE as ENCODE, encode, encode_key};
pub use invert::{Inversion, STAGE as INVERT, invert, invert_key};
pub use kept::Kept;
pub use noise::{Noised, noise, noise_key};
pub(crate) use observe::predictions;
pub use observe::{Observed, STAGE as OBSERVE, observe, observe_key};
pub use perturb::{STAGE as PERTURB, perturb, perturb_key};
pub use synthesise::{STAGE as SYNTHESISE, Synthesis, synthesise, synthesise_key};
pub use trace::{STAGE as TRACE, trace, trace_key};

/// All of them, as the store calls them.
pub const STAGES: [&str; 8] = [
    OBSERVE, PERTURB, ENCODE, INVERT, SYNTHESISE, COMPARE, DENOISE, TRACE,
];

/// Which version of each stage this program has; another one makes other outputs.
pub fn versions() -> BTreeMap<String, u32> {
    [
        (OBSERVE, observe::VERSION),
        (PERTURB, perturb::VERSION),
        (ENCODE, encode::VERSION),
        (INVERT, invert::VERSION),
        ("noise", noise::VERSION),
        (SYNTHESISE, synthesise::VERSION),
        (COMPARE, compare::VERSION),
        (DENOISE, denoise::VERSION),
        (TRACE, trace::VERSION),
    ]
    .map(|(stage, version)| (stage.to_owned(), version))
    .into()
}
