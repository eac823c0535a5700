//! The fused kernels against the same formulas composed of burn's operations, forward and backward.

mod common;

use burn::tensor::activation::{relu, silu};
use burn::tensor::module::conv2d;
use burn::tensor::ops::ConvOptions;
use burn::tensor::{Device, Distribution, Tensor};
use common::with_gradients;
use diffguard_kernels::{
    Norm, channel_norm, conv2d_affine, conv3x3, group_norm, join_channels, norm_silu,
    norm_silu_conv3x3, subsample2, upsample2, with_bf16,
};

fn normal<const D: usize>(shape: [usize; D], device: &Device) -> Tensor<D> {
    Tensor::random(shape, Distribution::Normal(0.0, 1.0), device)
}

/// Largest difference as a share of the largest value.
fn deviation<const D: usize>(ours: Tensor<D>, theirs: Tensor<D>) -> f32 {
    let scale: f32 = theirs.clone().abs().max().into_scalar();
    let worst: f32 = (ours - theirs).abs().max().into_scalar();
    worst / scale.max(1e-6)
}

/// Results and gradients deviate by less than `most`.
fn assert_near(
    names: &[&str],
    ours: Vec<Tensor<4>>,
    theirs: Vec<Tensor<4>>,
    most: f32,
    case: String,
) {
    assert_eq!((ours.len(), theirs.len()), (names.len(), names.len()));
    for (what, (ours, theirs)) in names.iter().zip(ours.into_iter().zip(theirs)) {
        let worst = deviation(ours, theirs);
        assert!(worst < most, "{what} of {case}: {worst:e}");
    }
}

#[test]
fn convolution() {
    let device = Device::flex();
    device.seed(1);
    // Sizes at and off the unit boundaries: one image and several a matrix product, odd sides, a single column.
    for (batch, channels_in, channels_out, height, width) in [
        (3, 5, 7, 14, 14),
        (19, 4, 6, 7, 7),
        (2, 3, 2, 28, 28),
        (33, 2, 3, 5, 1),
        (1, 1, 1, 1, 1),
        (5, 8, 4, 3, 9),
        // By its definition one way, where the registers are wide.
        (2, 3, 16, 9, 7),
        (3, 32, 3, 6, 6),
        (2, 20, 1, 33, 31),
        (1, 2, 15, 12, 40),
        // By Winograd's algorithm: whole and cut tiles, whole and cut groups of channels, several panels of weights.
        (3, 16, 16, 8, 8),
        (2, 20, 33, 7, 13),
        (1, 64, 130, 3, 5),
        (2, 48, 48, 32, 30),
        (4, 32, 16, 20, 20),
        (7, 130, 50, 4, 4),
        (1, 16, 17, 61, 3),
        (9, 64, 48, 2, 2),
        (2, 16, 80, 6, 5),
        // Threads share a unit by output channels: in equal parts, and not.
        (2, 128, 128, 8, 4),
        (1, 112, 150, 5, 7),
        (3, 130, 97, 8, 8),
    ] {
        let x = normal([batch, channels_in, height, width], &device);
        let weight = normal([channels_out, channels_in, 3, 3], &device);
        let bias = normal([1, channels_out, 1, 1], &device);
        let weighting = normal([batch, channels_out, height, width], &device);
        let leaves = [x, weight, bias];
        let ours = with_gradients(leaves.clone(), &weighting, |[x, w, b]| {
            conv3x3(x, w, b.flatten(0, 3))
        });
        let theirs = with_gradients(leaves, &weighting, |[x, w, b]| {
            conv2d(
                x,
                w,
                Some(b.flatten(0, 3)),
                ConvOptions::new([1, 1], [1, 1], [1, 1], 1),
            )
        });
        assert_near(
            &["y", "dx", "dw", "db"],
            ours,
            theirs,
            if channels_in < 16 { 2e-5 } else { 1e-4 },
            format!("{batch}x{channels_in}x{height}x{width}"),
        );
    }
}

#[test]
fn convolution_of_any_filter() {
    let device = Device::flex();
    device.seed(4);
    for (batch, channels_in, channels_out, side, kernel, stride, padding) in [
        (3, 5, 7, [6, 9], [1, 1], [1, 1], [0, 0]),
        (2, 40, 13, [9, 15], [1, 1], [1, 1], [0, 0]),
        (17, 4, 6, [7, 7], [3, 3], [2, 2], [1, 1]),
        (2, 3, 16, [16, 15], [7, 7], [2, 2], [3, 3]),
        (2, 8, 8, [8, 8], [1, 1], [2, 2], [0, 0]),
        (1, 2, 3, [5, 4], [3, 3], [1, 1], [0, 0]),
        (2, 3, 2, [4, 5], [4, 2], [3, 1], [0, 2]),
        (1, 1, 1, [1, 1], [3, 3], [2, 2], [1, 1]),
        (2, 20, 18, [4, 4], [3, 3], [1, 1], [1, 1]),
        // By their definition, where the registers are wide: one and two groups of channels, an odd one, taps that no pixel
        // or not every pixel has.
        (3, 16, 32, [9, 14], [3, 3], [2, 2], [1, 1]),
        (2, 32, 48, [8, 8], [3, 3], [2, 2], [1, 1]),
        (2, 16, 16, [5, 7], [1, 1], [2, 2], [0, 0]),
        (1, 48, 16, [6, 9], [2, 3], [3, 2], [1, 0]),
        (3, 16, 16, [9, 7], [5, 5], [1, 2], [2, 2]),
        (2, 16, 3, [3, 2], [2, 2], [4, 4], [1, 1]),
        (2, 4, 3, [9, 7], [5, 4], [1, 1], [2, 1]),
        (1, 3, 20, [9, 7], [1, 4], [1, 1], [2, 5]),
    ] {
        let x = normal([batch, channels_in, side[0], side[1]], &device);
        let weight = normal([channels_out, channels_in, kernel[0], kernel[1]], &device);
        let bias = normal([1, channels_out, 1, 1], &device);
        let theirs = |[x, w, b]: [Tensor<4>; 3]| {
            let options = ConvOptions::new(stride, padding, [1, 1], 1);
            conv2d(x, w, Some(b.flatten(0, 3)), options)
        };
        let [_, _, height, width] = theirs([x.clone(), weight.clone(), bias.clone()]).dims();
        let weighting = normal([batch, channels_out, height, width], &device);
        let leaves = [x, weight, bias];
        let ours = with_gradients(leaves.clone(), &weighting, |[x, w, b]| {
            diffguard_kernels::conv2d(x, w, Some(b.flatten(0, 3)), stride, padding)
        });
        let theirs = with_gradients(leaves, &weighting, theirs);
        let case = format!("{side:?} by {kernel:?}");
        assert_near(&["y", "dx", "dw", "db"], ours, theirs, 2e-5, case);
    }
}

/// Weights that are written to after a first use must not be mistaken for those that were transformed.
#[test]
fn changed_weights_are_transformed_again() {
    let device = Device::flex();
    device.seed(5);
    let x = normal([2, 32, 8, 8], &device);
    let bias = normal([32], &device);
    // By Winograd's algorithm, and by its definition.
    for stride in [1, 2] {
        let mut weight = normal([32, 32, 3, 3], &device);
        for _ in 0..4 {
            let (stride, padding) = ([stride; 2], [1, 1]);
            let bias = Some(bias.clone());
            let ours =
                diffguard_kernels::conv2d(x.clone(), weight.clone(), bias.clone(), stride, padding);
            let options = ConvOptions::new(stride, padding, [1, 1], 1);
            let theirs = conv2d(x.clone(), weight.clone(), bias, options);
            assert!(deviation(ours, theirs) < 1e-4);
            weight = weight * 1.5 + 0.1;
        }
    }
}

#[test]
fn normalisation_with_and_without_silu() {
    let device = Device::flex();
    device.seed(2);
    for (batch, channels, groups, height, width) in [
        (3, 16, 8, 14, 14),
        (6, 6, 3, 5, 7),
        (1, 4, 4, 1, 3),
        (9, 8, 1, 7, 7),
    ] {
        let x = normal([batch, channels, height, width], &device) * 2.0 + 0.5;
        let scale = normal([batch, channels, 1, 1], &device);
        let shift = normal([batch, channels, 1, 1], &device);
        let weighting = normal([batch, channels, height, width], &device);
        for with_silu in [true, false] {
            let leaves = [x.clone(), scale.clone(), shift.clone()];
            let ours = with_gradients(leaves.clone(), &weighting, |[x, scale, shift]| {
                let norm = Norm {
                    scale: scale.reshape([batch, channels]),
                    shift: shift.reshape([batch, channels]),
                    groups,
                    epsilon: 1e-5,
                };
                match with_silu {
                    true => norm_silu(x, norm),
                    false => group_norm(x, norm),
                }
            });
            let theirs = with_gradients(leaves, &weighting, |[x, scale, shift]| {
                let flat: Tensor<3> = x.reshape([batch as i32, groups as i32, -1]);
                let centred = flat.clone() - flat.mean_dim(2);
                let variance = centred.clone().square().mean_dim(2);
                let xhat =
                    (centred / (variance + 1e-5).sqrt()).reshape([batch, channels, height, width]);
                let h = xhat * scale + shift;
                if with_silu { silu(h) } else { h }
            });
            let case = format!("{batch}x{channels}x{height}x{width}, SiLU {with_silu}");
            assert_near(&["y", "dx", "dscale", "dshift"], ours, theirs, 1e-4, case);
        }
    }
}

#[test]
fn a_row_does_not_depend_on_its_batch() {
    let device = Device::flex();
    device.seed(3);
    for (channels_in, channels_out, side) in [
        (3, 4, 7),
        (32, 48, 8),
        (100, 20, 4),
        (600, 17, 5),
        (120, 150, 8),
    ] {
        let x = normal([11, channels_in, side, side], &device);
        let weight = normal([channels_out, channels_in, 3, 3], &device);
        let bias = normal([channels_out], &device);
        let all = conv3x3(x.clone(), weight.clone(), bias.clone());
        for row in [0, 4, 10] {
            let alone = conv3x3(x.clone().narrow(0, row, 1), weight.clone(), bias.clone());
            let together = all.clone().narrow(0, row, 1);
            let worst = deviation(alone, together);
            // Winograd's units take the same sums in the same order whatever stands beside an image.
            let allowed = if channels_in < 16 { 1e-6 } else { 0.0 };
            assert!(worst <= allowed, "{channels_in} channels: {worst:e}");
        }
    }
}

/// The fused convolution takes the same sums in the same order as its parts.
#[test]
fn a_convolution_that_normalises_is_its_parts() {
    let device = Device::flex();
    device.seed(7);
    for (batch, channels_in, channels_out, groups, height, width) in [
        (3, 32, 48, 8, 14, 14),
        (2, 40, 20, 4, 9, 14),
        (5, 64, 32, 32, 4, 4),
        (2, 36, 33, 6, 33, 31),
        (2, 8, 6, 2, 5, 7),
        (1, 64, 64, 32, 1, 2),
    ] {
        let leaves = [
            normal([batch, channels_in, height, width], &device) * 2.0 + 0.5,
            normal([batch, channels_in, 1, 1], &device),
            normal([batch, channels_in, 1, 1], &device),
            normal([channels_out, channels_in, 3, 3], &device),
            normal([1, channels_out, 1, 1], &device),
            normal([batch, channels_out, 1, 1], &device),
            normal([batch, channels_out, height, width], &device),
        ];
        let weighting = normal([batch, channels_out, height, width], &device);
        let norm = |scale: Tensor<4>, shift: Tensor<4>| Norm {
            scale: scale.reshape([batch, channels_in]),
            shift: shift.reshape([batch, channels_in]),
            groups,
            epsilon: 1e-5,
        };
        let whole = |[x, scale, shift, weight, bias, offset, residual]: [Tensor<4>; 7]| {
            let offset = Some(offset.reshape([batch, channels_out]));
            let bias = bias.flatten(0, 3);
            norm_silu_conv3x3(x, norm(scale, shift), weight, bias, offset, Some(residual))
        };
        let parts = |[x, scale, shift, weight, bias, offset, residual]: [Tensor<4>; 7]| {
            let h = norm_silu(x, norm(scale, shift));
            conv3x3(h, weight, bias.flatten(0, 3)) + offset + residual
        };
        let case = format!("{batch}x{channels_in}x{height}x{width}");
        assert_eq!(
            deviation(whole(leaves.clone()), parts(leaves.clone())),
            0.0,
            "{case}"
        );
        let (ours, theirs) = with_bf16(|| (whole(leaves.clone()), parts(leaves.clone())));
        assert_eq!(deviation(ours, theirs), 0.0, "{case}, bf16");

        let ours = with_gradients(leaves.clone(), &weighting, whole);
        let theirs = with_gradients(leaves, &weighting, parts);
        for (i, (ours, theirs)) in ours.into_iter().zip(theirs).enumerate() {
            assert_eq!(deviation(ours, theirs), 0.0, "{case}, value {i}");
        }
    }
}

/// A convolution, a batch norm whose statistics are held, a shortcut and a ReLU.
#[test]
fn a_convolution_with_an_affine_map() {
    let device = Device::flex();
    device.seed(9);
    for (batch, channels_in, channels_out, side, kernel, stride, padding) in [
        (3, 16, 24, [9, 14], 3, 1, 1),
        (2, 3, 16, [8, 8], 3, 1, 1),
        (2, 32, 16, [9, 8], 3, 2, 1),
        (3, 20, 33, [5, 6], 1, 2, 0),
        (2, 3, 8, [17, 16], 7, 2, 3),
    ] {
        let (stride, padding) = ([stride; 2], [padding; 2]);
        let x = normal([batch, channels_in, side[0], side[1]], &device);
        let weight = normal([channels_out, channels_in, kernel, kernel], &device);
        let row = || normal([1, channels_out, 1, 1], &device);
        let (scale, shift) = (row(), row());
        let options = ConvOptions::new(stride, padding, [1, 1], 1);
        let convolved = |x: Tensor<4>| conv2d(x, weight.clone(), None, options.clone());
        let dims = convolved(x.clone()).dims();
        let (residual, weighting) = (normal(dims, &device), normal(dims, &device));
        for (with_residual, activated) in [(true, true), (true, false), (false, true)] {
            let leaves = [x.clone(), residual.clone()];
            let ours = with_gradients(leaves.clone(), &weighting, |[x, residual]| {
                let y = conv2d_affine(
                    x,
                    weight.clone(),
                    scale.clone().flatten(0, 3),
                    shift.clone().flatten(0, 3),
                    with_residual.then(|| residual.clone()),
                    activated,
                    stride,
                    padding,
                );
                // So that it has a gradient where it is not taken.
                y + residual * 0.0
            });
            let theirs = with_gradients(leaves, &weighting, |[x, residual]| {
                let y = convolved(x) * scale.clone() + shift.clone();
                let factor = f32::from(u8::from(with_residual));
                let h = y + residual.clone() * factor;
                let h = if activated { relu(h) } else { h };
                h + residual * 0.0
            });
            assert_near(
                &["y", "dx", "dresidual"],
                ours,
                theirs,
                1e-4,
                format!("{side:?} by {kernel}, {with_residual}, {activated}"),
            );
        }
    }
}

#[test]
fn normalisation_over_channels() {
    let device = Device::flex();
    device.seed(10);
    for [batch, channels, tokens] in [[3, 96, 49], [2, 5, 7], [1, 4, 1]] {
        let leaves = [
            normal([batch, channels, tokens, 1], &device) * 2.0 + 0.5,
            normal([1, channels, 1, 1], &device),
            normal([1, channels, 1, 1], &device),
        ];
        let weighting = normal([batch, channels, tokens, 1], &device);
        let ours = with_gradients(leaves.clone(), &weighting, |[x, gamma, beta]| {
            let (gamma, beta) = (gamma.flatten(0, 3), beta.flatten(0, 3));
            channel_norm(x.squeeze_dim(3), gamma, beta, 1e-5).unsqueeze_dim(3)
        });
        let theirs = with_gradients(leaves, &weighting, |[x, gamma, beta]| {
            let centred = x.clone() - x.mean_dim(1);
            let variance = centred.clone().square().mean_dim(1);
            centred / (variance + 1e-5).sqrt() * gamma + beta
        });
        assert_near(
            &["y", "dx", "dgamma", "dbeta"],
            ours,
            theirs,
            1e-4,
            format!("{channels} channels"),
        );
    }
}

#[test]
fn enlargement_by_two() {
    let device = Device::flex();
    device.seed(11);
    for [batch, channels, height, width] in [[2, 3, 4, 5], [1, 1, 1, 1], [3, 40, 8, 8]] {
        let x = [normal([batch, channels, height, width], &device)];
        let weighting = normal([batch, channels, 2 * height, 2 * width], &device);
        let ours = with_gradients(x.clone(), &weighting, |[x]| upsample2(x));
        let theirs = with_gradients(x, &weighting, |[x]| {
            x.reshape([batch, channels, height, 1, width, 1])
                .expand([batch, channels, height, 2, width, 2])
                .reshape([batch, channels, 2 * height, 2 * width])
        });
        for (ours, theirs) in ours.into_iter().zip(theirs) {
            assert!(deviation(ours, theirs) < 1e-6, "{height}x{width}");
        }
    }
}

#[test]
fn shortcut_without_parameters() {
    let device = Device::flex();
    device.seed(12);
    for ([batch, channels, height, width], padding) in [
        ([2, 3, 4usize, 6usize], 2),
        ([3, 5, 7, 5], 1),
        ([1, 1, 1, 1], 3),
        ([40, 16, 28, 28], 8),
        ([2, 4, 6, 6], 0usize),
    ] {
        let (h, w) = (height.div_ceil(2), width.div_ceil(2));
        let x = [normal([batch, channels, height, width], &device)];
        let weighting = normal([batch, channels + 2 * padding, h, w], &device);
        let ours = with_gradients(x.clone(), &weighting, |[x]| subsample2(x, padding));
        let theirs = with_gradients(x, &weighting, |[x]| {
            let x = x.slice(burn::tensor::s![.., .., 0..;2, 0..;2]);
            match padding {
                0 => x,
                _ => {
                    let zeros = Tensor::zeros([batch, padding, h, w], &x.device());
                    Tensor::cat(vec![zeros.clone(), x, zeros], 1)
                }
            }
        });
        for (ours, theirs) in ours.into_iter().zip(theirs) {
            assert_eq!(ours.dims(), theirs.dims());
            assert_eq!(deviation(ours, theirs), 0.0, "{height}x{width}");
        }
    }
}

#[test]
fn channels_after_each_other() {
    let device = Device::flex();
    device.seed(13);
    for (batch, of_a, of_b, side) in [(2, 3, 5, 4), (1, 1, 2, 1), (9, 33, 16, 7)] {
        let leaves = [of_a, of_b].map(|channels| normal([batch, channels, side, side], &device));
        let weighting = normal([batch, of_a + of_b, side, side], &device);
        let ours = with_gradients(leaves.clone(), &weighting, |[a, b]| join_channels(a, b));
        let theirs = with_gradients(leaves, &weighting, |[a, b]| Tensor::cat(vec![a, b], 1));
        for (ours, theirs) in ours.into_iter().zip(theirs) {
            assert_eq!(ours.dims(), theirs.dims());
            assert_eq!(deviation(ours, theirs), 0.0, "{of_a} and {of_b} channels");
        }
    }
}
