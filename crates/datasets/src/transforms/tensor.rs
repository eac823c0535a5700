//! Bilinear resize of float planes as torch does it; not PIL's arithmetic: nothing is rounded to 8 bits.

/// Whether a resize averages where it shrinks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Antialias {
    /// It does (torchvision's default since 0.17).
    On,
    /// It looks at the two nearest values only (the default before, and what DiffGuard's tables were made with).
    Off,
}

/// The weights of one output position: the first input position and a weight for each from there on.
struct Taps {
    first: usize,
    weights: Vec<f32>,
}

/// Resizes planes `[plane, input.0, input.1]` to `[plane, output.0, output.1]` (height, width), bilinear, pixel
/// centres at half integers (`align_corners = false`).
///
/// # Panics
///
/// If `values` is no whole number of planes, or a plane or the output is empty.
pub fn resize_planes(
    values: &[f32],
    input: (usize, usize),
    output: (usize, usize),
    antialias: Antialias,
) -> Vec<f32> {
    let size = input.0 * input.1;
    assert!(
        size > 0 && values.len().is_multiple_of(size),
        "{} values are no planes of {input:?}",
        values.len()
    );
    assert!(
        output.0 > 0 && output.1 > 0,
        "no planes of {output:?} can be made"
    );
    let taps = match antialias {
        Antialias::On => averaging,
        Antialias::Off => two_nearest,
    };
    let (rows, columns) = (taps(input.0, output.0), taps(input.1, output.1));
    let mut resized = Vec::with_capacity(values.len() / size * output.0 * output.1);
    for plane in values.chunks(size) {
        let lines = plane.chunks(input.1);
        let across: Vec<f32> = lines
            .flat_map(|line| {
                columns
                    .iter()
                    .map(|taps| weigh(taps, |column| line[column]))
            })
            .collect();
        for taps in &rows {
            resized.extend(
                (0..output.1).map(|column| weigh(taps, |row| across[row * output.1 + column])),
            );
        }
    }
    resized
}

fn weigh(taps: &Taps, value: impl Fn(usize) -> f32) -> f32 {
    taps.weights
        .iter()
        .zip(taps.first..)
        .map(|(weight, place)| weight * value(place))
        .sum()
}

/// The two values that a position lies between.
fn two_nearest(input: usize, output: usize) -> Vec<Taps> {
    let scale = input as f32 / output as f32;
    (0..output)
        .map(|position| {
            let place = ((position as f32 + 0.5) * scale - 0.5).max(0.0);
            let first = (place as usize).min(input - 1);
            let share = place - first as f32;
            let weights = if first + 1 < input {
                vec![1.0 - share, share]
            } else {
                vec![1.0]
            };
            Taps { first, weights }
        })
        .collect()
}

/// A triangle that grows with the factor where the picture shrinks. All in 32-bit floats, as torch has it: far from
/// the first position the centre is rounded visibly.
fn averaging(input: usize, output: usize) -> Vec<Taps> {
    let scale = input as f32 / output as f32;
    let support = scale.max(1.0);
    (0..output)
        .map(|position| {
            let centre = (position as f32 + 0.5) * scale;
            let first = (centre - support + 0.5).max(0.0) as usize;
            let end = ((centre + support + 0.5) as usize).min(input);
            let triangle =
                |place: usize| (1.0 - ((place as f32 - centre + 0.5) / support).abs()).max(0.0);
            let sum: f32 = (first..end).map(triangle).sum();
            Taps {
                first,
                weights: (first..end).map(|place| triangle(place) / sum).collect(),
            }
        })
        .collect()
}
