//! Pictures of samples beside each other: input, reconstruction, synthesis, difference.

mod grid;
mod tile;

pub use grid::{Caption, GridGroup, GridRow, PictureGrid, Verdict};
pub use tile::{DifferenceScale, Tile};
