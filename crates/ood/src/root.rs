//! The root of a function of one variable.

/// The positive root of `f`, negative at first and increasing; `None` where it stays negative up to 1e12.
pub(crate) fn of_increasing(f: impl Fn(f64) -> f64) -> Option<f64> {
    let (mut low, mut high) = (0.0, 1.0);
    while f(high) < 0.0 {
        low = high;
        high *= 2.0;
        if high > 1e12 {
            return None;
        }
    }
    for _ in 0..100 {
        let middle = 0.5 * (low + high);
        match f(middle) < 0.0 {
            true => low = middle,
            false => high = middle,
        }
    }
    Some(0.5 * (low + high))
}

#[cfg(test)]
mod tests {
    use super::of_increasing;

    #[test]
    fn roots_to_the_last_digits() {
        for root in [1e-9, 0.3, 1.0, 777.7] {
            let found = of_increasing(|x| x - root).unwrap();
            assert!((found - root).abs() <= 1e-15 * root.max(1.0), "{found}");
        }
        assert_eq!(of_increasing(|_| -1.0), None);
    }
}
