//! The loss curve: one row every so many steps.

use std::fmt::Write;

/// A point of the curve.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Point {
    /// Steps made.
    pub step: usize,
    /// Images seen.
    pub images: usize,
    /// Mean training loss since the last point.
    pub loss: f64,
    /// Learning rate.
    pub learning_rate: f64,
    /// Seconds of training, over all resumed parts.
    pub seconds: f64,
}

/// The curve as CSV with a heading.
pub(crate) fn csv(points: &[Point]) -> String {
    let mut text = String::from("step,images,loss,learning_rate,seconds\n");
    for p in points {
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "{},{},{},{},{:.1}",
            p.step, p.images, p.loss, p.learning_rate, p.seconds
        );
    }
    text
}
