//! Small stand-ins for networks.
#![allow(dead_code)]

use std::sync::Mutex;

use burn::tensor::{Device, Int, Tensor, activation::silu, module::conv2d, ops::ConvOptions};
use diffguard_models::{Classifier, NoisePredictor};

use super::uniform;

/// A smooth function of image, step and label that counts the rows that it is given.
pub struct Counting {
    pub rows: Mutex<Vec<usize>>,
    recorded: Mutex<usize>,
    pub null: Option<usize>,
}

impl Counting {
    pub fn new(null: Option<usize>) -> Self {
        Self {
            rows: Mutex::default(),
            recorded: Mutex::default(),
            null,
        }
    }

    /// Rows that were recorded for gradients.
    pub fn recorded(&self) -> usize {
        *self.recorded.lock().unwrap()
    }

    pub fn total(&self) -> usize {
        self.rows.lock().unwrap().iter().sum()
    }
}

impl NoisePredictor for Counting {
    fn eps(&self, x_t: Tensor<4>, t: Tensor<1>, label: Option<Tensor<1, Int>>) -> Tensor<4> {
        let [rows, ..] = x_t.dims();
        self.rows.lock().unwrap().push(rows);
        if x_t.is_autodiff() {
            *self.recorded.lock().unwrap() += rows;
        }
        let t = t.reshape([rows, 1, 1, 1]) / 500.0;
        let label = match label {
            None => Tensor::full([rows, 1, 1, 1], 10.0, &x_t.device()),
            Some(label) => label.float().reshape([rows, 1, 1, 1]),
        };
        (x_t * 0.9 + t + label * 0.05).sin()
    }

    /// Without a null label it stands for an unconditional network.
    fn num_classes(&self) -> usize {
        self.null.map_or(0, |_| 10)
    }

    fn null_label(&self) -> Option<usize> {
        self.null
    }
}

/// Two convolutions, SiLU, average pooling and a linear layer.
pub struct SmallClassifier {
    c1: (Tensor<4>, Tensor<1>),
    c2: (Tensor<4>, Tensor<1>),
    fc: (Tensor<2>, Tensor<1>),
    mean: Tensor<4>,
    std: Tensor<4>,
    side: usize,
    pub rows: Mutex<Vec<usize>>,
}

impl SmallClassifier {
    /// Fixed random weights for one-channel images.
    pub fn random(side: usize) -> Self {
        Self::of_channels(1, side)
    }

    /// Fixed random weights for images of so many channels.
    pub fn of_channels(channels: usize, side: usize) -> Self {
        let device = Device::flex();
        Self {
            c1: (
                uniform([8, channels, 3, 3], 11) * 0.8,
                Tensor::zeros([8], &device),
            ),
            c2: (
                uniform([16, 8, 3, 3], 12) * 0.3,
                Tensor::zeros([16], &device),
            ),
            fc: (uniform([10, 16], 13) * 1.7, Tensor::zeros([10], &device)),
            mean: Tensor::zeros([1, 1, 1, 1], &device),
            std: Tensor::ones([1, 1, 1, 1], &device),
            side,
            rows: Mutex::default(),
        }
    }
}

impl Classifier for SmallClassifier {
    fn last_stage(&self, image: Tensor<4>) -> Tensor<4> {
        self.rows.lock().unwrap().push(image.dims()[0]);
        let image = ((image + 1.0) / 2.0 - self.mean.clone()) / self.std.clone();
        let x = silu(conv2d(
            image,
            self.c1.0.clone(),
            Some(self.c1.1.clone()),
            ConvOptions::new([1, 1], [1, 1], [1, 1], 1),
        ));
        silu(conv2d(
            x,
            self.c2.0.clone(),
            Some(self.c2.1.clone()),
            ConvOptions::new([2, 2], [1, 1], [1, 1], 1),
        ))
    }

    fn pool(&self, activations: Tensor<4>) -> Tensor<2> {
        activations.mean_dims(&[2, 3]).flatten(1, 3)
    }

    fn head(&self, features: Tensor<2>) -> Tensor<2> {
        features.matmul(self.fc.0.clone().transpose()) + self.fc.1.clone().unsqueeze()
    }

    fn head_parameters(&self) -> (Tensor<2>, Tensor<1>) {
        self.fc.clone()
    }

    fn num_classes(&self) -> usize {
        10
    }

    fn input_side(&self) -> usize {
        self.side
    }
}
