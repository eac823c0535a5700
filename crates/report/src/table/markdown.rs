//! Markdown: bold for the best, notes as a list under the table.

use super::{Align, Cell, Line, Sheet};

impl Sheet {
    /// Prints the table as GitHub-flavoured Markdown.
    pub fn to_markdown(&self) -> String {
        let mut text = String::new();
        if !self.title.is_empty() {
            text += &format!("### {}\n\n", escape(&self.title));
        }
        text += &line(
            self.columns
                .iter()
                .map(|column| match column.group.as_str() {
                    "" => escape(&column.title),
                    group => format!("{}: {}", escape(group), escape(&column.title)),
                }),
        );
        text += &line(self.columns.iter().map(|column| match column.align {
            Align::Left => ":---".to_owned(),
            Align::Right => "---:".to_owned(),
        }));
        for row in &self.lines {
            text += &match row {
                Line::Heading(heading) => {
                    let rest = self.columns.iter().skip(1).map(|_| String::new());
                    line(std::iter::once(format!("*{}*", escape(heading))).chain(rest))
                }
                Line::Row(cells) => line(cells.iter().map(cell)),
            };
        }
        let mut notes = self.notes.clone();
        if self.has_best() {
            notes.insert(0, "**bold**: best of the column".to_owned());
        }
        if !notes.is_empty() {
            text.push('\n');
        }
        for note in notes {
            text += &format!("- {note}\n");
        }
        text
    }
}

fn line(cells: impl Iterator<Item = String>) -> String {
    format!("| {} |\n", cells.collect::<Vec<_>>().join(" | "))
}

fn cell(cell: &Cell) -> String {
    let parts = cell.iter().map(|part| match part.best {
        true => format!("**{}**", escape(&part.text)),
        false => escape(&part.text),
    });
    parts.collect::<Vec<_>>().join(" / ")
}

fn escape(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}
