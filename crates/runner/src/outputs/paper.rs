//! The paper's table beside ours.

use std::collections::BTreeMap;

use diffguard_report::table::{Column, Line, Part, Sheet};
use diffguard_report::{Metric, MetricRow, Role};
use serde::Deserialize;

use super::{Run, tables::best_column};
use crate::experiment::Paper;
use crate::{Error, Result};

/// The published numbers, as experiments/paper.toml has them.
const PUBLISHED: &str = include_str!("../../../../experiments/paper.toml");

/// A cell: AUROC, or AUROC and FPR@95, in percent.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(untagged)]
enum Cell {
    Both([f64; 2]),
    Auroc(f64),
}

#[derive(Debug, Deserialize)]
struct PaperTable {
    title: String,
    columns: Vec<String>,
    rows: BTreeMap<String, Vec<Cell>>,
}

fn table(name: &str) -> Result<PaperTable> {
    let fault = |what: String| Error::Setting(format!("experiments/paper.toml: {what}"));
    let tables: toml::Table =
        toml::from_str(PUBLISHED).map_err(|error| fault(error.to_string()))?;
    let table = tables
        .get(name)
        .ok_or_else(|| fault(format!("there is no table `{name}`")))?;
    table
        .clone()
        .try_into()
        .map_err(|error: toml::de::Error| fault(format!("`{name}`: {error}")))
}

/// Refuses rows and columns that the published table has not.
///
/// # Errors
/// Names what is wrong and what there is.
pub(crate) fn check(paper: &Paper) -> Result<()> {
    let published = table(&paper.table)?;
    let rows: Vec<&str> = published.rows.keys().map(String::as_str).collect();
    let columns: Vec<&str> = published.columns.iter().map(String::as_str).collect();
    for (asked, there, what) in [
        (&paper.rows, &rows, "row"),
        (&paper.columns, &columns, "column"),
    ] {
        if let Some(wrong) = asked.keys().find(|name| !there.contains(&name.as_str())) {
            return Err(Error::Setting(format!(
                "[paper] {}: no {what} `{wrong}`; there are: {}",
                paper.table,
                there.join(", ")
            )));
        }
    }
    Ok(())
}

/// Published, ours and the difference for every row and column that the experiment pairs.
pub(super) fn markdown(run: &Run, paper: &Paper, rows: &[MetricRow]) -> Result<String> {
    let published = table(&paper.table)?;
    let mut columns = vec![
        Column::words("published row"),
        Column::words("ours"),
        Column::words("published set"),
        Column::words("our set"),
    ];
    for metric in ["AUROC", "FPR95"] {
        columns.extend(
            ["published", "ours", "difference"].map(|title| Column::numbers(metric, title)),
        );
    }
    let mut lines = Vec::new();
    for (theirs, ours) in &paper.rows {
        let Some(cells) = published.rows.get(theirs) else {
            continue;
        };
        let ours = match ours.strip_suffix("/*") {
            Some(guard) => best_column(run, guard).unwrap_or_else(|| ours.clone()),
            None => ours.clone(),
        };
        for (column, cell) in published.columns.iter().zip(cells) {
            let Some(set) = paper.columns.get(column) else {
                continue;
            };
            let (auroc, fpr) = match *cell {
                Cell::Both([auroc, fpr]) => (auroc, Some(fpr)),
                Cell::Auroc(auroc) => (auroc, None),
            };
            let mut row = vec![theirs.clone(), ours.clone(), column.clone(), set.clone()];
            for (metric, value) in [(Metric::Auroc, Some(auroc)), (Metric::Fpr95, fpr)] {
                let own = find(rows, &ours, set, metric).map(|row| 100.0 * row.value);
                let shown = |value: Option<f64>| {
                    value.map_or("–".to_owned(), |value| format!("{value:.1}"))
                };
                let difference = value.zip(own).map(|(value, own)| own - value);
                row.extend([
                    shown(value),
                    shown(own),
                    difference.map_or("–".to_owned(), |d| format!("{d:+.1}")),
                ]);
            }
            lines.push(Line::Row(
                row.into_iter()
                    .map(|text| vec![Part::plain(text)])
                    .collect(),
            ));
        }
    }
    let sheet = Sheet {
        title: String::new(),
        columns,
        lines,
        notes: vec!["in percent; difference: ours − published; –: not published or not run".into()],
    };
    Ok(format!(
        "Paper, {}: {}. {}\n\n{}",
        paper.table,
        published.title,
        paper.differs,
        sheet.to_markdown()
    ))
}

fn find<'a>(
    rows: &'a [MetricRow],
    method: &str,
    set: &str,
    metric: Metric,
) -> Option<&'a MetricRow> {
    let role = Role::ALL.into_iter().find(|role| role.name() == set);
    rows.iter().find(|row| {
        row.method == method
            && row.metric == metric
            && match role {
                Some(role) => row.role == role && row.set == MetricRow::AVERAGE,
                None => row.set == set,
            }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_published_table_can_be_read_and_has_a_cell_a_column() {
        for name in ["table1", "table2", "table3", "table4"] {
            let table = table(name).unwrap();
            for (row, cells) in &table.rows {
                assert_eq!(cells.len(), table.columns.len(), "{name} {row}");
            }
        }
    }

    #[test]
    fn a_row_that_was_not_published_is_refused() {
        let paper = Paper {
            table: "table1".into(),
            differs: String::new(),
            rows: BTreeMap::from([("ebbo".into(), "ebo".into())]),
            columns: BTreeMap::new(),
        };
        let error = check(&paper).unwrap_err().to_string();
        assert!(error.contains("no row `ebbo`"), "{error}");
    }
}
