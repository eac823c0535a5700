//! Convolutions against the definition in double precision, by every set of vector instructions.

mod common;

use burn::tensor::{Device, Tensor, TensorData};
use common::{error, numbers};
use diffguard_kernels::{
    Instructions, Norm, conv2d_affine, conv3x3, limit_instructions, norm_silu, norm_silu_conv3x3,
};

struct Case {
    batch: usize,
    channels_in: usize,
    channels_out: usize,
    height: usize,
    width: usize,
}

impl Case {
    fn x(&self) -> Vec<f32> {
        numbers(self.batch * self.channels_in * self.height * self.width, 1)
    }

    fn weight(&self) -> Vec<f32> {
        numbers(self.channels_out * self.channels_in * 9, 2)
    }

    fn ours(&self, device: &Device) -> Vec<f32> {
        let tensor = |values, shape: [usize; 4]| {
            Tensor::<4>::from_data(TensorData::new(values, shape), device)
        };
        let x = tensor(
            self.x(),
            [self.batch, self.channels_in, self.height, self.width],
        );
        let weight = tensor(self.weight(), [self.channels_out, self.channels_in, 3, 3]);
        let bias = Tensor::zeros([self.channels_out], device);
        conv3x3(x, weight, bias)
            .into_data()
            .try_to_vec()
            .expect("f32 values")
    }

    /// The definition.
    fn exact(&self) -> Vec<f64> {
        let (x, weight) = (self.x(), self.weight());
        let mut y = Vec::new();
        for n in 0..self.batch {
            for o in 0..self.channels_out {
                for row in 0..self.height {
                    for column in 0..self.width {
                        let mut sum = 0f64;
                        for i in 0..self.channels_in {
                            let plane = (n * self.channels_in + i) * self.height;
                            for tap in 0..9 {
                                let (y, x_) = (row + tap / 3, column + tap % 3);
                                if (1..=self.height).contains(&y) && (1..=self.width).contains(&x_)
                                {
                                    let pixel = x[(plane + y - 1) * self.width + x_ - 1];
                                    let w = weight[(o * self.channels_in + i) * 9 + tap];
                                    sum += f64::from(pixel) * f64::from(w);
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

    /// Largest error as a share of the largest value.
    fn error(&self, device: &Device) -> f64 {
        error(&self.ours(device), &self.exact())
    }
}

#[test]
fn winograd_is_as_accurate_as_stated() {
    let device = Device::flex();
    // Sides of 5 and 6 are done by F(2x2), the others by F(4x4).
    for (side, allowed) in [(6, 1e-5), (5, 1e-5), (8, 1e-4), (11, 1e-4)] {
        for channels in [16, 64, 256] {
            let case = Case {
                batch: 2,
                channels_in: channels,
                channels_out: 24,
                height: side,
                width: side,
            };
            let error = case.error(&device);
            assert!(
                error < allowed,
                "{channels} channels, side {side}: {error:e}"
            );
        }
    }
}

/// The transforms use no fused multiply-add, so every set of instructions gives the same bits.
#[test]
fn every_set_of_instructions_computes_the_same() {
    let device = Device::flex();
    let case = Case {
        batch: 3,
        channels_in: 40,
        channels_out: 20,
        height: 9,
        width: 14,
    };
    let norm = || -> Vec<f32> {
        let x = TensorData::new(numbers(2 * 8 * 35, 3), [2, 8, 5, 7]);
        let scale = TensorData::new(numbers(16, 4), [2, 8]);
        let shift = TensorData::new(numbers(16, 5), [2, 8]);
        norm_silu(
            Tensor::from_data(x, &device),
            Norm {
                scale: Tensor::from_data(scale, &device),
                shift: Tensor::from_data(shift, &device),
                groups: 4,
                epsilon: 1e-5,
            },
        )
        .into_data()
        .try_to_vec()
        .expect("f32 values")
    };
    let fused = || -> Vec<f32> {
        let tensor = |seed, shape: [usize; 4]| {
            let values = numbers(shape.iter().product(), seed);
            Tensor::<4>::from_data(TensorData::new(values, shape), &device)
        };
        let norm = Norm {
            scale: tensor(7, [2, 24, 1, 1]).reshape([2, 24]),
            shift: tensor(8, [2, 24, 1, 1]).reshape([2, 24]),
            groups: 4,
            epsilon: 1e-5,
        };
        let (weight, bias) = (tensor(9, [20, 24, 3, 3]), tensor(10, [1, 20, 1, 1]));
        let offset = tensor(11, [2, 20, 1, 1]).reshape([2, 20]);
        let residual = tensor(12, [2, 20, 9, 14]);
        let y = norm_silu_conv3x3(
            tensor(6, [2, 24, 9, 14]),
            norm,
            weight.clone(),
            bias.clone().flatten(0, 3),
            Some(offset),
            Some(residual.clone()),
        );
        let z = conv2d_affine(
            tensor(6, [2, 24, 9, 14]),
            weight,
            bias.clone().flatten(0, 3),
            bias.flatten(0, 3),
            Some(residual),
            true,
            [1, 1],
            [1, 1],
        );
        Tensor::cat(vec![y, z], 1)
            .into_data()
            .try_to_vec()
            .expect("f32 values")
    };
    let (convolved, normalised, all) = (case.ours(&device), norm(), fused());
    for most in [Instructions::Baseline, Instructions::Avx2] {
        limit_instructions(most);
        assert_eq!(case.ours(&device), convolved, "{most:?}");
        assert_eq!(norm(), normalised, "{most:?}");
        assert_eq!(fused(), all, "{most:?}");
    }
    limit_instructions(Instructions::Amx);
}
