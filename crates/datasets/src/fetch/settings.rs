//! How to fetch.

use std::path::PathBuf;
use std::time::Duration;

use super::drive;

/// How long to wait for what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// For a connection.
    pub connect: Duration,
    /// For the next byte.
    pub stall: Duration,
    /// Before the second attempt; twice as long before each further one.
    pub pause: Duration,
    /// Attempts after the first one that may get nowhere.
    pub retries: u32,
}

impl Default for Patience {
    /// 15 s, 30 s, 1 s, 4 more attempts.
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(15),
            stall: Duration::from_secs(30),
            pause: Duration::from_secs(1),
            retries: 4,
        }
    }
}

/// How to fetch.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How long to wait for what.
    pub patience: Patience,
    /// Transfers at the same time.
    pub parallel: usize,
    /// Refuse to fetch anything.
    pub offline: bool,
    /// The npm program.
    pub npm: PathBuf,
    /// Where Google Drive gives files out, without a slash at the end.
    pub drive: String,
}

impl Default for Settings {
    /// Four transfers, online, `npm` from the search path.
    fn default() -> Self {
        Self {
            patience: Patience::default(),
            parallel: 4,
            offline: false,
            npm: "npm".into(),
            drive: drive::HOST.into(),
        }
    }
}
