//! The cases' networks, with the weights that they are stored with.

use burn::tensor::{
    Device, Tensor, TensorData, activation::silu, module::conv2d, ops::ConvOptions,
};
use diffguard_models::{Classifier, NoisePredictor};
use diffguard_oracle::{Case, Result};

use super::tensors::tensor;
use crate::{Simple, SimpleClassifier};

pub(super) fn guided_unet(case: &Case) -> Result<Box<dyn NoisePredictor>> {
    Err(case.fault("no network yet"))
}

pub(super) fn latent_unet(case: &Case) -> Result<Box<dyn NoisePredictor>> {
    Err(case.fault("no network yet"))
}

pub(super) fn ddim_unet(case: &Case) -> Result<Box<dyn NoisePredictor>> {
    Err(case.fault("no network yet"))
}

pub(super) fn resnet18(case: &Case) -> Result<Box<dyn Classifier>> {
    Err(case.fault("no network yet"))
}

/// The small classifier of `ddim_sampling`: two convolutions with SiLU, average pooling, a linear layer.
pub(super) struct SmallClassifier {
    c1: (Tensor<4>, Tensor<1>),
    c2: (Tensor<4>, Tensor<1>),
    fc: (Tensor<2>, Tensor<1>),
    mean: Tensor<4>,
    std: Tensor<4>,
    side: usize,
}

pub(super) fn small_classifier(case: &Case) -> Result<Simple<SmallClassifier>> {
    fn layer<const D: usize>(case: &Case, name: &str) -> Result<(Tensor<D>, Tensor<1>)> {
        let weight = tensor(case, &format!("weights.classifier.{name}.weight"))?;
        Ok((
            weight,
            tensor(case, &format!("weights.classifier.{name}.bias"))?,
        ))
    }
    let statistic = |name: &str| -> Tensor<4> {
        let values = case.config["classifier"][name]
            .as_array()
            .into_iter()
            .flatten();
        let values: Vec<f32> = values.map(|v| v.as_f64().unwrap_or(0.0) as f32).collect();
        let channels = values.len();
        Tensor::from_data(
            TensorData::new(values, [1, channels, 1, 1]),
            &Device::flex(),
        )
    };
    Ok(Simple(SmallClassifier {
        c1: layer(case, "c1")?,
        c2: layer(case, "c2")?,
        fc: layer(case, "fc")?,
        mean: statistic("mean"),
        std: statistic("std"),
        side: case.config["cutouts"]["cut_size"].as_u64().unwrap_or(0) as usize,
    }))
}

impl SimpleClassifier for SmallClassifier {
    fn activations(&self, image: Tensor<4>) -> Tensor<4> {
        let image = ((image + 1.0) / 2.0 - self.mean.clone()) / self.std.clone();
        let layer = |x, (weight, bias): &(Tensor<4>, Tensor<1>), stride| {
            let options = ConvOptions::new([stride; 2], [1, 1], [1, 1], 1);
            silu(conv2d(x, weight.clone(), Some(bias.clone()), options))
        };
        layer(layer(image, &self.c1, 1), &self.c2, 2)
    }

    fn linear(&self) -> (Tensor<2>, Tensor<1>) {
        self.fc.clone()
    }

    fn input_side(&self) -> usize {
        self.side
    }
}
