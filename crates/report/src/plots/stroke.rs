//! Cutting a line into dashes.

use super::pen::Point;
use crate::palette::Dash;

/// The strokes of a line through `points`, whole where `dash` is empty. The pattern runs on around corners.
pub(super) fn dashes(points: &[Point], dash: Dash) -> Vec<Vec<Point>> {
    if dash.is_empty() || points.len() < 2 {
        return vec![points.to_vec()];
    }
    let mut strokes = Vec::new();
    let mut stroke = vec![points[0]];
    let mut turn = 0;
    let mut left = dash[0];
    for ends in points.windows(2) {
        let ((x0, y0), (x1, y1)) = (ends[0], ends[1]);
        let length = (x1 - x0).hypot(y1 - y0);
        let mut done = 0.0;
        while length - done > left {
            done += left;
            let at = (
                x0 + (x1 - x0) * done / length,
                y0 + (y1 - y0) * done / length,
            );
            if turn % 2 == 0 {
                stroke.push(at);
                strokes.push(std::mem::take(&mut stroke));
            } else {
                stroke = vec![at];
            }
            turn += 1;
            left = dash[turn % dash.len()];
        }
        left -= length - done;
        if turn % 2 == 0 {
            stroke.push((x1, y1));
        }
    }
    if stroke.len() > 1 {
        strokes.push(stroke);
    }
    strokes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pattern_runs_on_around_a_corner() {
        let corner = [(0.0, 0.0), (3.0, 0.0), (3.0, 4.0)];
        assert_eq!(dashes(&corner, &[]), [corner.to_vec()]);
        assert_eq!(
            dashes(&corner, &[2.0, 2.0]),
            [vec![(0.0, 0.0), (2.0, 0.0)], vec![(3.0, 1.0), (3.0, 3.0)]]
        );
        assert_eq!(
            dashes(&corner, &[5.0, 1.0])[0],
            [(0.0, 0.0), (3.0, 0.0), (3.0, 2.0)]
        );
    }
}
