//! libjpeg's arithmetic: inverse transform and upsampling.

/// Binary digits after the point of the constants.
const DIGITS: u32 = 13;

/// Further ones kept between the two passes.
const BETWEEN: u32 = 2;

/// Dequantises a block, transforms it back, and puts its 8 x 8 samples at the front of `out`, `stride` apart.
pub(super) fn inverse(block: &[i16; 64], table: &[u16; 64], out: &mut [u8], stride: usize) {
    let mut middle = [0i32; 64];
    for column in 0..8 {
        let at = |row: usize| {
            let place = row * 8 + column;
            i32::from(block[place]).wrapping_mul(i32::from(table[place]))
        };
        let values = [at(0), at(1), at(2), at(3), at(4), at(5), at(6), at(7)];
        if values[1..] == [0; 7] {
            for row in 0..8 {
                middle[row * 8 + column] = values[0] << BETWEEN;
            }
            continue;
        }
        for (row, value) in eight(values, DIGITS - BETWEEN).into_iter().enumerate() {
            middle[row * 8 + column] = value;
        }
    }
    for (values, line) in middle.as_chunks::<8>().0.iter().zip(out.chunks_mut(stride)) {
        let values = eight(*values, DIGITS + BETWEEN + 3);
        for (sample, value) in line.iter_mut().zip(values) {
            *sample = (value.wrapping_add(128)).clamp(0, 255) as u8;
        }
    }
}

/// The one-dimensional transform, rounded to `shift` digits fewer.
fn eight(c: [i32; 8], shift: u32) -> [i32; 8] {
    let times = |value: i32, constant: i32| value.wrapping_mul(constant);
    let z1 = times(c[2].wrapping_add(c[6]), 4433);
    let even2 = z1.wrapping_add(times(c[6], -15137));
    let even3 = z1.wrapping_add(times(c[2], 6270));
    let even0 = c[0].wrapping_add(c[4]) << DIGITS;
    let even1 = c[0].wrapping_sub(c[4]) << DIGITS;
    let even = [
        even0.wrapping_add(even3),
        even1.wrapping_add(even2),
        even1.wrapping_sub(even2),
        even0.wrapping_sub(even3),
    ];
    let (z1, z2) = (c[7].wrapping_add(c[1]), c[5].wrapping_add(c[3]));
    let (z3, z4) = (c[7].wrapping_add(c[3]), c[5].wrapping_add(c[1]));
    let z5 = times(z3.wrapping_add(z4), 9633);
    let (z1, z2) = (times(z1, -7373), times(z2, -20995));
    let z3 = times(z3, -16069).wrapping_add(z5);
    let z4 = times(z4, -3196).wrapping_add(z5);
    let odd = [
        times(c[1], 12299).wrapping_add(z1).wrapping_add(z4),
        times(c[3], 25172).wrapping_add(z2).wrapping_add(z3),
        times(c[5], 16819).wrapping_add(z2).wrapping_add(z4),
        times(c[7], 2446).wrapping_add(z1).wrapping_add(z3),
    ];
    let half = 1 << (shift - 1);
    let mut out = [0; 8];
    for place in 0..4 {
        out[place] = even[place].wrapping_add(odd[place]).wrapping_add(half) >> shift;
        out[7 - place] = even[place].wrapping_sub(odd[place]).wrapping_add(half) >> shift;
    }
    out
}

/// Brings `own` (rows, columns) samples, `stride` apart, to `full`, by `factors` of 1 or 2: three parts of the nearer
/// sample and one of the farther in each direction, at the edges the nearer alone.
pub(super) fn upsample(
    samples: &[u8],
    stride: usize,
    own: (usize, usize),
    factors: (usize, usize),
    full: (usize, usize),
) -> Vec<u8> {
    let mut out = Vec::with_capacity(full.0 * full.1);
    // libjpeg repeats samples where there are so few columns.
    let triangle = own.1 > 2;
    let mut sums = vec![0; own.1];
    let mut wide = vec![0; 2 * own.1];
    for row in 0..full.0 {
        let near = row / factors.0;
        let far = match row % 2 {
            0 => near.saturating_sub(1),
            _ => (near + 1).min(own.0 - 1),
        };
        let line = |row: usize| &samples[row * stride..][..own.1];
        match factors {
            (1, 1) => out.extend_from_slice(&line(row)[..full.1]),
            (2, 1) => {
                let bias = if row % 2 == 0 { 1 } else { 2 };
                let both = line(near).iter().zip(line(far)).take(full.1);
                out.extend(
                    both.map(|(&n, &f)| ((3 * u16::from(n) + u16::from(f) + bias) >> 2) as u8),
                );
            }
            (_, _) if !triangle => {
                out.extend((0..full.1).map(|column| line(near)[column / 2]));
            }
            (down, _) => {
                let (before, after, shift) = if down == 1 {
                    let values = line(near).iter().map(|&value| i32::from(value));
                    sums.iter_mut().zip(values).for_each(|(s, v)| *s = v);
                    (1, 2, 2)
                } else {
                    let both = line(near).iter().zip(line(far));
                    for (sum, (&n, &f)) in sums.iter_mut().zip(both) {
                        *sum = 3 * i32::from(n) + i32::from(f);
                    }
                    (8, 7, 4)
                };
                let last = own.1 - 1;
                for (column, pair) in wide.as_chunks_mut::<2>().0.iter_mut().enumerate() {
                    let this = sums[column];
                    let left = if column == 0 { this } else { sums[column - 1] };
                    let right = if column == last {
                        this
                    } else {
                        sums[column + 1]
                    };
                    pair[0] = ((3 * this + left + before) >> shift) as u8;
                    pair[1] = ((3 * this + right + after) >> shift) as u8;
                }
                out.extend_from_slice(&wide[..full.1]);
            }
        }
    }
    out
}
