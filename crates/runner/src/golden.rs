//! Golden cases that need a network and a detector together: kind `detectors_gradient`.

use burn::tensor::activation::relu;
use burn::tensor::module::conv2d;
use burn::tensor::ops::ConvOptions;
use burn::tensor::{Tensor, TensorData};
use diffguard_models::input_gradient::{odin_step, predicted_class_gradient};
use diffguard_models::verify::device;
use diffguard_ood::detectors::{Detector, FitData, Observations, Perturbed, build};
use diffguard_oracle::{Case, Error, Kind, Produced, Result};
use ndarray::{Array2, Array3};

/// The kinds of golden case of this crate.
pub const KINDS: &[Kind] = &[Kind {
    name: "detectors_gradient",
    run,
    not_produced: &[],
}];

fn run(case: &Case) -> Result<Vec<Produced>> {
    match case.text("method")? {
        "odin" => odin(case),
        "gradnorm" => gradnorm(case),
        _ => members(case),
    }
}

fn odin(case: &Case) -> Result<Vec<Produced>> {
    let network = Network::read(case)?;
    let x = tensor::<4>(case, "in.x")?;
    let (temperature, noise) = (case.number("temperature")?, case.number("noise")?);
    let std = case.config.get("input_std").and_then(|std| std.as_array());
    let std = std.ok_or_else(|| case.fault("the configuration has no `input_std`"))?;
    let step: Vec<f64> = std
        .iter()
        .filter_map(|std| Some(noise / std.as_f64()?))
        .collect();
    let gradient = predicted_class_gradient(|x| network.logits(x), x.clone(), temperature);
    let moved = network.logits(odin_step(x.clone(), gradient.clone(), &step));
    let (logits, moved) = (matrix(network.logits(x))?, matrix(moved)?);
    let scored = |logits: &Array2<f32>, noise: f64| -> Result<(Vec<f64>, Vec<usize>)> {
        let parameters = toml::Table::from_iter([
            ("temperature".to_owned(), temperature.into()),
            ("noise".to_owned(), noise.into()),
        ]);
        let perturbed = [Perturbed {
            temperature,
            noise,
            logits: logits.view(),
        }];
        let observations = Observations {
            perturbed: &perturbed,
            ..Observations::default()
        };
        let detector = fitted("odin", parameters)?;
        Ok((
            detector.score(&observations)?,
            detector.predict(&observations)?,
        ))
    };
    let (score, predicted) = scored(&moved, noise)?;
    let (without, _) = scored(&logits, 0.0)?;
    Ok(vec![
        Produced::new("out.logits", logits),
        Produced::new("out.input_grad", values(gradient)?),
        Produced::new("out.perturbed_logits", moved),
        Produced::new("out.score", score),
        Produced::new("out.score_no_noise", without),
        Produced::whole("out.pred", &predicted),
    ])
}

fn gradnorm(case: &Case) -> Result<Vec<Produced>> {
    let network = Network::read(case)?;
    let features = network.features(tensor::<4>(case, "in.x")?);
    let (features, logits) = (matrix(features.clone())?, matrix(network.head(features))?);
    let observations = Observations {
        logits: logits.view(),
        features: features.view(),
        ..Observations::default()
    };
    let detector = fitted("gradnorm", toml::Table::new())?;
    let (score, predicted) = (
        detector.score(&observations)?,
        detector.predict(&observations)?,
    );
    Ok(vec![
        Produced::new("out.features", features),
        Produced::new("out.logits", logits),
        Produced::new("out.score", score),
        Produced::whole("out.pred", &predicted),
    ])
}

/// Logits of passes with dropout, or of an ensemble's members: both are scored alike.
fn members(case: &Case) -> Result<Vec<Produced>> {
    let (shape, logits) = case.f32("in.logits")?;
    let shape: [usize; 3] = shape
        .try_into()
        .map_err(|_| case.fault("`in.logits` must have three axes"))?;
    let members = Array3::from_shape_vec(shape, logits.to_vec()).map_err(Error::method)?;
    let observations = Observations {
        members: Some(members.view()),
        ..Observations::default()
    };
    let mut produced = Vec::new();
    for (average, prefix) in [("logits", ""), ("probabilities", "mean_softmax_")] {
        let parameters = toml::Table::from_iter([("average".to_owned(), average.into())]);
        let detector = fitted("deep_ensemble", parameters)?;
        let (score, predicted) = (
            detector.score(&observations)?,
            detector.predict(&observations)?,
        );
        produced.push(Produced::new(format!("out.{prefix}score"), score));
        produced.push(Produced::whole(format!("out.{prefix}pred"), &predicted));
    }
    Ok(produced)
}

fn fitted(name: &str, parameters: toml::Table) -> Result<Box<dyn Detector>> {
    let mut detector = build(name, parameters)?;
    detector.fit(&FitData::default())?;
    Ok(detector)
}

/// The cases' small classifier: 3x3 convolution, ReLU, 3x3 convolution with stride 2, ReLU, mean over space, linear.
struct Network {
    conv1: (Tensor<4>, Tensor<1>),
    conv2: (Tensor<4>, Tensor<1>),
    head: (Tensor<2>, Tensor<1>),
}

impl Network {
    fn read(case: &Case) -> Result<Self> {
        let convolution = |name: &str| -> Result<(Tensor<4>, Tensor<1>)> {
            Ok((
                tensor(case, &format!("weights.{name}.weight"))?,
                tensor(case, &format!("weights.{name}.bias"))?,
            ))
        };
        Ok(Self {
            conv1: convolution("conv1")?,
            conv2: convolution("conv2")?,
            head: (
                tensor(case, "weights.fc.weight")?,
                tensor(case, "weights.fc.bias")?,
            ),
        })
    }

    fn features(&self, x: Tensor<4>) -> Tensor<2> {
        let layer = |x, (weight, bias): &(Tensor<4>, Tensor<1>), stride| {
            let options = ConvOptions::new([stride, stride], [1, 1], [1, 1], 1);
            relu(conv2d(x, weight.clone(), Some(bias.clone()), options))
        };
        let h = layer(layer(x, &self.conv1, 1), &self.conv2, 2);
        let [batch, channels, _, _] = h.dims();
        h.mean_dims(&[2, 3]).reshape([batch, channels])
    }

    fn head(&self, features: Tensor<2>) -> Tensor<2> {
        let (weight, bias) = &self.head;
        features.matmul(weight.clone().transpose()) + bias.clone().unsqueeze()
    }

    fn logits(&self, x: Tensor<4>) -> Tensor<2> {
        self.head(self.features(x))
    }
}

fn tensor<const D: usize>(case: &Case, name: &str) -> Result<Tensor<D>> {
    let (shape, values) = case.f32(name)?;
    match shape.len() == D {
        true => Ok(Tensor::from_data(
            TensorData::new(values.to_vec(), shape.to_vec()),
            &device(),
        )),
        false => Err(case.fault(format!("`{name}` must have {D} axes"))),
    }
}

fn values<const D: usize>(tensor: Tensor<D>) -> Result<Vec<f32>> {
    Ok(crate::pipeline::array(tensor)
        .map_err(Error::method)?
        .values)
}

fn matrix(tensor: Tensor<2>) -> Result<Array2<f32>> {
    let shape = tensor.dims();
    Array2::from_shape_vec(shape, values(tensor)?).map_err(Error::method)
}
