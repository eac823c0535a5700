//! How a number is printed, wherever it is printed.

/// What stands where a value is missing or undefined.
pub const MISSING: &str = "–";

/// A fraction in percent without the sign: `percent(0.9431, 1)` is `94.3`. Not a number is [`MISSING`].
pub fn percent(fraction: f64, decimals: usize) -> String {
    fixed(fraction * 100.0, decimals)
}

/// A number with fixed decimals, without a negative zero. Not a number is [`MISSING`].
pub fn fixed(value: f64, decimals: usize) -> String {
    if !value.is_finite() {
        return MISSING.to_owned();
    }
    let text = format!("{value:.decimals$}");
    match text.strip_prefix('-') {
        Some(digits) if digits.chars().all(|c| c == '0' || c == '.') => digits.to_owned(),
        _ => text,
    }
}

/// An interval of fractions in percent: `percent_interval(0.931, 0.95, 1)` is `[93.1, 95.0]`.
pub fn percent_interval(low: f64, high: f64, decimals: usize) -> String {
    format!("[{}, {}]", percent(low, decimals), percent(high, decimals))
}

/// A fraction in percent with its interval, if it has one: `94.3 [93.1, 95.0]`.
pub fn percent_with_interval(
    fraction: f64,
    interval: Option<(f64, f64)>,
    decimals: usize,
) -> String {
    match interval {
        Some((low, high)) => {
            format!(
                "{} {}",
                percent(fraction, decimals),
                percent_interval(low, high, decimals)
            )
        }
        None => percent(fraction, decimals),
    }
}

/// A difference of two fractions in percentage points, always with its sign: `+0.3`, `−0.3`, `0.0`.
pub fn points(difference: f64, decimals: usize) -> String {
    let text = percent(difference, decimals);
    match text.strip_prefix('-') {
        Some(digits) => format!("−{digits}"),
        None if text == MISSING || text.chars().all(|c| c == '0' || c == '.') => text,
        None => format!("+{text}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_print_as_documented() {
        assert_eq!(percent(0.9431, 1), "94.3");
        assert_eq!(percent(1.0, 2), "100.00");
        assert_eq!(percent(f64::NAN, 1), "–");
        assert_eq!(fixed(-0.0001, 2), "0.00");
        assert_eq!(
            percent_with_interval(0.943, Some((0.931, 0.95)), 1),
            "94.3 [93.1, 95.0]"
        );
        assert_eq!(percent_with_interval(0.943, None, 1), "94.3");
        assert_eq!(
            [
                points(0.003, 1),
                points(-0.003, 1),
                points(-0.0001, 1),
                points(f64::NAN, 1)
            ],
            ["+0.3", "−0.3", "0.0", "–"]
        );
    }
}
