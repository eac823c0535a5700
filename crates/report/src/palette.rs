//! Colours and line patterns that stay apart for colour-blind readers and on grey paper.

/// A colour as red, green and blue, 0 to 255 each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rgb(pub u8, pub u8, pub u8);

/// Black.
pub const BLACK: Rgb = Rgb(0, 0, 0);
/// White, the ground of every picture.
pub const WHITE: Rgb = Rgb(255, 255, 255);
/// Text that stands back: captions, tick labels.
pub const SOFT: Rgb = Rgb(70, 70, 70);
/// Axes and frames.
pub const FRAME: Rgb = Rgb(130, 130, 130);
/// Grid lines.
pub const GRID: Rgb = Rgb(228, 228, 228);
/// In-distribution, or a decision that is right.
pub const BLUE: Rgb = Rgb(0, 114, 178);
/// Out-of-distribution, or a decision that is wrong.
pub const VERMILLION: Rgb = Rgb(213, 94, 0);

/// The colours of Okabe and Ito, "Color Universal Design" (2008), without yellow, which is lost on white.
pub const OKABE_ITO: [Rgb; 7] = [
    BLUE,
    VERMILLION,
    Rgb(0, 158, 115),
    Rgb(204, 121, 167),
    BLACK,
    Rgb(230, 159, 0),
    Rgb(86, 180, 233),
];

/// Lengths of strokes and gaps in turn, in pixels; empty for an unbroken line.
pub type Dash = &'static [f64];

/// Dash patterns, each told from the next at a glance.
pub const DASHES: [Dash; 5] = [
    &[],
    &[9.0, 4.0],
    &[2.0, 3.0],
    &[10.0, 3.5, 2.0, 3.5],
    &[4.0, 3.0],
];

/// The marks of data points.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Marker {
    /// A filled disc.
    Disc,
    /// A filled square.
    Square,
    /// A filled triangle, point up.
    Triangle,
    /// A filled square on its corner.
    Diamond,
}

/// How the series at a place in a plot is drawn.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SeriesStyle {
    /// The line's colour.
    pub colour: Rgb,
    /// The line's dash pattern.
    pub dash: Dash,
    /// The mark of its points.
    pub marker: Marker,
}

/// The style of the series at `index`; the first 35 differ from each other in colour or dash pattern.
pub fn series_style(index: usize) -> SeriesStyle {
    const MARKERS: [Marker; 4] = [
        Marker::Disc,
        Marker::Square,
        Marker::Triangle,
        Marker::Diamond,
    ];
    SeriesStyle {
        colour: OKABE_ITO[index % OKABE_ITO.len()],
        dash: DASHES[index % DASHES.len()],
        marker: MARKERS[index % MARKERS.len()],
    }
}

/// The colour of a difference `t` in `[0, 1]` (clamped): white for none, dark red for the full range.
///
/// The stops are those of ColorBrewer's "Reds"; lightness falls evenly, so the map reads the same in grey.
/// Not a number is black, the one colour that no difference has.
pub fn difference(t: f64) -> Rgb {
    const STOPS: [Rgb; 6] = [
        WHITE,
        Rgb(254, 224, 210),
        Rgb(252, 146, 114),
        Rgb(239, 59, 44),
        Rgb(165, 15, 21),
        Rgb(80, 0, 10),
    ];
    if t.is_nan() {
        return BLACK;
    }
    let place = t.clamp(0.0, 1.0) * (STOPS.len() - 1) as f64;
    let low = (place as usize).min(STOPS.len() - 2);
    mix(STOPS[low], STOPS[low + 1], place - low as f64)
}

/// `share` of `b` over `a`, for a share in `[0, 1]`.
pub fn mix(a: Rgb, b: Rgb, share: f64) -> Rgb {
    let channel =
        |a: u8, b: u8| (f64::from(a) + (f64::from(b) - f64::from(a)) * share).round() as u8;
    Rgb(channel(a.0, b.0), channel(a.1, b.1), channel(a.2, b.2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_differ() {
        for a in 0..35 {
            for b in 0..a {
                let (a, b) = (series_style(a), series_style(b));
                assert!(a.colour != b.colour || a.dash != b.dash);
            }
        }
    }

    #[test]
    fn differences_darken_steadily() {
        let luma = |t: f64| {
            let Rgb(r, g, b) = difference(t);
            0.2126 * f64::from(r) + 0.7152 * f64::from(g) + 0.0722 * f64::from(b)
        };
        assert_eq!(difference(-1.0), WHITE);
        assert_eq!(difference(f64::NAN), BLACK);
        for step in 0..100 {
            assert!(luma(f64::from(step) / 100.0) > luma(f64::from(step + 1) / 100.0));
        }
    }
}
