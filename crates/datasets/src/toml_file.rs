//! Typed TOML files, with errors that name the line.

use std::fs;
use std::path::Path;

use serde::de::DeserializeOwned;

use crate::{Error, Result};

/// Reads `path` as a `T`; `mend` is what to do where it is not one.
pub(crate) fn read<T: DeserializeOwned>(path: &Path, mend: &str) -> Result<T> {
    let text = fs::read_to_string(path).map_err(Error::io(path, "read the file"))?;
    parse(path, &text, mend)
}

/// Reads `text`, which is that of `path`.
pub(crate) fn parse<T: DeserializeOwned>(path: &Path, text: &str, mend: &str) -> Result<T> {
    toml::from_str(text).map_err(|error| {
        let start = error.span().map_or(0, |span| span.start);
        let line = 1 + text
            .bytes()
            .take(start)
            .filter(|&byte| byte == b'\n')
            .count();
        Error::format(path, format!("line {line}"), error.message(), mend)
    })
}
