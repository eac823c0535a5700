//! One image list: a line an image, its path and its label.

use std::path::Path;

use crate::hash::Fields;
use crate::lists::Naming;
use crate::{Error, OUT_OF_DISTRIBUTION, Result};

/// A line of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListEntry {
    /// The image's path in OpenOOD's folders; its stable name everywhere.
    pub name: String,
    /// Its class; [`OUT_OF_DISTRIBUTION`] where it has none.
    pub label: i64,
}

/// A list in its own order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageList {
    /// What the list is called, such as `v1/cifar10/test_mnist`.
    pub name: String,
    /// Its lines.
    pub entries: Vec<ListEntry>,
}

impl ImageList {
    /// Reads the text of a list: `path label` a line.
    ///
    /// # Errors
    ///
    /// [`Error::Format`] names the line that has no label, a label below -1, or a path that is not a plain relative
    /// one.
    pub fn parse(name: &str, text: &str) -> Result<Self> {
        let fault = |number: usize, problem: String| {
            Error::format(
                Path::new(name),
                format!("line {}", number + 1),
                problem,
                "write the image's relative path, a space and its label (-1 for none)",
            )
        };
        let entry = |(number, line): (usize, &str)| {
            let Some((path, label)) = line.rsplit_once(' ') else {
                return Err(fault(number, format!("`{line}` has no label")));
            };
            let label = label
                .parse()
                .ok()
                .filter(|&label| label >= OUT_OF_DISTRIBUTION)
                .ok_or_else(|| fault(number, format!("`{label}` is no label")))?;
            if !is_plain(path) {
                return Err(fault(number, format!("`{path}` is no plain relative path")));
            }
            Ok(ListEntry {
                name: path.to_owned(),
                label,
            })
        };
        let entries = text.lines().enumerate().map(entry).collect::<Result<_>>()?;
        Ok(Self {
            name: name.to_owned(),
            entries,
        })
    }

    /// SHA-256, in hexadecimal, over the names, labels and targets of all entries in their order: it changes where
    /// the list or the way from its names into an archive does.
    ///
    /// # Errors
    ///
    /// [`Error::Format`] names an entry that `naming` does not understand.
    pub fn resolved_checksum(&self, naming: &Naming) -> Result<String> {
        let mut fields = Fields::new("resolved-list/1").number(self.entries.len() as u64);
        for entry in &self.entries {
            fields = fields
                .text(&entry.name)
                .number(entry.label.cast_unsigned())
                .text(&naming.target(&entry.name)?.to_string());
        }
        Ok(fields.hex())
    }
}

/// Whether every part of a path is an ordinary name.
fn is_plain(path: &str) -> bool {
    !path.contains(['\\', '\0', ':'])
        && path
            .split('/')
            .all(|part| !part.is_empty() && part != "." && part != "..")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_are_none_are_named() {
        let list = ImageList::parse("l", "a/b c.jpg -1\nd.png 7\n").unwrap();
        assert_eq!(list.entries[0].name, "a/b c.jpg");
        assert_eq!(list.entries[1].label, 7);
        for bad in [
            "a.png",
            "a.png x",
            "a.png -2",
            "../a.png 1",
            "/a.png 1",
            "a//b 1",
            "a\\b 1",
            " 1",
            "C:/a 1",
        ] {
            let text = ImageList::parse("l", &format!("a 1\n{bad}\n"))
                .unwrap_err()
                .to_string();
            assert!(text.contains("l: line 2"), "{text}");
        }
    }
}
