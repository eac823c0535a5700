//! Plots, each written as SVG and as PNG by one drawing function.
//!
//! A plot is a plain struct that implements [`Figure`]; a new kind of plot is one new file here. Every number
//! in a plot, an AUROC in a legend too, is handed in: nothing is computed but what the eye needs (bins,
//! smoothing, axis ticks).

mod axes;
mod bars;
mod figure;
mod histogram;
mod legend;
mod lines;
mod loss;
mod panels;
mod pen;
mod raster;
mod roc;
mod stroke;

pub use bars::{Bar, BarGroup, BarKind, BarOrder, BarPlot};
pub use figure::Figure;
pub use histogram::{HistogramPanel, HistogramPlot};
pub use lines::{LineChart, LinePoint, LineSeries, Scale};
pub use loss::{LossPlot, LossSeries};
pub use pen::Pen;
pub use roc::{RocCurve, RocPanel, RocPlot};
