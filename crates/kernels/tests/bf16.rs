//! bfloat16 convolutions against the definition in double precision, on matrix tiles and without.

mod common;

use burn::tensor::{Device, Tensor, TensorData};
use common::{error, numbers};
use diffguard_kernels::{Instructions, conv2d, limit_instructions, with_bf16};

/// To the nearest bfloat16, by way of the two candidates around it.
fn nearest_bf16(value: f32) -> f64 {
    let below = f32::from_bits(value.to_bits() & 0xffff_0000);
    let above = f32::from_bits((value.to_bits() & 0xffff_0000).wrapping_add(0x1_0000));
    let (to_below, to_above) = ((value - below).abs(), (above - value).abs());
    let even = below.to_bits() & 0x1_0000 == 0;
    match to_below < to_above || (to_below == to_above && even) {
        true => below.into(),
        false => above.into(),
    }
}

struct Case {
    batch: usize,
    channels_in: usize,
    channels_out: usize,
    height: usize,
    width: usize,
    kernel: usize,
}

impl Case {
    fn values(&self) -> [Vec<f32>; 3] {
        let taps = self.kernel * self.kernel;
        [
            numbers(self.batch * self.channels_in * self.height * self.width, 1),
            numbers(self.channels_out * self.channels_in * taps, 2),
            numbers(self.channels_out, 3),
        ]
    }

    fn ours(&self) -> Vec<f32> {
        let device = Device::flex();
        let [x, weight, bias] = self.values();
        let x = TensorData::new(x, [self.batch, self.channels_in, self.height, self.width]);
        let dims = [
            self.channels_out,
            self.channels_in,
            self.kernel,
            self.kernel,
        ];
        let weight = TensorData::new(weight, dims);
        let bias = Tensor::from_data(TensorData::new(bias, [self.channels_out]), &device);
        conv2d(
            Tensor::from_data(x, &device),
            Tensor::from_data(weight, &device),
            Some(bias),
            [1, 1],
            [self.kernel / 2; 2],
        )
        .into_data()
        .try_to_vec()
        .expect("f32 values")
    }

    /// The definition, on the nearest bfloat16 values.
    fn exact(&self) -> Vec<f64> {
        let [x, weight, bias] = self.values();
        let (kernel, pad) = (self.kernel, self.kernel / 2);
        let mut y = Vec::new();
        for n in 0..self.batch {
            for o in 0..self.channels_out {
                for row in 0..self.height {
                    for column in 0..self.width {
                        let mut sum = f64::from(bias[o]);
                        for i in 0..self.channels_in {
                            let plane = (n * self.channels_in + i) * self.height;
                            for tap in 0..kernel * kernel {
                                let (y, x_) = (row + tap / kernel, column + tap % kernel);
                                let inside = (pad..self.height + pad).contains(&y)
                                    && (pad..self.width + pad).contains(&x_);
                                if inside {
                                    let pixel = x[(plane + y - pad) * self.width + x_ - pad];
                                    let w =
                                        weight[(o * self.channels_in + i) * kernel * kernel + tap];
                                    sum += nearest_bf16(pixel) * nearest_bf16(w);
                                }
                            }
                        }
                        y.push(sum);
                    }
                }
            }
        }
        y
    }
}

/// One test, since the choice of instructions is the process's.
#[test]
fn bfloat16_convolutions_are_those_of_rounded_values() {
    let case = |channels_in, channels_out, height, width, kernel| Case {
        batch: 3,
        channels_in,
        channels_out,
        height,
        width,
        kernel,
    };
    let cases = [
        case(32, 32, 8, 8, 3),
        case(64, 48, 5, 11, 3),
        case(33, 70, 4, 4, 3),
        case(128, 64, 16, 16, 1),
        case(40, 32, 7, 3, 1),
        case(32, 32, 1, 1, 3),
    ];
    for most in [
        Instructions::Amx,
        Instructions::Avx512,
        Instructions::Baseline,
    ] {
        limit_instructions(most);
        for case in &cases {
            let name = format!(
                "{most:?}: {} to {} channels, {} x {}, kernel {}",
                case.channels_in, case.channels_out, case.height, case.width, case.kernel
            );
            let ours = with_bf16(|| case.ours());
            // F(4x4) is accurate to 1e-4, the tiles and im2col to far less.
            let error = error(&ours, &case.exact());
            assert!(error < 1e-4, "{name}: {error:e}");
            assert_ne!(ours, case.ours(), "{name}: not a value was rounded");
            let again = with_bf16(|| case.ours());
            assert_eq!(ours, again, "{name}");
        }
    }
    limit_instructions(Instructions::Amx);
    // Few channels stay in f32, and so does all that is outside.
    let first = case(3, 64, 8, 8, 3);
    assert_eq!(with_bf16(|| first.ours()), first.ours());
}
