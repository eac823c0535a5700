//! Samples in rows, what was made of them in columns.

use std::path::Path;

use super::{DifferenceScale, Tile};
use crate::canvas::Canvas;
use crate::palette::{BLACK, BLUE, FRAME, Rgb, SOFT, VERMILLION, difference};
use crate::text::{self, Weight};
use crate::{Error, Result, write_atomic};

/// A picture of tiles in rows and columns, with headings, captions and a legend for differences.
#[derive(Debug, Clone, PartialEq)]
pub struct PictureGrid {
    /// The picture's title; empty for none.
    pub title: String,
    /// The columns' headings, such as `input` and `reconstruction`.
    pub columns: Vec<String>,
    /// The rows, under headings.
    pub groups: Vec<GridGroup>,
    /// How many times a tile's pixels are enlarged, at least once; they stay square and sharp.
    pub factor: usize,
    /// The scale of the difference tiles, for a legend under the rows; none if there are no such tiles.
    pub differences: Option<DifferenceScale>,
}

/// Rows under a heading, such as `in-distribution`.
#[derive(Debug, Clone, PartialEq)]
pub struct GridGroup {
    /// The heading; empty for none.
    pub heading: String,
    /// The samples.
    pub rows: Vec<GridRow>,
}

/// One sample.
#[derive(Debug, Clone, PartialEq)]
pub struct GridRow {
    /// One tile a column, from the left; where there is none the place stays empty.
    pub tiles: Vec<Option<Tile>>,
    /// What stands to the right of the tiles.
    pub caption: Caption,
}

/// What is said of a sample.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Caption {
    /// Short lines, such as `true: cat`, `predicted: dog` and `score: 0.31`.
    pub lines: Vec<String>,
    /// How it was judged.
    pub verdict: Option<Verdict>,
}

/// How a sample was judged, and whether that is right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// The judgement, such as `accepted`.
    pub text: String,
    /// Whether it is right: a tick in blue, or a cross in vermillion.
    pub right: bool,
}

const MARGIN: i32 = 20;
/// Between tiles, and around headings.
const GAP: i32 = 8;
const TITLE: f64 = 18.0;
const HEADING: f64 = 14.0;
const LABEL: f64 = 13.0;
const CAPTION: f64 = 12.5;
/// Height of a line of a caption.
const LINE: i32 = 17;
/// Size of the colour bar.
const BAR: (i32, i32) = (160, 12);

impl PictureGrid {
    /// A grid of one row under the given headings.
    pub fn strip(columns: Vec<String>, row: GridRow, factor: usize) -> Self {
        let groups = vec![GridGroup {
            heading: String::new(),
            rows: vec![row],
        }];
        Self {
            title: String::new(),
            columns,
            groups,
            factor,
            differences: None,
        }
    }

    /// The grid as a PNG file.
    ///
    /// # Errors
    ///
    /// [`Error::Empty`] without rows or columns, [`Error::Shape`] for a malformed tile, a row with more tiles
    /// than columns or a factor of 0, [`Error::Encode`] if encoding fails.
    pub fn to_png(&self) -> Result<Vec<u8>> {
        self.check()?;
        let layout = Layout::new(self);
        let mut canvas = Canvas::new(layout.width as usize, layout.height as usize);
        self.paint(&layout, &mut canvas);
        canvas.to_png()
    }

    /// Writes the grid as a PNG file.
    ///
    /// # Errors
    ///
    /// Those of [`PictureGrid::to_png`], and [`Error::Write`].
    pub fn write(&self, path: impl AsRef<Path>) -> Result<()> {
        write_atomic(path, self.to_png()?)
    }

    fn rows(&self) -> impl Iterator<Item = &GridRow> {
        self.groups.iter().flat_map(|group| &group.rows)
    }

    fn check(&self) -> Result<()> {
        let title = if self.title.is_empty() {
            "picture grid"
        } else {
            &self.title
        };
        let empty = |missing: &str| Error::Empty {
            title: title.to_owned(),
            missing: missing.to_owned(),
        };
        if self.columns.is_empty() || self.rows().next().is_none() {
            return Err(empty("pass at least one column and one row"));
        }
        if self.factor == 0 {
            return Err(Error::Shape(format!(
                "`{title}`: tiles must be enlarged at least once, not 0 times"
            )));
        }
        if let Some(scale) = self.differences {
            scale.check()?;
        }
        for (i, row) in self.rows().enumerate() {
            if row.tiles.len() > self.columns.len() {
                return Err(Error::Shape(format!(
                    "`{title}`: row {} has {} tiles for {} columns",
                    i + 1,
                    row.tiles.len(),
                    self.columns.len()
                )));
            }
            row.tiles.iter().flatten().try_for_each(Tile::check)?;
        }
        Ok(())
    }

    fn paint(&self, layout: &Layout, canvas: &mut Canvas) {
        let mut y = MARGIN;
        if !self.title.is_empty() {
            write(canvas, &self.title, TITLE, Weight::Bold, (MARGIN, y), BLACK);
            y += line_height(TITLE) + GAP;
        }
        for (heading, (left, width)) in self.columns.iter().zip(layout.columns()) {
            let start = left + (width - measure(heading, LABEL, Weight::Bold)) / 2;
            write(canvas, heading, LABEL, Weight::Bold, (start, y), BLACK);
        }
        y += line_height(LABEL) + GAP;
        for group in &self.groups {
            if !group.heading.is_empty() {
                y += GAP;
                write(
                    canvas,
                    &group.heading,
                    HEADING,
                    Weight::Bold,
                    (MARGIN, y),
                    SOFT,
                );
                let text = measure(&group.heading, HEADING, Weight::Bold);
                let start = MARGIN + text + GAP;
                let rule = (layout.width - MARGIN - start, 1);
                canvas.rectangle((start, y + line_height(HEADING) / 2), rule, FRAME);
                y += line_height(HEADING) + GAP;
            }
            for row in &group.rows {
                let height = row_height(row, self.factor);
                self.paint_row(row, layout, y, height, canvas);
                y += height + GAP;
            }
        }
        if let Some(scale) = self.differences {
            paint_scale(scale, y + GAP, canvas);
        }
    }

    fn paint_row(
        &self,
        row: &GridRow,
        layout: &Layout,
        top: i32,
        height: i32,
        canvas: &mut Canvas,
    ) {
        for (tile, (left, width)) in row.tiles.iter().zip(layout.columns()) {
            let Some(tile) = tile else { continue };
            let (wide, high) = tile_size(tile, self.factor);
            paint_tile(
                tile,
                self.factor,
                (left + (width - wide) / 2, top + (height - high) / 2),
                canvas,
            );
        }
        let lines = caption_lines(&row.caption);
        let mut y = top + (height - lines.len() as i32 * LINE) / 2;
        for (text, weight, colour) in lines {
            write(
                canvas,
                &text,
                CAPTION,
                weight,
                (layout.caption_left(), y),
                colour,
            );
            y += LINE;
        }
    }
}

/// Where things stand.
struct Layout {
    width: i32,
    height: i32,
    /// The columns' widths.
    widths: Vec<i32>,
}

impl Layout {
    fn new(grid: &PictureGrid) -> Self {
        let widths: Vec<i32> = grid
            .columns
            .iter()
            .enumerate()
            .map(|(i, heading)| {
                let tiles = grid.rows().filter_map(|row| row.tiles.get(i)?.as_ref());
                let widest = tiles
                    .map(|tile| tile_size(tile, grid.factor).0)
                    .max()
                    .unwrap_or(0);
                widest.max(measure(heading, LABEL, Weight::Bold))
            })
            .collect();

        let captions = grid.rows().flat_map(|row| caption_lines(&row.caption));
        let caption = captions
            .map(|(text, weight, _)| measure(&text, CAPTION, weight))
            .max()
            .unwrap_or(0);
        let tiles: i32 = widths.iter().map(|width| width + GAP).sum();
        let headings = grid
            .groups
            .iter()
            .map(|group| measure(&group.heading, HEADING, Weight::Bold));
        let legend = if grid.differences.is_some() {
            BAR.0 + 320
        } else {
            0
        };
        let inner = (tiles + if caption > 0 { GAP + caption } else { -GAP })
            .max(measure(&grid.title, TITLE, Weight::Bold))
            .max(headings.max().unwrap_or(0))
            .max(legend);

        let mut height = 2 * MARGIN + line_height(LABEL) + GAP;
        if !grid.title.is_empty() {
            height += line_height(TITLE) + GAP;
        }
        for group in &grid.groups {
            if !group.heading.is_empty() {
                height += line_height(HEADING) + 2 * GAP;
            }
            height += group
                .rows
                .iter()
                .map(|row| row_height(row, grid.factor) + GAP)
                .sum::<i32>();
        }
        if grid.differences.is_some() {
            height += GAP + line_height(LABEL);
        } else {
            height -= GAP;
        }
        Self {
            width: inner + 2 * MARGIN,
            height,
            widths,
        }
    }

    /// Left edge and width of every column.
    fn columns(&self) -> impl Iterator<Item = (i32, i32)> {
        self.widths.iter().scan(MARGIN, |left, &width| {
            let column = (*left, width);
            *left += width + GAP;
            Some(column)
        })
    }

    fn caption_left(&self) -> i32 {
        MARGIN + self.widths.iter().map(|width| width + GAP).sum::<i32>() + GAP
    }
}

fn tile_size(tile: &Tile, factor: usize) -> (i32, i32) {
    // One pixel of frame on every side keeps white tiles apart from the ground.
    (
        (tile.width * factor) as i32 + 2,
        (tile.height * factor) as i32 + 2,
    )
}

fn row_height(row: &GridRow, factor: usize) -> i32 {
    let tiles = row
        .tiles
        .iter()
        .flatten()
        .map(|tile| tile_size(tile, factor).1)
        .max()
        .unwrap_or(0);
    tiles.max(caption_lines(&row.caption).len() as i32 * LINE)
}

fn paint_tile(tile: &Tile, factor: usize, (left, top): (i32, i32), canvas: &mut Canvas) {
    canvas.rectangle((left, top), tile_size(tile, factor), FRAME);
    let side = factor as i32;
    for y in 0..tile.height {
        for x in 0..tile.width {
            let corner = (left + 1 + x as i32 * side, top + 1 + y as i32 * side);
            canvas.rectangle(corner, (side, side), tile.colour(x, y));
        }
    }
}

fn caption_lines(caption: &Caption) -> Vec<(String, Weight, Rgb)> {
    let lines = caption
        .lines
        .iter()
        .map(|line| (line.clone(), Weight::Regular, BLACK));
    let verdict = caption.verdict.iter().map(|verdict| match verdict.right {
        true => (format!("✓ {}", verdict.text), Weight::Bold, BLUE),
        false => (format!("✗ {}", verdict.text), Weight::Bold, VERMILLION),
    });
    lines.chain(verdict).collect()
}

/// The colour bar of the difference tiles with its ends.
fn paint_scale(scale: DifferenceScale, top: i32, canvas: &mut Canvas) {
    let (width, height) = BAR;
    let start = MARGIN + measure("difference 0 ", CAPTION, Weight::Regular);
    write(
        canvas,
        "difference 0",
        CAPTION,
        Weight::Regular,
        (MARGIN, top),
        BLACK,
    );
    let bar = top + (line_height(CAPTION) - height) / 2;
    canvas.rectangle((start - 1, bar - 1), (width + 2, height + 2), FRAME);
    for x in 0..width {
        canvas.rectangle(
            (start + x, bar),
            (1, height),
            difference(f64::from(x) / f64::from(width - 1)),
        );
    }
    let percent = crate::format::percent(scale.full, 0);
    let end = format!(
        "{percent} % of black to white{}",
        if scale.full < 1.0 { " or more" } else { "" }
    );
    write(
        canvas,
        &end,
        CAPTION,
        Weight::Regular,
        (start + width + GAP, top),
        BLACK,
    );
}

/// Writes text with its line's upper left corner at a place.
fn write(
    canvas: &mut Canvas,
    text: &str,
    em: f64,
    weight: Weight,
    (x, y): (i32, i32),
    colour: Rgb,
) {
    canvas.text(
        text,
        em,
        weight,
        (f64::from(x), f64::from(y) + 0.93 * em),
        colour,
    );
}

fn line_height(em: f64) -> i32 {
    (em * 1.2).ceil() as i32
}

fn measure(text: &str, em: f64, weight: Weight) -> i32 {
    text::width(text, em, weight).ceil() as i32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(tiles: usize) -> GridRow {
        let tile = Tile::new(2, 2, 1, vec![0, 64, 128, 255]).unwrap();
        GridRow {
            tiles: vec![Some(tile); tiles],
            caption: Caption::default(),
        }
    }

    #[test]
    fn malformed_grids_are_refused() {
        let strip = |tiles, factor| {
            PictureGrid::strip(vec!["input".to_owned()], row(tiles), factor).to_png()
        };
        assert!(strip(1, 3).is_ok());
        assert!(matches!(strip(2, 3), Err(Error::Shape(_))));
        assert!(matches!(strip(1, 0), Err(Error::Shape(_))));
        let mut grid = PictureGrid::strip(vec!["input".to_owned()], row(1), 1);
        grid.groups.clear();
        assert!(matches!(grid.to_png(), Err(Error::Empty { .. })));
    }

    #[test]
    fn nothing_is_painted_onto_the_margin() {
        let mut wide = row(2);
        wide.caption.lines = vec![
            "true: ship".to_owned(),
            "a caption that is taller than the tile".to_owned(),
        ];
        wide.caption.verdict = Some(Verdict {
            text: "rejected".to_owned(),
            right: false,
        });
        let grid = PictureGrid {
            title: "a title".to_owned(),
            columns: vec!["input".to_owned(), "reconstruction".to_owned()],
            groups: vec![GridGroup {
                heading: "near-OOD".to_owned(),
                rows: vec![wide, row(1)],
            }],
            factor: 4,
            differences: Some(DifferenceScale::default()),
        };
        assert_eq!(grid.to_png().unwrap(), grid.to_png().unwrap());
        let picture = image::load_from_memory(&grid.to_png().unwrap())
            .unwrap()
            .to_rgb8();
        let (width, height) = picture.dimensions();
        let edge = MARGIN as u32 - 2;
        for (x, y, pixel) in picture.enumerate_pixels() {
            if x < edge || y < edge || x >= width - edge || y >= height - edge {
                assert_eq!(pixel.0, [255; 3], "at {x}, {y}");
            }
        }
    }
}
