//! Quantiles by linear interpolation between order statistics.

/// The `q`-quantile (`q` in `[0, 1]`) of `values`, linearly interpolated between the two nearest order
/// statistics at position `q (n - 1)`: NumPy's default, Hyndman and Fan's type 7 (1996).
/// `None` for an empty input or a `q` outside `[0, 1]`. The order of `values` is lost.
pub fn quantile(values: &mut [f64], q: f64) -> Option<f64> {
    if values.is_empty() || !(0.0..=1.0).contains(&q) {
        return None;
    }
    let position = q * (values.len() - 1) as f64;
    let below = position.floor() as usize;
    let (_, &mut low, above) = values.select_nth_unstable_by(below, f64::total_cmp);
    let high = above.iter().copied().min_by(f64::total_cmp).unwrap_or(low);
    Some(low + (high - low) * (position - below as f64))
}

#[cfg(test)]
mod tests {
    use super::quantile;

    #[test]
    fn interpolates_as_numpy_does() {
        let mut values = [3.0, 1.0, 2.0, 4.0];
        assert_eq!(quantile(&mut values, 0.0), Some(1.0));
        assert_eq!(quantile(&mut values, 1.0), Some(4.0));
        assert_eq!(quantile(&mut values, 0.5), Some(2.5));
        assert_eq!(quantile(&mut values, 0.25), Some(1.75));
        assert_eq!(quantile(&mut [], 0.5), None);
        assert_eq!(quantile(&mut values, 1.5), None);
    }
}
