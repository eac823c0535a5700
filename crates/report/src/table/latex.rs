//! LaTeX with the `booktabs` package: bold for the best, notes under the table.

use super::{Align, Cell, Line, Sheet};
use crate::format::MISSING;

impl Sheet {
    /// Prints the table as a LaTeX `table` environment; the document needs `\usepackage{booktabs}`.
    pub fn to_latex(&self) -> String {
        let width = self.columns.len();
        let mut text = String::from("\\begin{table}\n  \\centering\n");
        if !self.title.is_empty() {
            text += &format!("  \\caption{{{}}}\n", escape(&self.title));
        }
        let alignment: String = self
            .columns
            .iter()
            .map(|column| match column.align {
                Align::Left => 'l',
                Align::Right => 'r',
            })
            .collect();
        text += &format!("  \\begin{{tabular}}{{{alignment}}}\n    \\toprule\n");
        text += &self.group_headings();
        text += &line(self.columns.iter().map(|column| escape(&column.title)));
        text += "    \\midrule\n";
        for (i, row) in self.lines.iter().enumerate() {
            match row {
                Line::Heading(heading) => {
                    if i > 0 {
                        text += "    \\midrule\n";
                    }
                    text += &format!(
                        "    \\multicolumn{{{width}}}{{l}}{{\\emph{{{}}}}} \\\\\n",
                        escape(heading)
                    );
                }
                Line::Row(cells) => text += &line(cells.iter().map(cell)),
            }
        }
        text += "    \\bottomrule\n  \\end{tabular}\n";
        let mut notes: Vec<_> = self.notes.iter().map(|note| escape(note)).collect();
        if self.has_best() {
            notes.insert(0, "\\textbf{bold}: best of the column".to_owned());
        }
        for note in notes {
            text += &format!("\n  {{\\footnotesize {note}\\par}}\n");
        }
        text + "\\end{table}\n"
    }

    /// The line of headings that several columns share, with a rule under each; empty if there are none.
    fn group_headings(&self) -> String {
        let groups = self.groups();
        if groups.iter().all(|(group, _)| group.is_empty()) {
            return String::new();
        }
        let mut rules = String::new();
        let mut cells = Vec::new();
        let mut first = 1;
        for (group, span) in groups {
            let last = first + span - 1;
            if group.is_empty() {
                cells.extend(std::iter::repeat_n(String::new(), span));
            } else {
                cells.push(format!("\\multicolumn{{{span}}}{{c}}{{{}}}", escape(group)));
                rules += &format!(" \\cmidrule(lr){{{first}-{last}}}");
            }
            first = last + 1;
        }
        format!("{}   {rules}\n", line(cells.into_iter()))
    }
}

fn line(cells: impl Iterator<Item = String>) -> String {
    format!("    {} \\\\\n", cells.collect::<Vec<_>>().join(" & "))
}

fn cell(cell: &Cell) -> String {
    let parts = cell.iter().map(|part| match part.best {
        true => format!("\\textbf{{{}}}", escape(&part.text)),
        false => escape(&part.text),
    });
    parts.collect::<Vec<_>>().join(" / ")
}

fn escape(text: &str) -> String {
    if text == MISSING {
        return "--".to_owned();
    }
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' | '%' | '$' | '#' | '_' | '{' | '}' => escaped.extend(['\\', c]),
            '\\' => escaped += "\\textbackslash{}",
            '~' => escaped += "\\textasciitilde{}",
            '^' => escaped += "\\textasciicircum{}",
            '<' => escaped += "\\textless{}",
            '>' => escaped += "\\textgreater{}",
            '−' => escaped += "$-$",
            '–' => escaped += "--",
            '↑' => escaped += "$\\uparrow$",
            '↓' => escaped += "$\\downarrow$",
            '\n' => escaped.push(' '),
            _ => escaped.push(c),
        }
    }
    escaped
}
