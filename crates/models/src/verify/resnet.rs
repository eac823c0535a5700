//! Golden cases of kind `resnet`: whole classifiers with procedural weights.

use burn::module::Module;
use burn::tensor::activation::log_softmax;
use burn::tensor::{Device, Int, Tensor, TensorData};
use diffguard_oracle::{Case, Error, Produced, Result, key_hash, procedural, procedural_uniform};

use super::device;
use super::procedural::Procedural;
use crate::checkpoint::{KeyMap, load};
use crate::keys::keys;
use crate::layers::average_pool;
use crate::residual::Residual;
use crate::{Classifier, cifar_resnet, resnet18_32, resnet50, vgg, wide_resnet};

/// Shows a network's stages, as each family does.
type Stages<M> = fn(&M, Tensor<4>, &mut dyn FnMut(&Tensor<4>)) -> Tensor<4>;

pub(super) fn run(case: &Case) -> Result<Vec<Produced>> {
    if case.text("op").is_ok_and(|op| op == "procedural_weights") {
        return formula(case);
    }
    let classes = size(case, "num_classes")?;
    let plain = device();
    match case.text("arch")? {
        "ResNet20 CIFAR option A" => {
            let network = cifar_resnet::CifarResnetConfig::new(classes).init(&plain);
            let map = cifar_resnet::key_map();
            network_case(case, network, &map, Residual::activations)
        }
        "ResNet18_32x32" => {
            let config = resnet18_32::Resnet18SmallConfig::new(classes);
            let map = resnet18_32::key_map();
            let mut produced =
                network_case(case, config.init(&plain), &map, Residual::activations)?;
            let network = filled(config.init(&plain.clone().autodiff()), &map)?;
            produced.extend(gradient(case, &network, Residual::activations)?);
            Ok(produced)
        }
        "resnet50" => {
            let network = resnet50::Resnet50Config::new(classes).init(&plain);
            let map = resnet50::key_map();
            network_case(case, network, &map, Residual::activations)
        }
        "WideResNet" => {
            let network = wide_resnet::WideResnetConfig::new(classes)
                .with_blocks(size(case, "blocks")?)
                .with_widen(size(case, "widen")?)
                .init(&plain);
            let map = wide_resnet::key_map();
            network_case(case, network, &map, Residual::activations)
        }
        "vgg16" => {
            let network = vgg::Vgg16Config::new(classes)
                .with_input_side(case.shape("in.x")?[2])
                .with_pooled_side(size(case, "pooled_side")?)
                .with_hidden(size(case, "hidden")?)
                .init(&plain);
            network_case(case, network, &vgg::key_map(), |network, x, seen| {
                let mut blocks = network.blocks(x);
                blocks.iter().for_each(seen);
                blocks.swap_remove(blocks.len() - 1)
            })
        }
        other => Err(case.fault(format!("no family is called `{other}`"))),
    }
}

fn size(case: &Case, key: &str) -> Result<usize> {
    usize::try_from(case.whole(key)?).map_err(Error::method)
}

/// Holds the network's keys against those of the reference's state dict, where the case lists them.
fn check_keys<M: Module>(case: &Case, network: &M, map: &KeyMap) -> Result<()> {
    let Some(listed) = case.config["state_dict"].as_object() else {
        return Ok(());
    };
    let mut expected: Vec<String> = listed
        .iter()
        .filter(|(key, _)| !key.ends_with("num_batches_tracked"))
        .map(|(key, shape)| format!("{key} {shape}"))
        .collect();
    let mut found: Vec<String> = keys(network, map)
        .into_iter()
        .map(|key| format!("{} {}", key.published, serde_json::json!(key.shape)))
        .collect();
    expected.sort();
    found.sort();
    match found == expected {
        true => Ok(()),
        false => Err(case.fault(format!(
            "the state dict has {expected:?}, the network {found:?}"
        ))),
    }
}

/// The network with procedural weights, loaded under their published names, in evaluation mode.
fn filled<M: Module>(network: M, map: &KeyMap) -> Result<M> {
    let weights = Procedural::of(&network, map);
    load(network, &weights.source(), map).map_err(Error::method)
}

fn tensor<const D: usize>(case: &Case, name: &str, device: &Device) -> Result<Tensor<D>> {
    let (shape, values) = case.f32(name)?;
    Ok(Tensor::from_data(
        TensorData::new(values.to_vec(), shape.to_vec()),
        device,
    ))
}

fn values<const D: usize>(name: &str, tensor: Tensor<D>) -> Result<Produced> {
    let values = tensor
        .into_data()
        .try_into_vec::<f32>()
        .map_err(|error| Error::Case {
            kind: "resnet".into(),
            problem: format!("{name}: {error:?}"),
        })?;
    Ok(Produced::new(name, values))
}

fn network_case<M: Module + Classifier>(
    case: &Case,
    network: M,
    map: &KeyMap,
    stages: Stages<M>,
) -> Result<Vec<Produced>> {
    check_keys(case, &network, map)?;
    let network = filled(network, map)?.valid();
    let x = tensor(case, "in.x", &device())?;
    let mut means = Vec::new();
    let activations = stages(&network, x, &mut |h| means.push(average_pool(h.clone())));
    let features = network.pool(activations);
    let mut produced = vec![
        values("out.logits", network.head(features.clone()))?,
        values("out.features", features)?,
    ];
    for (stage, mean) in means.into_iter().enumerate() {
        produced.push(values(&format!("out.stage{stage}_channel_mean"), mean)?);
    }
    Ok(produced)
}

/// log p of the label, and its gradient with respect to the normalised input.
fn gradient<M: Module + Classifier>(
    case: &Case,
    network: &M,
    stages: Stages<M>,
) -> Result<Vec<Produced>> {
    let network = network.clone().valid();
    // A network outside autodiff has batch norms that use their running statistics; the input alone is tracked.
    let device = device().autodiff();
    let network = network.to_device(&device);
    let x = tensor::<4>(case, "in.x", &device)?.require_grad();
    let labels = case.i64("in.label")?.to_vec();
    let count = labels.len();
    let labels = Tensor::<1, Int>::from_data(TensorData::new(labels, [count]), &device);
    let activations = stages(&network, x.clone(), &mut |_| ());
    let log_p = log_softmax(network.head(network.pool(activations)), 1);
    let log_p = log_p.gather(1, labels.unsqueeze_dim::<2>(1));
    let gradient = x
        .grad(&log_p.clone().sum().backward())
        .ok_or_else(|| case.fault("the input has no gradient"))?;
    let gradient = values("out.input_grad_log_prob", gradient)?;
    // A ReLU may flip under other rounding: the case asks for the relative error of the whole as well.
    let expected = case.f64("out.input_grad_log_prob")?;
    let squares = |values: &mut dyn Iterator<Item = f64>| values.map(|v| v * v).sum::<f64>();
    let off = squares(&mut gradient.values.iter().zip(&expected).map(|(a, b)| a - b));
    let relative = (off / squares(&mut expected.iter().copied())).sqrt();
    if relative.is_nan() || relative > 1e-3 {
        return Err(case.fault(format!(
            "the gradient's relative L2 error is {relative:.2e}, allowed 1e-3"
        )));
    }
    Ok(vec![values("out.log_prob_label", log_p)?, gradient])
}

/// The formula itself: hashes, the first and last values and the sums.
fn formula(case: &Case) -> Result<Vec<Produced>> {
    let shapes = case.config["shapes"]
        .as_object()
        .ok_or_else(|| case.fault("its configuration has no `shapes`"))?;
    let mut produced = Vec::new();
    for (key, shape) in shapes {
        let shape: Vec<usize> = shape
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|axis| usize::try_from(axis.as_u64()?).ok())
            .collect();
        let count = shape.iter().product::<usize>();
        let stored = procedural(key, &shape);
        let first = count.min(64);
        let u = (0..first).map(|i| procedural_uniform(key, i));
        produced.extend([
            Produced::new(format!("out.hash.{key}"), [key_hash(key)]),
            Produced::new(format!("out.u.{key}"), u),
            Produced::new(format!("out.{key}"), stored[..first].iter().copied()),
            Produced::new(
                format!("out.last.{key}"),
                stored[count - count.min(8)..].iter().copied(),
            ),
            Produced::new(
                format!("out.sum.{key}"),
                [stored.iter().map(|&v| f64::from(v)).sum::<f64>()],
            ),
        ]);
    }
    Ok(produced)
}
