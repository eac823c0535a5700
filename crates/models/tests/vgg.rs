//! VGG-16 as a classifier: its names, its shapes, and that both faces of it are one network. Its activations are
//! compared with the reference's by the golden cases of kind `similarity`.

use burn::tensor::{Device, Tensor};
use diffguard_models::Classifier;
use diffguard_models::checkpoint::{Precision, from_bytes, to_bytes};
use diffguard_models::vgg::{
    BLOCK_CHANNELS, Pooling, Vgg16Config, Vgg16Features, imagenet_normalise,
};
use diffguard_oracle::procedural;
use safetensors::SafeTensors;

fn image(side: usize) -> Tensor<4> {
    let values = procedural("image", &[1, 3 * side * side]);
    let values: Vec<f32> = values.iter().map(|v| v * 20.0).collect();
    Tensor::<1>::from_floats(values.as_slice(), &Device::flex())
        .reshape([1, 3, side, side])
        .clamp(-1.0, 1.0)
}

#[test]
fn parameters_have_torchvisions_names_and_shapes() {
    let network = Vgg16Config::new(10)
        .with_input_side(32)
        .with_pooled_side(1)
        .with_hidden(16)
        .init(&Device::flex());
    let bytes = to_bytes(&network, Precision::F32, "test").unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let mut expected: Vec<(String, Vec<usize>)> = Vgg16Features::parameters().collect();
    assert_eq!(expected.len(), 26);
    let total: usize = expected
        .iter()
        .map(|(_, s)| s.iter().product::<usize>())
        .sum();
    assert_eq!(total, 14_714_688, "the count of torchvision's convolutions");
    assert_eq!(expected[24].0, "features.28.weight");
    // Linear weights are stored transposed here.
    for (position, inputs, outputs) in [(0, 512, 16), (3, 16, 16), (6, 16, 10)] {
        expected.push((
            format!("classifier.{position}.weight"),
            vec![inputs, outputs],
        ));
        expected.push((format!("classifier.{position}.bias"), vec![outputs]));
    }
    let mut stored: Vec<(String, Vec<usize>)> = file
        .iter()
        .map(|(name, view)| (name.to_owned(), view.shape().to_vec()))
        .collect();
    expected.sort();
    stored.sort();
    assert_eq!(stored, expected);

    let loaded = from_bytes(network.clone(), bytes.clone(), "memory".as_ref()).unwrap();
    let [before, after] = [network, loaded].map(|n| n.logits(image(32)).into_data());
    assert_eq!(before, after);
}

#[test]
fn a_classifier_and_its_features_are_one_network() {
    let network = Vgg16Config::new(10)
        .with_input_side(32)
        .with_pooled_side(1)
        .with_hidden(16)
        .init(&Device::flex());
    let bytes = to_bytes(&network, Precision::F32, "test").unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let features = Vgg16Features::from_values(
        |key, shape| {
            let view = file.tensor(key)?;
            assert_eq!(view.shape(), shape);
            let (numbers, _) = view.data().as_chunks::<4>();
            Ok::<_, safetensors::SafeTensorError>(
                numbers.iter().map(|b| f32::from_le_bytes(*b)).collect(),
            )
        },
        &Device::flex(),
    )
    .unwrap();
    let blocks = features.blocks((image(32) + 1.0) * 0.5, Pooling::Max);
    let stages = network.blocks(imagenet_normalise((image(32) + 1.0) * 0.5));
    for (block, stage) in blocks.iter().zip(&stages) {
        block.to_data().assert_eq(&stage.to_data(), true);
    }
    let named = network.stage_activations(image(32));
    let last = network.last_stage(image(32));
    last.to_data().assert_eq(&named[4].to_data(), true);
    // The preprocessing is another way of writing the same normalisation.
    for (named, stage) in named.into_iter().zip(stages.clone()) {
        assert!((named - stage).abs().max().into_scalar::<f32>() < 1e-5);
    }
    let shapes: Vec<[usize; 4]> = stages.iter().map(Tensor::dims).collect();
    let sides = [32, 16, 8, 4, 2];
    for ((shape, side), channels) in shapes.iter().zip(sides).zip(BLOCK_CHANNELS) {
        assert_eq!(*shape, [1, channels, side, side]);
    }
    let (weight, bias) = network.head_parameters();
    let by_hand = network.features(image(32)).matmul(weight.transpose()) + bias.unsqueeze::<2>();
    let logits = network.logits(image(32));
    assert_eq!(logits.dims(), [1, network.num_classes()]);
    assert!((by_hand - logits).abs().max().into_scalar::<f32>() < 1e-5);
}

/// L2 pooling keeps the odd column and row, max pooling drops them.
#[test]
fn odd_sides() {
    let Ok(network) = Vgg16Features::from_values(
        |key, shape| Ok::<_, std::convert::Infallible>(procedural(key, shape)),
        &Device::flex(),
    );
    let sides = |pooling| -> Vec<usize> {
        let blocks = network.blocks((image(29) + 1.0) * 0.5, pooling);
        blocks.iter().map(|block| block.dims()[2]).collect()
    };
    assert_eq!(sides(Pooling::L2Hann), [29, 15, 8, 4, 2]);
    assert_eq!(sides(Pooling::Max), [29, 14, 7, 3, 1]);
}
