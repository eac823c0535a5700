//! Results as plain data, and the exporters that format them.
//!
//! Nothing here computes a metric or runs a network: the runner hands over [`MetricRow`]s, curves, scores and
//! tiles, and gets files. Every exporter gives the same bytes for the same input, and every file is written
//! whole or not at all ([`write_atomic`]).
//!
//! | what | where |
//! | --- | --- |
//! | one number of an experiment | [`MetricRow`] |
//! | the long-form file `metrics.csv` | [`csv`] |
//! | tables in Markdown, LaTeX and on the terminal | [`table`] |
//! | plots as SVG and PNG | [`plots`] |
//! | pictures of samples beside each other | [`pictures`] |
//! | how a number is printed | [`mod@format`] |
//! | colours and dash patterns | [`palette`] |

pub mod csv;
pub mod format;
pub mod palette;
pub mod pictures;
pub mod plots;
pub mod table;

mod canvas;
mod error;
mod files;
mod metric_row;
mod text;

pub use error::{Error, Result};
pub use files::write_atomic;
pub use metric_row::{Metric, MetricRow, Role, UnknownName};
