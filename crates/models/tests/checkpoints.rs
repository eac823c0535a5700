//! Checkpoints of every kind: what loads, what does not fit, and a user's own classifier.

use std::io::Write;
use std::path::{Path, PathBuf};

use burn::module::Module;
use burn::tensor::Device;
use diffguard_models::checkpoint::{KeyMap, Source, load};
use diffguard_models::cifar_resnet::{self, CifarResnetConfig};
use diffguard_models::described::DescribedClassifier;
use diffguard_models::network::ClassifierNetwork;
use diffguard_models::resnet18_32::{self, Resnet18SmallConfig};
use diffguard_models::resnet50::Resnet50Config;
use diffguard_models::verify::procedural::Procedural;
use diffguard_models::vgg::Vgg16Config;
use diffguard_models::wide_resnet::WideResnetConfig;
use diffguard_models::{Classifier, Summary};
use safetensors::tensor::{Dtype, TensorView, serialize};

/// A safetensors file of `(name, type, shape, bytes)`.
fn file(dir: &Path, tensors: &[(&str, Dtype, &[usize], Vec<u8>)]) -> PathBuf {
    let views = tensors.iter().map(|(name, dtype, shape, bytes)| {
        let view = TensorView::new(*dtype, shape.to_vec(), bytes).unwrap();
        (*name, view)
    });
    let path = dir.join("t.safetensors");
    std::fs::write(&path, serialize(views, None).unwrap()).unwrap();
    path
}

#[test]
fn every_float_becomes_f32_and_whole_numbers_do_not() {
    let dir = tempfile::tempdir().unwrap();
    let path = file(
        dir.path(),
        &[
            (
                "f16",
                Dtype::F16,
                &[1],
                half::f16::from_f32(1.5).to_le_bytes().to_vec(),
            ),
            (
                "bf16",
                Dtype::BF16,
                &[1],
                half::bf16::from_f32(-2.0).to_le_bytes().to_vec(),
            ),
            ("f32", Dtype::F32, &[1], 0.1f32.to_le_bytes().to_vec()),
            ("f64", Dtype::F64, &[1], 0.1f64.to_le_bytes().to_vec()),
            ("i64", Dtype::I64, &[1], 7i64.to_le_bytes().to_vec()),
        ],
    );
    let source = Source::open(&path).unwrap();
    let value = |name: &str| source.entries()[name].values();
    assert_eq!(value("f16").unwrap(), [1.5]);
    assert_eq!(value("bf16").unwrap(), [-2.0]);
    assert_eq!(value("f32").unwrap(), [0.1]);
    assert_eq!(value("f64").unwrap(), [0.1]);
    assert!(value("i64").unwrap_err().contains("whole numbers"));
}

#[test]
fn the_published_sizes() {
    // Parameters as published, and two running statistics for each normalised channel.
    let counted = |summary: diffguard_models::NetworkSummary| summary.parameters;
    let resnet18 = Resnet18SmallConfig::new(10).summary().unwrap();
    let resnet50 = Resnet50Config::new(1000).summary().unwrap();
    let wide = WideResnetConfig::new(10).summary().unwrap();
    let vgg = Vgg16Config::new(1000).summary().unwrap();
    assert_eq!(counted(resnet18), 11_173_962 + 2 * 4_800);
    assert_eq!(counted(resnet50), 25_557_032 + 2 * 26_560);
    assert_eq!(counted(wide), 36_479_194 + 2 * 8_976);
    assert_eq!(counted(vgg), 138_357_544);
}

#[test]
fn the_keys_are_the_published_ones() {
    let keys: Vec<String> = Resnet18SmallConfig::new(10)
        .summary()
        .unwrap()
        .keys
        .into_iter()
        .map(|key| format!("{} {:?}", key.published, key.shape))
        .collect();
    for key in [
        "conv1.weight [64, 3, 3, 3]",
        "layer2.0.shortcut.0.weight [128, 64, 1, 1]",
        "layer2.0.shortcut.1.running_mean [128]",
        "bn1.weight [64]",
        "fc.weight [10, 512]",
    ] {
        assert!(keys.iter().any(|known| known == key), "{key} in {keys:?}");
    }
}

#[test]
fn what_does_not_fit_is_told_in_the_files_words() {
    let device = Device::flex();
    let map = cifar_resnet::key_map();
    let source = Procedural::of(&CifarResnetConfig::new(10).init(&device), &map).source();
    let refuse = |config: CifarResnetConfig| {
        load(config.init(&device), &source, &map)
            .unwrap_err()
            .to_string()
    };
    let misshapen = refuse(CifarResnetConfig::new(8));
    assert!(
        misshapen
            .contains("linear.weight has the shape [10, 64] where the network expects [8, 64]"),
        "{misshapen}"
    );
    let missing = refuse(CifarResnetConfig::new(10).with_blocks(4));
    assert!(missing.contains("missing: layer1.3.bn1.bias"), "{missing}");
    let unexpected = refuse(CifarResnetConfig::new(10).with_blocks(2));
    assert!(
        unexpected.contains("unexpected: layer1.2.bn1.bias"),
        "{unexpected}"
    );
    // Another family's table.
    let other = load(
        Resnet18SmallConfig::new(10).init(&device),
        &source,
        &resnet18_32::key_map(),
    )
    .unwrap_err()
    .to_string();
    assert!(
        other.contains("shortcut.0.weight") || other.contains("missing"),
        "{other}"
    );
}

/// The four published CIFAR ResNets: legacy pickles with `state_dict` and `module.`.
#[test]
fn published_files_load() {
    let Some(first) = diffguard_oracle::large_file("weights/cifar10_resnet20-12fca82f.th") else {
        return;
    };
    let folder = first.parent().unwrap();
    for (file, blocks) in [
        ("cifar10_resnet20-12fca82f.th", 3),
        ("cifar10_resnet32-d509ac18.th", 5),
        ("cifar10_resnet44-014dd654.th", 7),
        ("cifar10_resnet56-4bfd9763.th", 9),
    ] {
        let source = Source::open(&folder.join(file)).unwrap();
        let map = cifar_resnet::key_map();
        assert!(
            map.select(&source)
                .unwrap()
                .ignored
                .iter()
                .all(|key| { key.ends_with("num_batches_tracked") })
        );
        let network = CifarResnetConfig::new(10)
            .with_blocks(blocks)
            .init(&Device::flex());
        let network = load(network, &source, &map).unwrap();
        assert!(network.num_params() > 0);
    }
}

#[test]
fn a_users_own_classifier() {
    let dir = tempfile::tempdir().unwrap();
    let device = Device::flex();
    let config = Resnet18SmallConfig::new(5).with_width(4);
    let map = KeyMap {
        rename: vec![("classifier".into(), "fc".into())],
        ..KeyMap::published()
    };
    let own = map.clone().with_renames([
        ("shortcut.0", "shortcut.conv"),
        ("shortcut.1", "shortcut.norm"),
    ]);
    let source = Procedural::of(&config.init(&device), &own).source();
    let tensors: Vec<(String, Vec<usize>, Vec<u8>)> = source
        .entries()
        .iter()
        .map(|(name, entry)| {
            let values = entry.values().unwrap();
            let bytes = values.iter().flat_map(|v| v.to_le_bytes()).collect();
            (name.clone(), entry.shape.clone(), bytes)
        })
        .collect();
    let views = tensors.iter().map(|(name, shape, bytes)| {
        let view = TensorView::new(Dtype::F32, shape.clone(), bytes).unwrap();
        (name.as_str(), view)
    });
    std::fs::write(
        dir.path().join("mine.safetensors"),
        serialize(views, None).unwrap(),
    )
    .unwrap();
    let described = dir.path().join("mine.toml");
    let head = "checkpoint = 'mine.safetensors'\n[network]\nfamily = 'resnet18-32'\nwidth = 4\nnum_classes = 5\n\
                input_side = 32\nmean = [0.5, 0.5, 0.5]\nstd = [0.2, 0.2, 0.2]\n";
    let keys = "[keys]\nrename = [['classifier', 'fc'], ['shortcut.0', 'shortcut.conv'], \
                ['shortcut.1', 'shortcut.norm']]\n";
    let write = |text: &str| std::fs::write(&described, text).unwrap();
    write(&format!("{head}{keys}"));
    let network = DescribedClassifier::read(&described)
        .unwrap()
        .load(&device)
        .unwrap();
    assert_eq!((network.num_classes(), network.input_side()), (5, 32));
    let refused = |text: &str| {
        write(text);
        match DescribedClassifier::read(&described) {
            Err(error) => error.to_string(),
            Ok(described) => described.load(&device).err().unwrap().to_string(),
        }
    };
    let text = refused(head);
    assert!(
        text.contains("missing: fc.") && text.contains("classifier.weight"),
        "{text}"
    );
    let text = refused(&head.replace("std = [0.2, 0.2, 0.2]", "std = [0.2, 0.0, 0.2]"));
    assert!(text.contains("`std` must be positive"), "{text}");
    // A training that diverged.
    let (name, shape, mut bytes) = tensors[0].clone();
    bytes[..4].copy_from_slice(&f32::NAN.to_le_bytes());
    let mut ruined = tensors.clone();
    ruined[0] = (name, shape, bytes);
    let views = ruined.iter().map(|(name, shape, bytes)| {
        let view = TensorView::new(Dtype::F32, shape.clone(), bytes).unwrap();
        (name.as_str(), view)
    });
    let file = dir.path().join("mine.safetensors");
    let whole = std::fs::read(&file).unwrap();
    std::fs::write(&file, serialize(views, None).unwrap()).unwrap();
    let text = refused(&format!("{head}{keys}"));
    assert!(
        text.contains("mine.safetensors") && text.contains("NaN"),
        "{text}"
    );
    std::fs::write(&file, whole).unwrap();
    let text = refused(&format!("sha256 = 'abc'\n{head}{keys}"));
    assert!(text.contains("abc"), "{text}");
    let text = refused(&format!("runtime = 'onnx'\n{head}"));
    assert!(text.contains("not built"), "{text}");
    let text = refused(&head.replace("width", "widht"));
    assert!(text.contains("widht"), "{text}");
}

#[test]
fn files_that_are_no_checkpoints_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("readme.pt");
    let mut file = std::fs::File::create(&path).unwrap();
    file.write_all(b"version https://git-lfs.github.com/spec/v1\n")
        .unwrap();
    let text = Source::open(&path).err().unwrap().to_string();
    assert!(
        text.contains("readme.pt") && text.contains("torch.save"),
        "{text}"
    );
}

#[test]
fn vgg16_by_its_family() {
    let read = |text: &str| -> ClassifierNetwork { toml::from_str(text).unwrap() };
    let network = read(
        "family = 'vgg16'\npooled_side = 1\nhidden = 16\nnum_classes = 5\ninput_side = 32\n\
         mean = [0.5, 0.4, 0.3]\nstd = [0.2, 0.2, 0.2]",
    );
    network.check().unwrap();
    let device = Device::flex();
    let config = Vgg16Config::new(5)
        .with_input_side(32)
        .with_pooled_side(1)
        .with_hidden(16)
        .with_mean(vec![0.5, 0.4, 0.3])
        .with_std(vec![0.2; 3]);
    let own = config.init(&device);
    let source = Procedural::of(&own, &network.key_map()).source();
    let loaded = network
        .load_from(&source, &network.key_map(), &device)
        .unwrap();
    assert_eq!((loaded.num_classes(), loaded.input_side()), (5, 32));
    let values: Vec<f32> = (0..3 * 32 * 32).map(|i| (i as f32).sin()).collect();
    let image =
        burn::tensor::Tensor::<1>::from_floats(values.as_slice(), &device).reshape([1, 3, 32, 32]);
    let own = load(own, &source, &network.key_map()).unwrap();
    let (a, b) = (loaded.logits(image.clone()), own.logits(image));
    a.into_data().assert_eq(&b.into_data(), true);
    // Too small for five halvings; images of another size; a file that does not fit.
    let small = read(
        "family = 'vgg16'\nnum_classes = 5\ninput_side = 16\nmean = [0.5, 0.5, 0.5]\nstd = [0.2, 0.2, 0.2]",
    );
    assert!(small.check().unwrap_err().contains("needs 32 or more"));
    let error = network.check_images([1, 28, 28]).unwrap_err().to_string();
    assert!(error.contains("features.0"), "{error}");
    let wider = read(
        "family = 'vgg16'\npooled_side = 1\nhidden = 24\nnum_classes = 5\ninput_side = 32\n\
         mean = [0.5, 0.5, 0.5]\nstd = [0.2, 0.2, 0.2]",
    );
    let error = wider.load_from(&source, &wider.key_map(), &device);
    let error = error.err().unwrap().to_string();
    assert!(
        error.contains(
            "classifier.0.weight has the shape [16, 512] where the network expects [24, 512]"
        ),
        "{error}"
    );
}
