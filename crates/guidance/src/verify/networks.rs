//! The cases' networks, with the weights that they are stored with.

use burn::module::Module;
use burn::tensor::{Tensor, TensorData, activation::silu, module::conv2d, ops::ConvOptions};
use diffguard_models::{
    Classifier, NoisePredictor,
    checkpoint::{KeyMap, Source, load},
    resnet18_32::{self, Resnet18SmallConfig},
    unet_ddim::{self, DdimUnetConfig},
    unet_guided::{self, GuidedUnetConfig},
    unet_latent::{self, LatentUnetConfig},
    verify::{device, procedural::Procedural},
};
use diffguard_oracle::{Case, Error, Result, Values};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::tensors::tensor;
use crate::{Simple, SimpleClassifier};

/// The pixel model of `ddim_inversion` and `ddim_sampling`.
pub(super) fn guided_unet(case: &Case) -> Result<Box<dyn NoisePredictor>> {
    let config: GuidedUnetConfig = configuration(case, without(&case.config["model"], &[]))?;
    let network = config.init(&device()).map_err(Error::method)?;
    Ok(Box::new(filled(case, network, &unet_guided::key_map())?))
}

/// The latent model of `cfg_dsg`.
pub(super) fn latent_unet(case: &Case) -> Result<Box<dyn NoisePredictor>> {
    let model = &case.config["model"];
    let mut config = without(&model["unet"], &["use_spatial_transformer"]);
    config["n_classes"] = model["n_classes"].clone();
    let config: LatentUnetConfig = configuration(case, config)?;
    let network = config.init(&device()).map_err(Error::method)?;
    let network = filled(case, network, &unet_latent::key_map())?;
    Ok(Box::new(network.labelled()))
}

/// The model of `diffood_sampling`.
pub(super) fn ddim_unet(case: &Case) -> Result<Box<dyn NoisePredictor>> {
    let others = ["dropout", "resamp_with_conv", "type"];
    let config: DdimUnetConfig = configuration(case, without(&case.config["model"], &others))?;
    let network = config.init(&device()).map_err(Error::method)?;
    Ok(Box::new(filled(case, network, &unet_ddim::key_map())?))
}

/// The classifier of `grad_cam`, with weights by formula.
pub(super) fn resnet18(case: &Case) -> Result<Box<dyn Classifier>> {
    let classes = case.whole("num_classes")? as usize;
    let config = Resnet18SmallConfig::new(classes)
        .with_mean(statistic(case, &case.config["mean"])?)
        .with_std(statistic(case, &case.config["std"])?);
    let (network, map) = (config.init(&device()), resnet18_32::key_map());
    let weights = Procedural::of(&network, &map);
    let network = load(network, &weights.source(), &map).map_err(Error::method)?;
    Ok(Box::new(network.valid()))
}

/// `network` with the case's weights, in evaluation mode.
fn filled<M: Module>(case: &Case, network: M, map: &KeyMap) -> Result<M> {
    let mut tensors = Vec::new();
    for (name, tensor) in case.weights("") {
        // Another network's.
        if name.starts_with("classifier.") {
            continue;
        }
        let Values::F32(values) = &tensor.values else {
            return Err(case.fault(format!("weight `{name}` must be of 32-bit floats")));
        };
        tensors.push((name, tensor.shape.clone(), values.clone()));
    }
    let source = Source::from_values("the case's weights", tensors);
    let network = load(network, &source, map).map_err(Error::method)?;
    Ok(network.valid())
}

fn configuration<C: DeserializeOwned>(case: &Case, config: Value) -> Result<C> {
    serde_json::from_value(config).map_err(|error| case.fault(error.to_string()))
}

/// The object `config` without `keys`, which our configurations have no place for.
fn without(config: &Value, keys: &[&str]) -> Value {
    let mut config = config.clone();
    if let Some(object) = config.as_object_mut() {
        object.retain(|key, _| !keys.contains(&key.as_str()));
    }
    config
}

fn statistic(case: &Case, values: &Value) -> Result<Vec<f32>> {
    configuration(case, values.clone())
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
    let column = |name: &str| -> Result<Tensor<4>> {
        let values = statistic(case, &case.config["classifier"][name])?;
        let shape = [1, values.len(), 1, 1];
        Ok(Tensor::from_data(TensorData::new(values, shape), &device()))
    };
    Ok(Simple(SmallClassifier {
        c1: layer(case, "c1")?,
        c2: layer(case, "c2")?,
        fc: layer(case, "fc")?,
        mean: column("mean")?,
        std: column("std")?,
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
