//! `model info` and `accuracy` of a user's own classifier: a checkpoint and the TOML that describes it.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Map, json};

fn xtask(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_xtask"))
        .args(arguments)
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .output()
        .unwrap()
}

/// ResNet-8 with four channels whose last layer says "cat" (class 3) of everything, under names of its own.
fn checkpoint(path: &Path) {
    let mut tensors: Vec<(String, Vec<usize>)> = Vec::new();
    let norm = |tensors: &mut Vec<(String, Vec<usize>)>, name: &str, channels: usize| {
        for part in ["weight", "bias", "running_mean", "running_var"] {
            tensors.push((format!("net.{name}.{part}"), vec![channels]));
        }
    };
    tensors.push(("net.conv1.weight".into(), vec![4, 3, 3, 3]));
    norm(&mut tensors, "bn1", 4);
    for (stage, from, to) in [(1, 4, 4), (2, 4, 8), (3, 8, 16)] {
        for (conv, from) in [(1, from), (2, to)] {
            let name = format!("net.layer{stage}.0.conv{conv}.weight");
            tensors.push((name, vec![to, from, 3, 3]));
            norm(&mut tensors, &format!("layer{stage}.0.bn{conv}"), to);
        }
    }
    tensors.push(("net.head.weight".into(), vec![10, 16]));
    tensors.push(("net.head.bias".into(), vec![10]));
    let (mut header, mut data) = (Map::new(), Vec::<u8>::new());
    for (name, shape) in tensors {
        let from = data.len();
        for i in 0..shape.iter().product() {
            let value: f32 = match name.as_str() {
                "net.head.weight" => 0.0,
                "net.head.bias" => f32::from(u8::from(i == 3)),
                name if name.ends_with("running_var") => 1.0,
                _ => (i as f32).sin(),
            };
            data.extend(value.to_le_bytes());
        }
        header.insert(
            name,
            json!({"dtype": "F32", "shape": shape, "data_offsets": [from, data.len()]}),
        );
    }
    let header = serde_json::to_vec(&header).unwrap();
    let length = (header.len() as u64).to_le_bytes();
    std::fs::write(path, [&length, header.as_slice(), &data].concat()).unwrap();
}

const DESCRIPTION: &str = "checkpoint = 'mine.safetensors'\n[network]\nfamily = 'cifar-resnet'\nblocks = 1\nwidth = 4\n\
                           num_classes = 10\ninput_side = 32\nmean = [0.5, 0.5, 0.5]\nstd = [0.25, 0.25, 0.25]\n\
                           [keys]\nstrip = ['net']\nrename = [['head', 'linear']]\n";

#[test]
fn a_described_checkpoint_is_told_of_and_measured() {
    let folder = tempfile::tempdir().unwrap();
    let (file, toml) = (
        folder.path().join("mine.safetensors"),
        folder.path().join("mine.toml"),
    );
    checkpoint(&file);
    std::fs::write(&toml, DESCRIPTION).unwrap();
    let (file, toml) = (file.to_str().unwrap(), toml.to_str().unwrap());

    let output = xtask(&["model", "info", file, "--config", toml]);
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{output:?}");
    for word in [
        "mine, classifier",
        "GFLOP an image",
        "its weights",
        "one classification, 1x3x32x32 -> 1x10: ",
        "peak memory ",
    ] {
        assert!(told.contains(word), "{word} in {told}");
    }
    let output = xtask(&["model", "info", file, "--config", toml, "--no-run"]);
    assert!(output.status.success(), "{output:?}");
    assert!(!String::from_utf8_lossy(&output.stdout).contains("one classification"));

    // Without the description nobody knows what the file is.
    let output = xtask(&[
        "accuracy",
        "--model",
        file,
        "--dataset",
        "cifar10",
        "--offline",
    ]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    let output = xtask(&["model", "info", file]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("--config"));

    if std::env::var_os("DIFFGUARD_DATA").is_none() {
        println!("SKIPPED: accuracy on CIFAR-10 (set DIFFGUARD_DATA to a folder that has it)");
        return;
    }
    // A tenth of the images are cats.
    let measure = [
        "accuracy",
        "--model",
        file,
        "--config",
        toml,
        "--dataset",
        "cifar10",
        "--limit",
        "100",
        "--offline",
    ];
    let output = xtask(&measure);
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(told.lines().last(), Some("10.00 % of 100 images"), "{told}");
}

#[test]
fn every_named_network_is_told_of() {
    for (name, words) in [
        ("guided-diffusion-256-uncond", ["552,814,086", "566"]),
        ("vgg16", ["138,357,544", "32"]),
        ("wide-resnet-28-10", ["36,497,146", "130"]),
        ("assets/quick/quick-unet.toml", ["28 x 28 pixels", "GFLOP"]),
    ] {
        let output = xtask(&["model", "info", name, "--no-run"]);
        let told = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{output:?}");
        assert!(words.iter().all(|word| told.contains(word)), "{told}");
    }
}
