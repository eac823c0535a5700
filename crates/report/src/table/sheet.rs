//! A table as it is printed: text in cells, and which texts are the best of their column.

/// A printable table.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Sheet {
    /// What the table shows; empty for none.
    pub title: String,
    /// The columns from left to right; the first one names the rows.
    pub columns: Vec<Column>,
    /// Headings and rows from top to bottom.
    pub lines: Vec<Line>,
    /// Remarks under the table.
    pub notes: Vec<String>,
}

/// A column of a [`Sheet`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// The heading that this column shares with its neighbours of the same group; empty for none.
    pub group: String,
    /// The column's own heading.
    pub title: String,
    /// On which side its cells line up.
    pub align: Align,
}

/// The side on which the cells of a column line up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Align {
    /// For words.
    Left,
    /// For numbers.
    Right,
}

impl Column {
    /// A column of words, under no shared heading.
    pub fn words(title: impl Into<String>) -> Self {
        Self {
            group: String::new(),
            title: title.into(),
            align: Align::Left,
        }
    }

    /// A column of numbers under a heading shared with its neighbours; an empty one is none.
    pub fn numbers(group: impl Into<String>, title: impl Into<String>) -> Self {
        Self {
            group: group.into(),
            title: title.into(),
            align: Align::Right,
        }
    }
}

/// A line of a [`Sheet`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Line {
    /// A heading over the rows that follow.
    Heading(String),
    /// One cell a column.
    Row(Vec<Cell>),
}

/// A cell: one text, or several that are printed as `a / b`.
pub type Cell = Vec<Part>;

/// A text in a cell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// What is printed.
    pub text: String,
    /// Whether it is the best of its column.
    pub best: bool,
}

impl Part {
    /// A text that is not marked.
    pub fn plain(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            best: false,
        }
    }
}

impl Sheet {
    /// The groups of neighbouring columns: heading and number of columns.
    pub(super) fn groups(&self) -> Vec<(&str, usize)> {
        let mut groups: Vec<(&str, usize)> = Vec::new();
        for column in &self.columns {
            match groups.last_mut() {
                Some((group, span)) if *group == column.group => *span += 1,
                _ => groups.push((&column.group, 1)),
            }
        }
        groups
    }

    /// Whether any text is marked as the best.
    pub(super) fn has_best(&self) -> bool {
        self.lines.iter().any(|line| match line {
            Line::Row(cells) => cells.iter().flatten().any(|part| part.best),
            Line::Heading(_) => false,
        })
    }
}
