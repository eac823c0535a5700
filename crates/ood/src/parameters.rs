//! From a TOML table to a typed parameter struct, with errors that name the nearest valid key.

use serde::{Serialize, de::DeserializeOwned};

use crate::{Error, suggest};

/// Reads `table` into `P`; unknown keys and ill-typed values become [`Error::Parameter`].
pub(crate) fn parse<P: DeserializeOwned>(
    kind: &'static str,
    name: &str,
    table: toml::Table,
) -> Result<P, Error> {
    table
        .try_into()
        .map_err(|error: toml::de::Error| Error::Parameter {
            kind,
            name: name.into(),
            problem: explain(error.message()),
        })
}

/// An error for a value outside its range, unless `right` holds.
pub(crate) fn check(
    kind: &'static str,
    name: &str,
    right: bool,
    problem: &str,
) -> Result<(), Error> {
    if right {
        Ok(())
    } else {
        Err(Error::Parameter {
            kind,
            name: name.into(),
            problem: problem.into(),
        })
    }
}

/// The default parameters of `P`, as a table to list; a `None` does not appear in it.
pub(crate) fn defaults<P: Default + Serialize>() -> toml::Table {
    toml::Table::try_from(P::default()).unwrap_or_default()
}

/// The hint that follows "unknown detector `x`": the nearest name, or the whole list.
pub(crate) fn hint<'a>(name: &str, valid: impl Iterator<Item = &'a str> + Clone) -> String {
    match suggest(name, valid.clone()) {
        Some(nearest) => format!("; did you mean `{nearest}`?"),
        None => format!(
            "; the valid names are {}",
            valid.collect::<Vec<_>>().join(", ")
        ),
    }
}

/// serde names the unknown field first and the valid ones after it, each in backticks.
fn explain(message: &str) -> String {
    let message = message.trim();
    let mut quoted = message.split('`').skip(1).step_by(2);
    match (message.starts_with("unknown field"), quoted.next()) {
        (true, Some(unknown)) => {
            let valid: Vec<&str> = quoted.collect();
            match valid.is_empty() {
                true => format!("unknown key `{unknown}`; it has no parameters"),
                false => format!(
                    "unknown key `{unknown}`{}",
                    hint(unknown, valid.into_iter())
                ),
            }
        }
        _ => message.replace('\n', " "),
    }
}
