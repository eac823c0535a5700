//! The parameter values among which a benchmark's validation split chooses.
//!
//! A detector's file holds its published grid as data. The values are those of OpenOOD v1.5
//! (`configs/postprocessors/*.yml`, `postprocessor_sweep`), the grids that its tables were chosen from.

use crate::Error;

use super::KIND;

/// One parameter and the values it may take.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct GridAxis {
    parameter: &'static str,
    values: Values,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Values {
    Real(&'static [f64]),
    Whole(&'static [i64]),
    Flag(&'static [bool]),
}

/// Percentiles of the methods that prune activations (ASH, SCALE).
pub(super) const SHAPING_PERCENTILES: &[f64] = &[65.0, 70.0, 75.0, 80.0, 85.0, 90.0, 95.0];

impl GridAxis {
    /// Real values.
    pub(super) const fn real(parameter: &'static str, values: &'static [f64]) -> Self {
        let values = Values::Real(values);
        Self { parameter, values }
    }

    /// Whole numbers.
    pub(super) const fn whole(parameter: &'static str, values: &'static [i64]) -> Self {
        let values = Values::Whole(values);
        Self { parameter, values }
    }

    /// Switches.
    pub(super) const fn flag(parameter: &'static str, values: &'static [bool]) -> Self {
        let values = Values::Flag(values);
        Self { parameter, values }
    }

    fn entry(&self) -> (String, toml::Value) {
        let values: Vec<toml::Value> = match self.values {
            Values::Real(values) => values.iter().map(|&value| value.into()).collect(),
            Values::Whole(values) => values.iter().map(|&value| value.into()).collect(),
            Values::Flag(values) => values.iter().map(|&value| value.into()).collect(),
        };
        (self.parameter.to_owned(), values.into())
    }
}

/// A grid as a table of lists, e.g. `k = [10, 50]`: what an experiment file writes.
pub(crate) fn table(axes: &[GridAxis]) -> toml::Table {
    axes.iter().map(GridAxis::entry).collect()
}

/// Every combination of a grid's values laid over `fixed`, the last axis varying fastest.
///
/// # Errors
/// [`Error::Parameter`] when a value is no list, a list is empty, or a key is also in `fixed`.
pub(crate) fn combinations(
    name: &str,
    grid: &toml::Table,
    fixed: &toml::Table,
) -> Result<Vec<toml::Table>, Error> {
    let fault = |problem: String| Error::Parameter {
        kind: KIND,
        name: name.into(),
        problem,
    };
    let mut tables = vec![fixed.clone()];
    for (key, values) in grid {
        if fixed.contains_key(key) {
            let problem =
                format!("`{key}` is fixed and to be tuned as well; take it out of one of the two");
            return Err(fault(problem));
        }
        let values = values.as_array().filter(|values| !values.is_empty());
        let Some(values) = values else {
            let problem = format!("the grid of `{key}` must be a list of values, e.g. [10, 50]");
            return Err(fault(problem));
        };
        tables = tables
            .into_iter()
            .flat_map(|table| {
                values.iter().map(move |value| {
                    let mut table = table.clone();
                    table.insert(key.clone(), value.clone());
                    table
                })
            })
            .collect();
    }
    Ok(tables)
}
