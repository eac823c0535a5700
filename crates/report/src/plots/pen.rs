//! Drawing in pixels as shown, on plotters' drawing area.

use std::sync::Once;

use plotters::coord::Shift;
use plotters::prelude::{
    Color, DrawingArea, DrawingBackend, PathElement, Polygon, RGBAColor, Rectangle,
};
use plotters::style::text_anchor::Pos;
use plotters::style::{
    FontDesc, FontFamily, FontStyle, FontTransform, RGBColor, ShapeStyle, TextStyle, register_font,
};

use super::raster::SIZE_PER_EM;
use super::stroke::dashes;
use crate::Result;
use crate::palette::{Dash, Marker, Rgb, WHITE};
use crate::text::{self, Weight};

pub(super) use plotters::style::text_anchor::{HPos, VPos};

/// How many units of the drawing area make a pixel as shown.
pub(super) const FINE: u32 = 4;

/// A place in pixels as shown, right and down from the upper left corner.
pub(super) type Point = (f64, f64);

/// A rectangle in pixels as shown.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Rect {
    pub(super) left: f64,
    pub(super) top: f64,
    pub(super) right: f64,
    pub(super) bottom: f64,
}

impl Rect {
    pub(super) fn width(&self) -> f64 {
        self.right - self.left
    }

    pub(super) fn height(&self) -> f64 {
        self.bottom - self.top
    }
}

/// How text looks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Type {
    pub(super) em: f64,
    pub(super) weight: Weight,
    pub(super) colour: Rgb,
}

impl Type {
    pub(super) const fn regular(em: f64, colour: Rgb) -> Self {
        Self {
            em,
            weight: Weight::Regular,
            colour,
        }
    }

    pub(super) const fn bold(em: f64, colour: Rgb) -> Self {
        Self {
            em,
            weight: Weight::Bold,
            colour,
        }
    }

    pub(super) fn width(&self, text: &str) -> f64 {
        text::width(text, self.em, self.weight)
    }
}

/// How a line looks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Line {
    pub(super) colour: Rgb,
    pub(super) opacity: f64,
    pub(super) width: f64,
    pub(super) dash: Dash,
}

impl Line {
    pub(super) const fn solid(width: f64, colour: Rgb) -> Self {
        Self {
            colour,
            opacity: 1.0,
            width,
            dash: &[],
        }
    }
}

/// What a [`Figure`](super::Figure) draws with: plotters' drawing area, in pixels as shown.
pub struct Pen<'a, DB: DrawingBackend> {
    area: &'a DrawingArea<DB, Shift>,
}

impl<'a, DB: DrawingBackend> Pen<'a, DB> {
    /// A pen on a white area.
    pub(super) fn new(area: &'a DrawingArea<DB, Shift>) -> Result<Self> {
        register_fonts();
        area.fill(&colour(WHITE, 1.0))?;
        Ok(Self { area })
    }

    /// A line through `points`.
    pub(super) fn line(&self, points: &[Point], line: Line) -> Result<()> {
        let style = ShapeStyle {
            color: colour(line.colour, line.opacity),
            filled: false,
            stroke_width: ((line.width * f64::from(FINE)).round() as u32).max(1),
        };
        for stroke in dashes(points, line.dash) {
            let mut fine: Vec<(i32, i32)> = stroke.into_iter().map(fine).collect();
            fine.dedup();
            if fine.len() > 1 {
                self.area.draw(&PathElement::new(thin_out(&fine), style))?;
            }
        }
        Ok(())
    }

    /// A filled rectangle.
    pub(super) fn rectangle(&self, rect: Rect, fill: Rgb, opacity: f64) -> Result<()> {
        let corners = [fine((rect.left, rect.top)), fine((rect.right, rect.bottom))];
        self.area
            .draw(&Rectangle::new(corners, colour(fill, opacity).filled()))?;
        Ok(())
    }

    /// A filled polygon.
    pub(super) fn polygon(&self, points: &[Point], fill: Rgb, opacity: f64) -> Result<()> {
        let corners: Vec<_> = points.iter().copied().map(fine).collect();
        self.area
            .draw(&Polygon::new(corners, colour(fill, opacity).filled()))?;
        Ok(())
    }

    /// A mark of about `size` pixels across around a place.
    pub(super) fn marker(&self, (x, y): Point, marker: Marker, size: f64, fill: Rgb) -> Result<()> {
        let half = size / 2.0;
        let corners = match marker {
            Marker::Disc => {
                let corner = |i: i32| {
                    let angle = f64::from(i) / 16.0 * std::f64::consts::TAU;
                    (x + half * angle.cos(), y + half * angle.sin())
                };
                (0..16).map(corner).collect()
            }
            Marker::Square => {
                let h = 0.9 * half;
                vec![
                    (x - h, y - h),
                    (x + h, y - h),
                    (x + h, y + h),
                    (x - h, y + h),
                ]
            }
            Marker::Triangle => vec![
                (x, y - 1.2 * half),
                (x + 1.15 * half, y + half),
                (x - 1.15 * half, y + half),
            ],
            Marker::Diamond => {
                let h = 1.2 * half;
                vec![(x, y - h), (x + h, y), (x, y + h), (x - h, y)]
            }
        };
        self.polygon(&corners, fill, 1.0)
    }

    /// Text at its anchor.
    pub(super) fn text(
        &self,
        text: &str,
        at: Point,
        anchor: (HPos, VPos),
        kind: Type,
    ) -> Result<()> {
        let style = text_style(kind, anchor);
        self.area.draw_text(text, &style, fine(at))?;
        Ok(())
    }

    /// Text that reads upwards, centred on a place.
    pub(super) fn text_upwards(&self, text: &str, at: Point, kind: Type) -> Result<()> {
        let style =
            text_style(kind, (HPos::Center, VPos::Center)).transform(FontTransform::Rotate270);
        self.area.draw_text(text, &style, fine(at))?;
        Ok(())
    }

    /// The outline of a rectangle.
    pub(super) fn frame(&self, rect: Rect, line: Line) -> Result<()> {
        let (left, top, right, bottom) = (rect.left, rect.top, rect.right, rect.bottom);
        // Running on over the first side closes the first corner too.
        self.line(
            &[
                (left, top),
                (right, top),
                (right, bottom),
                (left, bottom),
                (left, top),
                (right, top),
            ],
            line,
        )
    }
}

fn text_style(kind: Type, (h_pos, v_pos): (HPos, VPos)) -> TextStyle<'static> {
    let style = match kind.weight {
        Weight::Regular => FontStyle::Normal,
        Weight::Bold => FontStyle::Bold,
    };
    let size = kind.em * SIZE_PER_EM * f64::from(FINE);
    let font = FontDesc::new(FontFamily::Name(text::FAMILY), size, style);
    font.color(&colour(kind.colour, 1.0))
        .pos(Pos::new(h_pos, v_pos))
}

fn colour(Rgb(r, g, b): Rgb, opacity: f64) -> RGBAColor {
    RGBColor(r, g, b).mix(opacity)
}

fn fine((x, y): Point) -> (i32, i32) {
    let scale = |length: f64| (length * f64::from(FINE)).round() as i32;
    (scale(x), scale(y))
}

/// The points without those in the middle of a straight run, which a line with many steps is full of.
fn thin_out(points: &[(i32, i32)]) -> Vec<(i32, i32)> {
    let mut thin: Vec<(i32, i32)> = Vec::new();
    for &point in points {
        if let [.., a, b] = thin[..] {
            let (ab, bp) = ((b.0 - a.0, b.1 - a.1), (point.0 - b.0, point.1 - b.1));
            let cross = i64::from(ab.0) * i64::from(bp.1) - i64::from(ab.1) * i64::from(bp.0);
            let dot = i64::from(ab.0) * i64::from(bp.0) + i64::from(ab.1) * i64::from(bp.1);
            if cross == 0 && dot > 0 {
                thin.pop();
            }
        }
        thin.push(point);
    }
    thin
}

/// Makes the embedded font known to plotters, which measures and draws no text without.
fn register_fonts() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        for (style, bytes) in [
            (FontStyle::Normal, text::REGULAR),
            (FontStyle::Bold, text::BOLD),
        ] {
            assert!(
                register_font(text::FAMILY, style, bytes).is_ok(),
                "the embedded font is a valid font file"
            );
        }
    });
}
