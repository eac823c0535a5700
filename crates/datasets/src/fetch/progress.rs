//! What a caller is told while files come.

/// Hears of every step of a fetch, from several threads at once; `file` is the data set's name, a slash and the
/// file's name.
pub trait Progress: Sync {
    /// A transfer begins at byte `have` of `total`, where that is known.
    fn began(&self, file: &str, have: u64, total: Option<u64>) {
        let _ = (file, have, total);
    }

    /// The first `have` bytes are on disk.
    fn reached(&self, file: &str, have: u64) {
        let _ = (file, have);
    }

    /// Something that the user should read: a retry, another source, a checksum that nobody has published.
    fn note(&self, file: &str, text: &str) {
        let _ = (file, text);
    }

    /// The file is whole and in its place, or given up.
    fn ended(&self, file: &str) {
        let _ = file;
    }

    /// Whether to stop; what has come is kept.
    fn stopped(&self) -> bool {
        false
    }
}

/// Says nothing and never stops.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Progress for Silent {}
