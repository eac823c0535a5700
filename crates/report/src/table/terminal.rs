//! Aligned text for a terminal.

use unicode_width::UnicodeWidthStr;

use super::{Align, Cell, Line, Sheet};

/// How a table is printed on a terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TerminalOptions {
    /// The widest line wanted, in columns; a table that can be split is split to fit.
    pub width: usize,
    /// How the best of a column is marked.
    pub mark: Mark,
}

impl Default for TerminalOptions {
    /// 100 columns, marked with a star.
    fn default() -> Self {
        Self {
            width: 100,
            mark: Mark::Star,
        }
    }
}

/// How the best of a column is marked on a terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    /// A star behind the number.
    Star,
    /// Bold by ANSI escape codes, for a terminal that shows them.
    Bold,
}

const BOLD: &str = "\x1b[1m";
const PLAIN: &str = "\x1b[0m";
const GAP: &str = "  ";
const SEPARATOR: &str = " / ";

impl Sheet {
    /// Prints the table as aligned text, as wide as it needs to be; see [`Sheet::terminal_width`].
    pub fn to_terminal(&self, mark: Mark) -> String {
        let layout = Layout::new(self, mark);
        let mut text = String::new();
        let mut push = |line: &str| {
            text += line.trim_end();
            text.push('\n');
        };
        if !self.title.is_empty() {
            push(&self.title);
            push("");
        }
        let rule = "─".repeat(layout.width());
        if let Some(groups) = layout.groups(self) {
            push(&groups);
        }
        push(&layout.headings(self));
        push(&rule);
        for (i, line) in self.lines.iter().enumerate() {
            match line {
                Line::Heading(heading) => {
                    if i > 0 {
                        push("");
                    }
                    push(&format!("{heading}:"));
                }
                Line::Row(cells) => push(&layout.row(self, cells)),
            }
        }
        push(&rule);
        if self.has_best() {
            push(match mark {
                Mark::Star => "*: best of the column",
                Mark::Bold => "bold: best of the column",
            });
        }
        for note in &self.notes {
            push(note);
        }
        text
    }

    /// How many terminal columns the table takes, its title and notes aside.
    pub fn terminal_width(&self, mark: Mark) -> usize {
        Layout::new(self, mark).width()
    }
}

/// The widths of a sheet's columns.
struct Layout {
    mark: Mark,
    /// For every column the widths of its parts; one for the first column.
    parts: Vec<Vec<PartWidth>>,
    /// For every column its whole width.
    columns: Vec<usize>,
    /// Indentation of the rows, where headings stand over them.
    indent: usize,
}

/// The place that the parts of a column at one position take.
#[derive(Clone, Copy, Default)]
struct PartWidth {
    /// The widest text.
    text: usize,
    /// 1 where a star stands behind any of the texts: the others leave its place free, so that digits line up.
    star: usize,
}

impl Layout {
    fn new(sheet: &Sheet, mark: Mark) -> Self {
        let rows: Vec<&Vec<Cell>> = sheet
            .lines
            .iter()
            .filter_map(|line| match line {
                Line::Row(cells) => Some(cells),
                Line::Heading(_) => None,
            })
            .collect();
        let indent = if rows.len() < sheet.lines.len() { 2 } else { 0 };

        let mut parts: Vec<Vec<PartWidth>> = vec![Vec::new(); sheet.columns.len()];
        for cells in &rows {
            for (widths, cell) in parts.iter_mut().zip(*cells) {
                for (i, part) in cell.iter().enumerate() {
                    if i == widths.len() {
                        widths.push(PartWidth::default());
                    }
                    let star = usize::from(mark == Mark::Star && part.best);
                    widths[i].text = widths[i].text.max(part.text.width());
                    widths[i].star = widths[i].star.max(star);
                }
            }
        }
        let mut columns: Vec<usize> = parts
            .iter()
            .zip(&sheet.columns)
            .enumerate()
            .map(|(i, (widths, column))| {
                let indent = if i == 0 { indent } else { 0 };
                (joined(widths) + indent).max(column.title.width())
            })
            .collect();

        // A heading over several columns may be wider than they are: the last of them gives way.
        let mut first = 0;
        for (group, span) in sheet.groups() {
            let width = spanned(&columns[first..first + span]);
            columns[first + span - 1] += group.width().saturating_sub(width);
            first += span;
        }
        Self {
            mark,
            parts,
            columns,
            indent,
        }
    }

    fn width(&self) -> usize {
        spanned(&self.columns)
    }

    /// The headings that several columns share, each over a rule as wide as its columns.
    fn groups(&self, sheet: &Sheet) -> Option<String> {
        let groups = sheet.groups();
        if groups.iter().all(|(group, _)| group.is_empty()) {
            return None;
        }
        let mut first = 0;
        let mut cells = Vec::new();
        for (group, span) in groups {
            let width = spanned(&self.columns[first..first + span]);
            first += span;
            if group.is_empty() {
                cells.push(" ".repeat(width));
                continue;
            }
            let rest = width.saturating_sub(group.width() + 2);
            cells.push(match rest {
                0 | 1 => pad(group, group.width(), width, Align::Left),
                _ => format!(
                    "{} {group} {}",
                    "─".repeat(rest / 2),
                    "─".repeat(rest - rest / 2)
                ),
            });
        }
        Some(cells.join(GAP))
    }

    fn headings(&self, sheet: &Sheet) -> String {
        let cells = sheet
            .columns
            .iter()
            .zip(&self.columns)
            .map(|(column, &width)| pad(&column.title, column.title.width(), width, column.align));
        cells.collect::<Vec<_>>().join(GAP)
    }

    fn row(&self, sheet: &Sheet, cells: &[Cell]) -> String {
        let cells = cells
            .iter()
            .zip(&sheet.columns)
            .enumerate()
            .map(|(i, (cell, column))| {
                let (text, width) = match column.align {
                    Align::Left => self.words(i, cell),
                    Align::Right => self.numbers(i, cell),
                };
                pad(&text, width, self.columns[i], column.align)
            });
        cells.collect::<Vec<_>>().join(GAP)
    }

    /// A cell of words and the width it takes.
    fn words(&self, column: usize, cell: &Cell) -> (String, usize) {
        let indent = if column == 0 { self.indent } else { 0 };
        let words: Vec<&str> = cell.iter().map(|part| part.text.as_str()).collect();
        let text = " ".repeat(indent) + &words.join(SEPARATOR);
        let width = text.width();
        (text, width)
    }

    /// A cell of numbers, aligned to those above and below, and the width it takes.
    fn numbers(&self, column: usize, cell: &Cell) -> (String, usize) {
        let parts = cell.iter().zip(&self.parts[column]).map(|(part, width)| {
            let space = " ".repeat(width.text - part.text.width());
            let place = " ".repeat(width.star);
            match (part.best, self.mark) {
                (true, Mark::Star) => format!("{space}{}*", part.text),
                (true, Mark::Bold) => format!("{space}{BOLD}{}{PLAIN}", part.text),
                (false, _) => format!("{space}{}{place}", part.text),
            }
        });
        (
            parts.collect::<Vec<_>>().join(SEPARATOR),
            joined(&self.parts[column]),
        )
    }
}

fn joined(widths: &[PartWidth]) -> usize {
    widths
        .iter()
        .map(|width| width.text + width.star)
        .sum::<usize>()
        + SEPARATOR.len() * widths.len().saturating_sub(1)
}

fn spanned(columns: &[usize]) -> usize {
    columns.iter().sum::<usize>() + GAP.len() * columns.len().saturating_sub(1)
}

/// Fills `text`, which takes `taken` columns, up to `width`.
fn pad(text: &str, taken: usize, width: usize, align: Align) -> String {
    let space = " ".repeat(width.saturating_sub(taken));
    match align {
        Align::Left => format!("{text}{space}"),
        Align::Right => format!("{space}{text}"),
    }
}
