//! Reading typed TOML: an unknown key is an error that names the nearest valid one.

use std::path::Path;

use diffguard_ood::suggest;
use serde::de::DeserializeOwned;

use crate::{Error, Result};

/// Parses a TOML file into `T`.
///
/// # Errors
/// Names the file, the line and the key; for a misspelt key or name, the nearest valid one.
pub fn read<T: DeserializeOwned>(path: &Path) -> Result<T> {
    let text = std::fs::read_to_string(path).map_err(|error| Error::io(path, &error))?;
    toml::from_str(&text).map_err(|error| fault(path, &error))
}

/// As [`read`], after `expand` has replaced what the file says by what it stands for. A file that is as it was is parsed
/// as such, so that errors name its lines.
///
/// # Errors
/// As [`read`], and what `expand` refuses.
pub fn read_expanded<T: DeserializeOwned>(
    path: &Path,
    expand: impl Fn(&mut toml::Table) -> std::result::Result<(), String>,
) -> Result<T> {
    let table: toml::Table = read(path)?;
    let mut expanded = table.clone();
    expand(&mut expanded).map_err(|error| Error::file(path, error))?;
    match expanded == table {
        true => read(path),
        false => expanded.try_into().map_err(|error| fault(path, &error)),
    }
}

fn fault(path: &Path, error: &toml::de::Error) -> Error {
    let message = error.to_string();
    let hint = hint(&message)
        .map(|near| format!("\ndid you mean `{near}`?"))
        .unwrap_or_default();
    Error::file(path, format!("{}{hint}", message.trim_end()))
}

/// The nearest of the names that serde lists: "unknown field `scal`, expected one of `scale`, `cut`".
fn hint(message: &str) -> Option<String> {
    let (_, rest) = message.split_once("unknown ")?;
    let mut quoted = rest.split('`').skip(1).step_by(2);
    let wrong = quoted.next()?;
    suggest(wrong, quoted).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_key_is_named() {
        let message = "unknown field `similarty`, expected one of `name`, `similarity`, `label`";
        assert_eq!(hint(message).as_deref(), Some("similarity"));
        assert_eq!(hint("invalid type: string"), None);
    }
}
