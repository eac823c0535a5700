//! Tables: one model of rows and columns, and three ways to print it.
//!
//! [`Table`] arranges [`MetricRow`](crate::MetricRow)s as methods against sets, [`Comparison`] holds published
//! values against ours. Both become a [`Sheet`], which prints itself as Markdown, as LaTeX or on a terminal.

mod comparison;
mod latex;
mod markdown;
mod methods;
mod sheet;
mod terminal;
mod wide;

pub use comparison::Comparison;
pub use sheet::{Align, Cell, Column, Line, Part, Sheet};
pub use terminal::{Mark, TerminalOptions};
pub use wide::{MethodGroup, Table};
