//! The CIFAR ResNet against the reference network (oracle kind `resnet`, case `resnet20_cifar10`), filled by the same
//! formula.

use std::collections::HashMap;
use std::path::Path;

use burn::module::Module;
use burn::tensor::{Device, Tensor, TensorData};
use diffguard_models::Classifier;
use diffguard_models::checkpoint::{Precision, from_bytes, to_bytes};
use diffguard_models::cifar_resnet::CifarResnetConfig;
use diffguard_models::residual::Residual;
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};

/// The oracles' "procedural weights": a value for each entry from the key's hash and the entry's index.
fn procedural(key: &str, shape: &[usize]) -> Vec<f32> {
    let hash = key.bytes().fold(2_166_136_261u32, |hash, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(16_777_619)
    });
    let h = f64::from(hash % 10_007);
    let fan_in: usize = shape.iter().skip(1).product();
    (0..shape.iter().product::<usize>())
        .map(|i| {
            let product = (i + 1) as f64 * 12.9898;
            let value = (product + h).sin() * 43_758.545_3;
            let u = value - value.floor();
            let c = 2.0 * u - 1.0;
            let filled = match key {
                _ if shape.len() > 1 => c * (3.0 / fan_in as f64).sqrt(),
                _ if key.ends_with("running_var") => 1.0 + 0.5 * u,
                _ if key.ends_with("weight") => 1.0 + 0.1 * c,
                _ => 0.1 * c,
            };
            filled as f32
        })
        .collect()
}

/// The reference's key of one of our parameters, and whether it is stored transposed.
fn reference_key(ours: &str) -> (String, bool) {
    let key = ours.replace(".gamma", ".weight").replace(".beta", ".bias");
    (key, ours == "linear.weight")
}

fn filled() -> Vec<u8> {
    let empty = CifarResnetConfig::new(10).init(&Device::flex());
    let bytes = to_bytes(&empty, Precision::F32, "test").unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let mut filled: Vec<(String, Vec<usize>, Vec<u8>)> = Vec::new();
    for (name, view) in tensors.iter() {
        let (key, transposed) = reference_key(name);
        let shape = view.shape().to_vec();
        let values = match transposed {
            true => {
                let (rows, columns) = (shape[1], shape[0]);
                let given = procedural(&key, &[rows, columns]);
                (0..columns)
                    .flat_map(|c| (0..rows).map(move |r| (r, c)))
                    .map(|(r, c)| given[r * columns + c])
                    .collect()
            }
            false => procedural(&key, &shape),
        };
        filled.push((
            name.to_owned(),
            shape,
            values.iter().flat_map(|v: &f32| v.to_le_bytes()).collect(),
        ));
    }
    let views: HashMap<String, TensorView> = filled
        .iter()
        .map(|(name, shape, data)| {
            (
                name.clone(),
                TensorView::new(Dtype::F32, shape.clone(), data).unwrap(),
            )
        })
        .collect();
    safetensors::serialize(views, None).unwrap()
}

fn read<const D: usize>(file: &SafeTensors, name: &str) -> Tensor<D> {
    let view = file.tensor(name).unwrap();
    let values: Vec<f32> = view
        .data()
        .chunks_exact(4)
        .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
        .collect();
    Tensor::from_data(
        TensorData::new(values, view.shape().to_vec()),
        &Device::flex(),
    )
}

/// The largest excess of |ours - theirs| over the oracle's tolerance, 0 when inside.
fn excess<const D: usize>(ours: Tensor<D>, theirs: Tensor<D>, (rtol, atol): (f64, f64)) -> f32 {
    ((ours - theirs.clone()).abs() - (theirs.abs() * rtol + atol))
        .max()
        .into_scalar()
}

#[test]
fn equals_the_reference() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../oracles/resnet/resnet20_cifar10.safetensors");
    let bytes = std::fs::read(path).unwrap();
    let (_, header) = SafeTensors::read_metadata(&bytes).unwrap();
    let metadata = header.metadata().as_ref().unwrap();
    let tolerance = (
        metadata["rtol"].parse().unwrap(),
        metadata["atol"].parse().unwrap(),
    );
    let file = SafeTensors::deserialize(&bytes).unwrap();

    let network = CifarResnetConfig::new(10).init(&Device::flex());
    // The published number counts no running statistics: two for each of the 688 normalised channels.
    assert_eq!(network.num_params(), 269_722 + 2 * 688);
    let network = from_bytes(network, filled(), Path::new("procedural"))
        .unwrap()
        .valid();
    let activations = network.activations(read::<4>(&file, "in.x"), &mut |_| ());
    let features = network.pool(activations);
    let logits = network.head(features.clone());
    assert!(excess(features, read(&file, "out.features"), tolerance) <= 0.0);
    assert!(excess(logits, read(&file, "out.logits"), tolerance) <= 0.0);
}

#[test]
fn what_does_not_fit_is_named() {
    let device = Device::flex();
    let bytes = to_bytes(
        &CifarResnetConfig::new(10).init(&device),
        Precision::F32,
        "test",
    )
    .unwrap();
    let load = |config: CifarResnetConfig, bytes: Vec<u8>| {
        from_bytes(
            config.init(&device),
            bytes,
            Path::new("weights.safetensors"),
        )
        .unwrap_err()
        .to_string()
    };
    let misshapen = load(CifarResnetConfig::new(8), bytes.clone());
    assert!(
        misshapen.contains("linear") && misshapen.contains("weights.safetensors"),
        "{misshapen}"
    );
    let missing = load(CifarResnetConfig::new(10).with_blocks(4), bytes.clone());
    assert!(missing.contains("missing: layer1.3"), "{missing}");
    let unexpected = load(CifarResnetConfig::new(10).with_blocks(2), bytes.clone());
    assert!(unexpected.contains("unexpected: layer1.2"), "{unexpected}");
    for length in [0, 7, 100, bytes.len() - 1] {
        let truncated = load(CifarResnetConfig::new(10), bytes[..length].to_vec());
        assert!(
            truncated.contains("safetensors"),
            "of {length} bytes: {truncated}"
        );
    }
}
