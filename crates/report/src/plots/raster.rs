//! The drawing backend behind the PNG files.
//!
//! Plotters' own bitmap backend draws thick lines without smoothing and sets glyphs on whole pixels. This one
//! paints hard edges on a canvas several times finer than the picture, which is then averaged down, and puts
//! text where the SVG backend puts it, so that a plot's two files agree.

use std::convert::Infallible;

use plotters_backend::text_anchor::{HPos, VPos};
use plotters_backend::{
    BackendColor, BackendCoord, BackendStyle, BackendTextStyle, DrawingBackend, DrawingErrorKind,
    FontStyle,
};

use crate::canvas::Canvas;
use crate::palette::Rgb;
use crate::text::{self, Weight, X_HEIGHT};

type Drawn = Result<(), DrawingErrorKind<Infallible>>;
type Point = (f64, f64);

/// Plotters' font size over the em, as its SVG backend has it.
pub(super) const SIZE_PER_EM: f64 = 1.24;

pub(super) struct Raster<'a> {
    pub(super) canvas: &'a mut Canvas,
}

impl Raster<'_> {
    /// Fills the union of `shapes` with one layer of colour, so that overlaps do not show.
    fn fill(&mut self, shapes: &[Vec<Point>], colour: BackendColor) {
        let Some((left, top, right, bottom)) = bounds(shapes.iter().flatten()) else {
            return;
        };
        let (width, height) = self.canvas.size();
        let (left, top) = (
            left.floor().max(0.0) as usize,
            top.floor().max(0.0) as usize,
        );
        let (right, bottom) = (
            (right.ceil() as usize).min(width),
            (bottom.ceil() as usize).min(height),
        );
        if left >= right || top >= bottom {
            return;
        }
        let stride = right - left;
        let mut inside = vec![false; stride * (bottom - top)];
        for shape in shapes {
            spans(shape, top, bottom, |y, from, to| {
                let pixel = |x: f64| (x.round() as usize).clamp(left, right) - left;
                inside[(y - top) * stride..][..stride][pixel(from)..pixel(to).max(pixel(from))]
                    .fill(true);
            });
        }
        let (r, g, b) = colour.rgb;
        for (i, _) in inside.iter().enumerate().filter(|&(_, &inside)| inside) {
            let (x, y) = (left + i % stride, top + i / stride);
            self.canvas
                .blend(x as i32, y as i32, Rgb(r, g, b), colour.alpha);
        }
    }
}

impl DrawingBackend for Raster<'_> {
    type ErrorType = Infallible;

    fn get_size(&self) -> (u32, u32) {
        let (width, height) = self.canvas.size();
        (width as u32, height as u32)
    }

    fn ensure_prepared(&mut self) -> Drawn {
        Ok(())
    }

    fn present(&mut self) -> Drawn {
        Ok(())
    }

    fn draw_pixel(&mut self, (x, y): BackendCoord, colour: BackendColor) -> Drawn {
        let (r, g, b) = colour.rgb;
        self.canvas.blend(x, y, Rgb(r, g, b), colour.alpha);
        Ok(())
    }

    fn draw_line<S: BackendStyle>(
        &mut self,
        from: BackendCoord,
        to: BackendCoord,
        style: &S,
    ) -> Drawn {
        self.draw_path([from, to], style)
    }

    fn draw_path<S: BackendStyle, I: IntoIterator<Item = BackendCoord>>(
        &mut self,
        path: I,
        style: &S,
    ) -> Drawn {
        let points: Vec<Point> = path.into_iter().map(float).collect();
        let half = f64::from(style.stroke_width()) / 2.0;
        let mut shapes: Vec<_> = points
            .windows(2)
            .filter_map(|ends| thick(ends[0], ends[1], half))
            .collect();
        // Inner corners are rounded; the two ends of the line are left square.
        let corners = points
            .get(1..points.len().saturating_sub(1))
            .unwrap_or_default();
        shapes.extend(corners.iter().map(|&corner| disc(corner, half)));
        self.fill(&shapes, style.color());
        Ok(())
    }

    fn draw_rect<S: BackendStyle>(
        &mut self,
        upper_left: BackendCoord,
        bottom_right: BackendCoord,
        style: &S,
        fill: bool,
    ) -> Drawn {
        let ((left, top), (right, bottom)) = (upper_left, bottom_right);
        let corners = [(left, top), (right, top), (right, bottom), (left, bottom)];
        if fill {
            return self.fill_polygon(corners, style);
        }
        self.draw_path(corners.into_iter().chain([corners[0], corners[1]]), style)
    }

    fn draw_circle<S: BackendStyle>(
        &mut self,
        centre: BackendCoord,
        radius: u32,
        style: &S,
        fill: bool,
    ) -> Drawn {
        let outline = disc(float(centre), f64::from(radius));
        if fill {
            self.fill(&[outline], style.color());
            return Ok(());
        }
        let ring = outline
            .iter()
            .chain(&outline[..2])
            .map(|&(x, y)| (x.round() as i32, y.round() as i32));
        self.draw_path(ring.collect::<Vec<_>>(), style)
    }

    fn fill_polygon<S: BackendStyle, I: IntoIterator<Item = BackendCoord>>(
        &mut self,
        path: I,
        style: &S,
    ) -> Drawn {
        self.fill(&[path.into_iter().map(float).collect()], style.color());
        Ok(())
    }

    fn draw_text<S: BackendTextStyle>(&mut self, text: &str, style: &S, at: BackendCoord) -> Drawn {
        let em = style.size() / SIZE_PER_EM;
        let weight = match style.style() {
            FontStyle::Bold => Weight::Bold,
            _ => Weight::Regular,
        };
        let width = text::width(text, em, weight);
        let x = match style.anchor().h_pos {
            HPos::Left => 0.0,
            HPos::Center => -width / 2.0,
            HPos::Right => -width,
        };
        // The SVG backend's shifts: 0.76em, 0.5ex and -0.5ex.
        let y = match style.anchor().v_pos {
            VPos::Top => 0.76 * em,
            VPos::Center => 0.5 * X_HEIGHT * em,
            VPos::Bottom => -0.5 * X_HEIGHT * em,
        };
        let colour = style.color();
        let (r, g, b) = colour.rgb;
        let turn = style.transform();
        text::rasterise(text, em, weight, (x, y), |dx, dy, coverage| {
            let (dx, dy) = turn.transform(dx, dy);
            let opacity = f64::from(coverage) * colour.alpha;
            self.canvas
                .blend(at.0 + dx, at.1 + dy, Rgb(r, g, b), opacity);
        });
        Ok(())
    }
}

fn float((x, y): BackendCoord) -> Point {
    (f64::from(x), f64::from(y))
}

fn bounds<'a>(points: impl Iterator<Item = &'a Point>) -> Option<(f64, f64, f64, f64)> {
    points.fold(None, |bounds, &(x, y)| match bounds {
        None => Some((x, y, x, y)),
        Some((left, top, right, bottom)) => {
            Some((x.min(left), y.min(top), x.max(right), y.max(bottom)))
        }
    })
}

/// The rectangle that a line of twice `half` width covers; none for a line without length.
fn thick((x0, y0): Point, (x1, y1): Point, half: f64) -> Option<Vec<Point>> {
    let length = (x1 - x0).hypot(y1 - y0);
    if length == 0.0 {
        return None;
    }
    let (dx, dy) = ((y1 - y0) / length * half, (x0 - x1) / length * half);
    Some(vec![
        (x0 + dx, y0 + dy),
        (x1 + dx, y1 + dy),
        (x1 - dx, y1 - dy),
        (x0 - dx, y0 - dy),
    ])
}

/// A polygon that passes for a disc at this resolution.
fn disc((x, y): Point, radius: f64) -> Vec<Point> {
    const SIDES: u32 = 24;
    let corner = |i| {
        let angle = f64::from(i) / f64::from(SIDES) * std::f64::consts::TAU;
        (x + radius * angle.cos(), y + radius * angle.sin())
    };
    (0..SIDES).map(corner).collect()
}

/// Calls `span(y, from, to)` for the stretches of the pixel rows `top..bottom` whose middle is inside `shape`.
fn spans(shape: &[Point], top: usize, bottom: usize, mut span: impl FnMut(usize, f64, f64)) {
    let Some((_, first, _, last)) = bounds(shape.iter()) else {
        return;
    };
    let rows =
        (first.floor().max(top as f64) as usize)..(last.ceil().max(0.0) as usize).min(bottom);
    let mut crossings = Vec::new();
    for y in rows {
        let middle = y as f64 + 0.5;
        crossings.clear();
        for (i, &(x0, y0)) in shape.iter().enumerate() {
            let (x1, y1) = shape[(i + 1) % shape.len()];
            if (y0 <= middle) != (y1 <= middle) {
                crossings.push(x0 + (middle - y0) / (y1 - y0) * (x1 - x0));
            }
        }
        crossings.sort_by(f64::total_cmp);
        for pair in crossings.chunks_exact(2) {
            span(y, pair[0], pair[1]);
        }
    }
}
