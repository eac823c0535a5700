//! Weights by formula, for networks that are too large to ship with a case.

/// FNV-1a, 32 bits, of the UTF-8 bytes of a state-dict key.
pub fn key_hash(key: &str) -> u32 {
    key.bytes().fold(2_166_136_261, |hash, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(16_777_619)
    })
}

/// The `u` in [0, 1) of the entry at row-major position `index` of the tensor under `key`.
pub fn procedural_uniform(key: &str, index: usize) -> f64 {
    uniform(f64::from(key_hash(key) % 10_007), index)
}

fn uniform(offset: f64, index: usize) -> f64 {
    // Two roundings, as the reference: a fused multiply-add would move the result by up to 1e-4.
    let product = (index + 1) as f64 * 12.9898;
    let value = (product + offset).sin() * 43_758.545_3;
    value - value.floor()
}

/// The values, in row-major order, of the tensor of `shape` under a state-dict `key`: the oracles' "procedural
/// weights".
pub fn procedural(key: &str, shape: &[usize]) -> Vec<f32> {
    let count: usize = shape.iter().product();
    if key.ends_with("num_batches_tracked") {
        return vec![0.0; count];
    }
    let offset = f64::from(key_hash(key) % 10_007);
    let fan_in: usize = shape.iter().skip(1).product();
    let of = |index| {
        let u = uniform(offset, index);
        let c = 2.0 * u - 1.0;
        let value = match key {
            _ if shape.len() > 1 => c * (3.0 / fan_in as f64).sqrt(),
            _ if key.ends_with("running_var") => 1.0 + 0.5 * u,
            _ if key.ends_with("weight") => 1.0 + 0.1 * c,
            _ => 0.1 * c,
        };
        value as f32
    };
    (0..count).map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reference_points_of_the_hash() {
        assert_eq!(key_hash(""), 2_166_136_261);
        assert_eq!(key_hash("a"), 3_826_002_220);
    }
}
