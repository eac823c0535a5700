//! Text in pictures: the embedded font, its measures, and its glyphs as coverage.

use std::sync::OnceLock;

use ab_glyph::{Font, FontRef, GlyphId, PxScale, ScaleFont, point};

/// The font's name in SVG files, with what to take where it is not installed.
pub(crate) const FAMILY: &str = "DejaVu Sans, sans-serif";

/// The embedded font files; see `assets/DejaVu-LICENSE.txt`.
pub(crate) const REGULAR: &[u8] = include_bytes!("../assets/DejaVuSans.ttf");
/// The bold cut of [`REGULAR`].
pub(crate) const BOLD: &[u8] = include_bytes!("../assets/DejaVuSans-Bold.ttf");

/// Height of a lower-case x over the em, for placing text by its middle.
pub(crate) const X_HEIGHT: f64 = 0.547;

/// A cut of the font.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Weight {
    Regular,
    Bold,
}

fn font(weight: Weight) -> &'static FontRef<'static> {
    static FONTS: OnceLock<[FontRef<'static>; 2]> = OnceLock::new();
    let parse =
        |bytes| FontRef::try_from_slice(bytes).expect("the embedded font is a valid font file");
    let [regular, bold] = FONTS.get_or_init(|| [parse(REGULAR), parse(BOLD)]);
    match weight {
        Weight::Regular => regular,
        Weight::Bold => bold,
    }
}

/// The scale at which the em is `em` pixels: the font library counts from ascent to descent instead.
fn scale(font: &FontRef, em: f64) -> PxScale {
    let units_per_em = font.units_per_em().unwrap_or(2048.0);
    PxScale::from(em as f32 * font.height_unscaled() / units_per_em)
}

/// The width of `text` in pixels at `em` pixels an em.
pub(crate) fn width(text: &str, em: f64, weight: Weight) -> f64 {
    let mut end = 0.0;
    lay_out(text, em, weight, |_, _, advance| end = advance);
    f64::from(end)
}

/// Calls `put(x, y, coverage)` for every pixel that `text` touches, with its baseline starting at `(x, y)`.
pub(crate) fn rasterise(
    text: &str,
    em: f64,
    weight: Weight,
    (x, y): (f64, f64),
    mut put: impl FnMut(i32, i32, f32),
) {
    let font = font(weight);
    let scale = scale(font, em);
    lay_out(text, em, weight, |id, start, _| {
        let glyph = id.with_scale_and_position(scale, point(x as f32 + start, y as f32));
        if let Some(outline) = font.outline_glyph(glyph) {
            let corner = outline.px_bounds().min;
            outline.draw(|dx, dy, coverage| {
                put(
                    corner.x as i32 + dx as i32,
                    corner.y as i32 + dy as i32,
                    coverage.min(1.0),
                );
            });
        }
    });
}

/// Calls `glyph(id, start, end)` with every glyph's place along the baseline.
fn lay_out(text: &str, em: f64, weight: Weight, mut glyph: impl FnMut(GlyphId, f32, f32)) {
    let font = font(weight);
    let scaled = font.as_scaled(scale(font, em));
    let mut x = 0.0;
    let mut previous = None;
    for c in text.chars() {
        let id = font.glyph_id(c);
        if let Some(previous) = previous {
            x += scaled.kern(previous, id);
        }
        let end = x + scaled.h_advance(id);
        glyph(id, x, end);
        x = end;
        previous = Some(id);
    }
}
