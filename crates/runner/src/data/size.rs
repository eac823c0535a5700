//! Sizes as people read them.

/// Bytes in the largest unit of a thousand that leaves a digit before the point.
pub fn size(bytes: u64) -> String {
    let units = [(1_000_000_000, "GB"), (1_000_000, "MB"), (1_000, "kB")];
    match units.into_iter().find(|&(unit, _)| bytes >= unit) {
        Some((unit, name)) => {
            let value = bytes as f64 / unit as f64;
            match value < 9.95 {
                true => format!("{value:.1} {name}"),
                false => format!("{value:.0} {name}"),
            }
        }
        None => format!("{bytes} B"),
    }
}

#[cfg(test)]
mod tests {
    use super::size;

    #[test]
    fn sizes_are_short() {
        assert_eq!(size(999), "999 B");
        assert_eq!(size(1000), "1.0 kB");
        assert_eq!(size(138_940_914), "139 MB");
        assert_eq!(size(2_400_000_000), "2.4 GB");
    }
}
