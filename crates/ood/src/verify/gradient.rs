//! Golden cases of kind `detectors_gradient`.

use ndarray::Array2;

use super::Error;
use super::{Arrays, Case, Produced, table};
use crate::detectors::{FitData, Observations, build, odin_scores};
use crate::linalg::affine;

pub(super) fn run(case: &Case) -> Result<Vec<Produced>, Error> {
    match case.text("method")? {
        "gradnorm" => gradnorm(case),
        "odin" => odin(case),
        method => ensemble(case, method),
    }
}

fn gradnorm(case: &Case) -> Result<Vec<Produced>, Error> {
    let (features, logits) = network(case)?;
    let (narrow_features, narrow_logits) = (features.mapv(|f| f as f32), logits.mapv(|z| z as f32));
    let observations = Observations {
        logits: narrow_logits.view(),
        features: narrow_features.view(),
        members: None,
    };
    let mut detector = build("gradnorm", toml::Table::new())?;
    detector.fit(&FitData::default())?;
    Ok(vec![
        Produced::new("out.features", features),
        Produced::new("out.logits", logits),
        Produced::new("out.score", detector.score(&observations)?),
        Produced::whole("out.pred", &detector.predict(&observations)?),
    ])
}

fn odin(case: &Case) -> Result<Vec<Produced>, Error> {
    let logits = network(case)?.1;
    let narrow = logits.mapv(|z| z as f32);
    let temperature = case.number("temperature")?;
    let perturbed = case.matrix("out.perturbed_logits")?;
    Ok(vec![
        Produced::new("out.logits", logits),
        Produced::new("out.score", odin_scores(perturbed.view(), temperature)),
        Produced::new(
            "out.score_no_noise",
            odin_scores(narrow.view(), temperature),
        ),
        Produced::whole(
            "out.pred",
            &crate::detectors::softmax::predictions(perturbed.view()),
        ),
    ])
}

fn ensemble(case: &Case, method: &str) -> Result<Vec<Produced>, Error> {
    let members = case.cube("in.logits")?;
    let observations = Observations {
        members: Some(members.view()),
        ..Observations::default()
    };
    let mut produced = Vec::new();
    for (average, prefix) in [("logits", ""), ("probabilities", "mean_softmax_")] {
        let mut detector = build(method, table([("average", average.into())]))?;
        detector.fit(&FitData::default())?;
        produced.push(Produced::new(
            format!("out.{prefix}score"),
            detector.score(&observations)?,
        ));
        produced.push(Produced::whole(
            format!("out.{prefix}pred"),
            &detector.predict(&observations)?,
        ));
    }
    Ok(produced)
}

/// Features and logits of the cases' small classifier: 3x3 convolution (stride 1), ReLU, 3x3 convolution
/// (stride 2), ReLU, mean over space, linear.
fn network(case: &Case) -> Result<(Array2<f64>, Array2<f64>), Error> {
    let x = case.tensor("in.x")?;
    let [n, channels, size, width] = x.shape[..] else {
        return Err(case.fault("`in.x` must have four axes"));
    };
    if n * channels * size == 0 || size != width {
        return Err(case.fault("`in.x` must hold square images"));
    }
    let values = x.values.to_f64();
    let (weight, bias) = (
        case.matrix("weights.fc.weight")?,
        case.vector("weights.fc.bias")?,
    );
    let mut features = Array2::zeros((n, weight.ncols()));
    let first = Convolution::read(case, "conv1", channels, 1)?;
    let second = Convolution::read(case, "conv2", first.bias.len(), 2)?;
    for (image, mut feature) in values
        .chunks_exact(values.len() / n)
        .zip(features.rows_mut())
    {
        let (hidden, hidden_size) = first.relu(image, size);
        let (hidden, hidden_size) = second.relu(&hidden, hidden_size);
        let area = hidden_size * hidden_size;
        for (mean, channel) in feature.iter_mut().zip(hidden.chunks_exact(area)) {
            *mean = channel.iter().sum::<f64>() / area as f64;
        }
    }
    let logits = affine(
        features.view(),
        weight.mapv(f64::from).view(),
        bias.mapv(f64::from).view(),
    );
    Ok((features, logits))
}

/// A 3x3 convolution with padding 1.
struct Convolution {
    weight: Vec<f64>,
    bias: Vec<f64>,
    inputs: usize,
    stride: usize,
}

impl Convolution {
    fn read(case: &Case, name: &str, inputs: usize, stride: usize) -> Result<Self, Error> {
        let weight = case.f64(&format!("weights.{name}.weight"))?;
        let bias = case.f64(&format!("weights.{name}.bias"))?;
        if weight.len() != bias.len() * inputs * 9 {
            return Err(case.fault(format!(
                "`weights.{name}.weight` must be [{}, {inputs}, 3, 3]",
                bias.len()
            )));
        }
        Ok(Self {
            weight,
            bias,
            inputs,
            stride,
        })
    }

    /// [channel, size, size] to [channel, out, out], and out.
    fn relu(&self, image: &[f64], size: usize) -> (Vec<f64>, usize) {
        let out = size.div_ceil(self.stride);
        let mut result = Vec::with_capacity(self.bias.len() * out * out);
        for (channel, bias) in self.bias.iter().enumerate() {
            for at in 0..out * out {
                let (y, x) = (at / out * self.stride, at % out * self.stride);
                let mut sum = *bias;
                for tap in 0..self.inputs * 9 {
                    let (input, dy, dx) = (tap / 9, tap % 9 / 3, tap % 3);
                    let (row, column) = (y + dy, x + dx);
                    if (1..=size).contains(&row) && (1..=size).contains(&column) {
                        let pixel = image[(input * size + row - 1) * size + column - 1];
                        sum += self.weight[channel * self.inputs * 9 + tap] * pixel;
                    }
                }
                result.push(sum.max(0.0));
            }
        }
        (result, out)
    }
}
