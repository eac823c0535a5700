//! Nearest-neighbour resize as torch does it.

/// The input position of each of `output` positions: `floor(i * (input / output))` in 32-bit floats, at most the
/// last one. For some sizes (234 to 224) that is one less than whole numbers would give at a few places.
pub fn nearest_index(input: usize, output: usize) -> Vec<usize> {
    let scale = input as f32 / output as f32;
    let last = input.saturating_sub(1);
    (0..output)
        .map(|position| ((position as f32 * scale) as usize).min(last))
        .collect()
}

/// Resizes planes `[plane, input.0, input.1]` to `[plane, output.0, output.1]` (height, width).
///
/// # Panics
///
/// If `values` is no whole number of planes, or a plane is empty while the output is not.
pub fn nearest<T: Copy>(values: &[T], input: (usize, usize), output: (usize, usize)) -> Vec<T> {
    let size = input.0 * input.1;
    assert!(
        size > 0 && values.len().is_multiple_of(size),
        "{} values are no planes of {input:?}",
        values.len()
    );
    let (rows, columns) = (
        nearest_index(input.0, output.0),
        nearest_index(input.1, output.1),
    );
    let mut resized = Vec::with_capacity(values.len() / size * output.0 * output.1);
    for plane in values.chunks(size) {
        for row in &rows {
            resized.extend(columns.iter().map(|column| plane[row * input.1 + column]));
        }
    }
    resized
}
