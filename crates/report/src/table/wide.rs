//! The wide table: methods under headings against sets under roles.

use super::methods::is_bound;
use super::{Cell, Column, Line, Part, Sheet, TerminalOptions};
use crate::format::{MISSING, percent};
use crate::{Error, Metric, MetricRow, Result, Role};

/// Methods that stand together under a heading.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MethodGroup {
    /// The heading, such as `baselines`.
    pub heading: String,
    /// The methods by name, from top to bottom.
    pub methods: Vec<String>,
}

impl MethodGroup {
    /// A group from its heading and its methods' names.
    pub fn new(
        heading: impl Into<String>,
        methods: impl IntoIterator<Item = impl AsRef<str>>,
    ) -> Self {
        let methods = methods
            .into_iter()
            .map(|method| method.as_ref().to_owned())
            .collect();
        Self {
            heading: heading.into(),
            methods,
        }
    }
}

/// Methods against sets, with one or more metrics in each cell.
///
/// Columns are the near sets in the order of their first row, their average, then the far sets and theirs, then the
/// sets beside the benchmark.
/// The best printed value of each column is marked, ties all alike. Methods that look at test labels (named
/// `*-oracle` or `*-envelope`) are shown but neither marked nor able to take a mark from another.
#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    title: String,
    metrics: Vec<Metric>,
    decimals: usize,
    columns: Vec<Place>,
    groups: Vec<(String, Vec<MethodLine>)>,
}

/// A column: a set (or the average) of a role.
#[derive(Debug, Clone, PartialEq)]
struct Place {
    role: Role,
    set: String,
}

/// A method's values, by column and then by metric.
#[derive(Debug, Clone, PartialEq)]
struct MethodLine {
    method: String,
    values: Vec<Vec<Option<f64>>>,
}

impl Table {
    /// Arranges `rows` of one experiment, with `metrics` in each cell in their order.
    ///
    /// Methods that no group lists are left out; a listed method without rows stands with empty cells. Values
    /// are printed in percent with one decimal until [`Table::decimals`] says otherwise.
    ///
    /// # Errors
    ///
    /// [`Error::Duplicate`] if two rows hold the same metric of the same method on the same set.
    pub fn new(
        title: impl Into<String>,
        rows: &[MetricRow],
        groups: &[MethodGroup],
        metrics: &[Metric],
    ) -> Result<Self> {
        refuse_duplicates(rows)?;
        let listed = |row: &&MetricRow| {
            groups
                .iter()
                .any(|group| group.methods.contains(&row.method))
        };
        let columns = places(rows.iter().filter(listed));
        let line = |method: &String| MethodLine {
            method: method.clone(),
            values: columns
                .iter()
                .map(|place| {
                    metrics
                        .iter()
                        .map(|&metric| value(rows, method, place, metric))
                        .collect()
                })
                .collect(),
        };
        let groups = groups
            .iter()
            .filter(|group| !group.methods.is_empty())
            .map(|group| {
                (
                    group.heading.clone(),
                    group.methods.iter().map(line).collect(),
                )
            })
            .collect();
        Ok(Self {
            title: title.into(),
            metrics: metrics.to_vec(),
            decimals: 1,
            columns,
            groups,
        })
    }

    /// Prints values with so many decimals.
    #[must_use]
    pub fn decimals(mut self, decimals: usize) -> Self {
        self.decimals = decimals;
        self
    }

    /// The table as one sheet, ready to print.
    pub fn sheet(&self) -> Sheet {
        self.part(
            &Vec::from_iter(0..self.metrics.len()),
            &Vec::from_iter(0..self.columns.len()),
        )
    }

    /// Prints the table as Markdown.
    pub fn to_markdown(&self) -> String {
        self.sheet().to_markdown()
    }

    /// Prints the table as LaTeX for the `booktabs` package.
    pub fn to_latex(&self) -> String {
        self.sheet().to_latex()
    }

    /// Prints the table for a terminal: as one table if it fits the width, else one a metric, and of these
    /// each in as many parts as it needs. A single column is never cut, so a very narrow terminal wraps.
    pub fn to_terminal(&self, options: TerminalOptions) -> String {
        let whole = self.sheet();
        if whole.terminal_width(options.mark) <= options.width {
            return whole.to_terminal(options.mark);
        }
        let mut sheets: Vec<Sheet> = (0..self.metrics.len())
            .flat_map(|metric| self.parts_that_fit(metric, options))
            .collect();
        // The notes hold for all parts and stand once, under the last.
        if let Some((last, others)) = sheets.split_last_mut() {
            last.notes = whole.notes;
            others.iter_mut().for_each(|sheet| sheet.notes.clear());
        }
        let texts: Vec<String> = sheets
            .iter()
            .map(|sheet| sheet.to_terminal(options.mark))
            .collect();
        texts.join("\n")
    }

    /// One metric's table, cut between columns where the next column would pass the width.
    fn parts_that_fit(&self, metric: usize, options: TerminalOptions) -> Vec<Sheet> {
        let title = format!("{}: {}", self.title, arrow(self.metrics[metric]));
        let part = |columns: &[usize]| Sheet {
            title: title.clone(),
            ..self.part(&[metric], columns)
        };
        let mut sheets = Vec::new();
        let mut shown: Vec<usize> = Vec::new();
        for column in 0..self.columns.len() {
            shown.push(column);
            if shown.len() > 1 && part(&shown).terminal_width(options.mark) > options.width {
                shown.pop();
                sheets.push(part(&shown));
                shown = vec![column];
            }
        }
        sheets.push(part(&shown));
        sheets
    }

    /// The sheet of some metrics and columns, both by index.
    fn part(&self, metrics: &[usize], columns: &[usize]) -> Sheet {
        let method = Column::words("method");
        let places = columns.iter().map(|&column| {
            let place = &self.columns[column];
            Column::numbers(place.role.title(), &place.set)
        });
        let mut lines = Vec::new();
        let mut missing = false;
        for (heading, methods) in &self.groups {
            if !heading.is_empty() {
                lines.push(Line::Heading(heading.clone()));
            }
            for line in methods {
                let cells = columns
                    .iter()
                    .map(|&column| self.cell(line, column, metrics));
                let row: Vec<Cell> = std::iter::once(vec![Part::plain(&line.method)])
                    .chain(cells)
                    .collect();
                missing |= row.iter().flatten().any(|part| part.text == MISSING);
                lines.push(Line::Row(row));
            }
        }
        Sheet {
            title: self.title.clone(),
            columns: std::iter::once(method).chain(places).collect(),
            lines,
            notes: self.notes(metrics, missing),
        }
    }

    fn cell(&self, line: &MethodLine, column: usize, metrics: &[usize]) -> Cell {
        metrics
            .iter()
            .map(|&metric| match line.values[column][metric] {
                Some(value) => {
                    let text = percent(value, self.decimals);
                    let best = !is_bound(&line.method)
                        && self.best(column, metric).as_ref() == Some(&text);
                    Part { text, best }
                }
                None => Part::plain(MISSING),
            })
            .collect()
    }

    /// The best value of a column as it is printed; none where fewer than two methods compete.
    fn best(&self, column: usize, metric: usize) -> Option<String> {
        let values: Vec<f64> = self
            .groups
            .iter()
            .flat_map(|(_, methods)| methods)
            .filter(|line| !is_bound(&line.method))
            .filter_map(|line| line.values[column][metric])
            .collect();
        if values.len() < 2 {
            return None;
        }
        let best = match self.metrics[metric].higher_is_better() {
            true => values.into_iter().max_by(f64::total_cmp),
            false => values.into_iter().min_by(f64::total_cmp),
        };
        best.map(|value| percent(value, self.decimals))
    }

    fn notes(&self, metrics: &[usize], missing: bool) -> Vec<String> {
        let metrics: Vec<Metric> = metrics.iter().map(|&metric| self.metrics[metric]).collect();
        let names: Vec<String> = metrics.iter().copied().map(arrow).collect();
        let mut notes = vec![format!("cells: {}, in percent", names.join(" / "))];
        notes.extend(
            metrics
                .iter()
                .map(|metric| format!("{}: {}", metric.title(), metric.meaning())),
        );
        let mut lines = self.groups.iter().flat_map(|(_, methods)| methods);
        if lines.any(|line| is_bound(&line.method)) {
            notes.push(
                "-oracle, -envelope: look at test labels; bounds, not compared with the others"
                    .to_owned(),
            );
        }
        if missing {
            notes.push(format!("{MISSING}: not computed or not defined"));
        }
        notes
    }
}

/// A metric's name and which way is better.
fn arrow(metric: Metric) -> String {
    let arrow = if metric.higher_is_better() {
        '↑'
    } else {
        '↓'
    };
    format!("{} {arrow}", metric.title())
}

fn refuse_duplicates(rows: &[MetricRow]) -> Result<()> {
    let mut seen = std::collections::HashSet::new();
    for row in rows {
        if !seen.insert((&row.method, &row.set, row.role, row.metric)) {
            return Err(Error::Duplicate {
                metric: row.metric.title(),
                method: row.method.clone(),
                set: row.set.clone(),
            });
        }
    }
    Ok(())
}

/// The columns that the rows ask for: by role, sets in the order of their first row, the average last, and none
/// where a role has a single set.
fn places<'a>(rows: impl Iterator<Item = &'a MetricRow>) -> Vec<Place> {
    let mut places: Vec<Place> = Vec::new();
    for row in rows {
        if !places
            .iter()
            .any(|place| place.role == row.role && place.set == row.set)
        {
            places.push(Place {
                role: row.role,
                set: row.set.clone(),
            });
        }
    }
    places.sort_by_key(|place| (place.role, place.set == MetricRow::AVERAGE));
    let sets_of = |role: Role| places.iter().filter(|place| place.role == role).count();
    let alone: Vec<Role> = Role::ALL
        .into_iter()
        .filter(|role| sets_of(*role) <= 2)
        .collect();
    places.retain(|place| place.set != MetricRow::AVERAGE || !alone.contains(&place.role));
    places
}

fn value(rows: &[MetricRow], method: &str, place: &Place, metric: Metric) -> Option<f64> {
    rows.iter()
        .find(|row| {
            row.method == method
                && row.role == place.role
                && row.set == place.set
                && row.metric == metric
        })
        .map(|row| row.value)
        .filter(|value| value.is_finite())
}
