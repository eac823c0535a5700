//! What the similarities have in common; `oracles.rs` compares them with the reference's.

mod common;

use std::convert::Infallible;

use burn::tensor::{Device, Tensor};
use common::{host, networks::SmallClassifier, uniform};
use diffguard_guidance::similarity::{DistsWeights, LpipsWeights, Perceptual, PerceptualFiles};
use diffguard_guidance::{SIMILARITIES, Similarity, SimilarityName, View};
use diffguard_models::Classifier;
use diffguard_models::vgg::{BLOCK_CHANNELS, Vgg16Features};
use diffguard_oracle::procedural;
use safetensors::tensor::{Dtype, TensorView};

fn by_name(name: &str) -> &'static Similarity {
    name.parse::<SimilarityName>().unwrap().similarity()
}

/// VGG-16 filled by formula, with equal weights in both distances.
fn perceptual() -> Perceptual {
    let device = Device::flex();
    let vgg = Vgg16Features::from_values(
        |key, shape| Ok::<_, Infallible>(procedural(key, shape)),
        &device,
    );
    let Ok(vgg) = vgg;
    let share = vec![0.5 / DistsWeights::CHANNELS as f32; DistsWeights::CHANNELS];
    let ones: Vec<Vec<f32>> = BLOCK_CHANNELS.map(|n| vec![1.0; n]).into();
    Perceptual::new(vgg)
        .with_dists(DistsWeights::new(&share, &share, &device).unwrap())
        .with_lpips(LpipsWeights::new(&ones, &device).unwrap())
}

fn grey(batch: usize, side: usize, seed: u64) -> Tensor<4> {
    uniform([batch, 1, side, side], seed)
}

/// Equal images have the highest score of every similarity, and more noise a lower one; of grey images as of colour
/// ones, large and small.
fn orders(image: &Tensor<4>, skipped: &[&str]) {
    let classifier = SmallClassifier::of_channels(image.dims()[1], 28);
    let perceptual = perceptual();
    let noise = |amount: f64| image.clone() + uniform(image.dims(), 2) * amount;
    let others = [image.clone(), noise(0.02), noise(0.4)];
    let view = |image: &Tensor<4>| {
        View::new(image.clone(), Some(&classifier)).with_perceptual(&perceptual)
    };
    let reference = view(image);
    let others = others.each_ref().map(view);
    for similarity in SIMILARITIES {
        let [equal, near, far] = others
            .each_ref()
            .map(|other| similarity.score(&reference, other));
        if skipped.contains(&similarity.name) {
            let message = equal.unwrap_err().to_string();
            assert!(message.contains("needs at least"), "{message}");
            continue;
        }
        let [equal, near, far] = [equal, near, far].map(|scores| host(&scores.unwrap()));
        for i in 0..equal.len() {
            assert!(
                equal[i] > near[i] && near[i] > far[i] && far[i].is_finite(),
                "{}: {} {} {}",
                similarity.name,
                equal[i],
                near[i],
                far[i]
            );
        }
    }
}

#[test]
fn grey_images_of_28_pixels() {
    orders(&grey(3, 28, 1), &["ms-ssim", "vif", "vif-unclamped"]);
}

#[test]
fn colour_images_of_32_pixels() {
    orders(
        &uniform([2, 3, 32, 32], 1),
        &["ms-ssim", "vif", "vif-unclamped"],
    );
}

#[test]
fn colour_images_of_256_pixels() {
    // Smooth ones: noise on noise has more contrast, which VIF rewards.
    let coarse = uniform::<4>([1, 3, 32, 32], 1) * 0.5;
    let image = coarse
        .reshape([1, 3, 32, 1, 32, 1])
        .expand([1, 3, 32, 8, 32, 8])
        .reshape([1, 3, 256, 256]);
    orders(&image, &[]);
}

/// What a similarity says of a pair does not depend on the pairs beside it.
#[test]
fn a_pair_alone_scores_as_in_its_batch() {
    let classifier = SmallClassifier::of_channels(3, 32);
    let perceptual = perceptual();
    let (x, y) = (
        uniform::<4>([3, 3, 48, 44], 1),
        uniform::<4>([3, 3, 48, 44], 2),
    );
    let view = |image: Tensor<4>| View::new(image, Some(&classifier)).with_perceptual(&perceptual);
    let together = [view(x.clone()), view(y.clone())];
    let alone = [view(x.narrow(0, 1, 1)), view(y.narrow(0, 1, 1))];
    for similarity in SIMILARITIES.iter().filter(|s| s.name != "ms-ssim") {
        let of = |[x, y]: &[View<'_>; 2]| host(&similarity.score(x, y).unwrap());
        let (together, alone) = (of(&together)[1], of(&alone)[0]);
        assert!(
            (together - alone).abs() <= 1e-5 * (1.0 + alone.abs()),
            "{}: {together} {alone}",
            similarity.name
        );
    }
}

/// Flat images divide zero by zero where a formula is not guarded.
#[test]
fn flat_images_have_finite_scores() {
    let classifier = SmallClassifier::of_channels(3, 32);
    let perceptual = perceptual();
    let view = |value: f64| {
        let image = Tensor::full([1, 3, 48, 48], value, &Device::flex());
        View::new(image, Some(&classifier)).with_perceptual(&perceptual)
    };
    let (black, white) = (view(-1.0), view(1.0));
    for similarity in SIMILARITIES.iter().filter(|s| s.name != "ms-ssim") {
        for (x, y) in [(&black, &black), (&black, &white), (&white, &white)] {
            let score = host(&similarity.score(x, y).unwrap())[0];
            assert!(score.is_finite(), "{}: {score}", similarity.name);
        }
    }
}

#[test]
fn the_networks_look_at_the_reference_once() {
    let classifier = SmallClassifier::random(28);
    let reference = View::new(grey(3, 28, 1), Some(&classifier));
    let own: Vec<_> = SIMILARITIES.iter().filter(|s| s.needs_classifier).collect();
    assert_eq!(own.len(), 12);
    for seed in 2..5 {
        let synthesis = View::new(grey(3, 28, seed), Some(&classifier));
        for similarity in &own {
            similarity.score(&reference, &synthesis).unwrap();
        }
        assert_eq!(synthesis.cost().classifier_rows, 3);
    }
    assert_eq!(*classifier.rows.lock().unwrap(), [3; 4]);
    assert_eq!(reference.cost().classifier_rows, 3);
}

#[test]
fn what_cannot_be_compared_is_refused() {
    let small = || View::new(grey(1, 8, 1), None);
    for name in [
        "ssim",
        "ms-ssim",
        "vif",
        "logits-l1",
        "features-cosine",
        "dists-own",
    ] {
        let message = by_name(name)
            .score(&small(), &small())
            .unwrap_err()
            .to_string();
        assert!(message.contains(name), "{message}");
    }
    let other = View::new(grey(2, 8, 1), None);
    assert!(SIMILARITIES[0].score(&small(), &other).is_err());
    let four = || View::new(uniform([1, 4, 32, 32], 1), None);
    for name in ["gmsd", "mdsi", "fsim"] {
        let message = by_name(name)
            .score(&four(), &four())
            .unwrap_err()
            .to_string();
        assert!(message.contains("4 channels"), "{message}");
    }
}

#[test]
fn missing_weights_are_refused_with_the_command_that_fetches_them() {
    let view = || View::new(grey(1, 32, 1), None);
    for (name, command) in [
        ("dists", "`cargo xtask fetch torchvision-vgg16 piq-dists`"),
        ("lpips", "`cargo xtask fetch torchvision-vgg16 lpips-vgg`"),
    ] {
        let message = by_name(name)
            .score(&view(), &view())
            .unwrap_err()
            .to_string();
        assert!(
            message.contains(command) && message.contains(&format!("`{name}-own`")),
            "{message}"
        );
    }
    let device = Device::flex();
    assert!(DistsWeights::new(&[0.5], &[0.5], &device).is_err());
    assert!(LpipsWeights::new(&[vec![1.0; 64]], &device).is_err());
}

/// Weights from files give the scores that the same weights in memory give; what is missing is named.
#[test]
fn weights_from_files() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, tensors: Vec<(String, Vec<usize>, Vec<f32>)>| {
        let bytes: Vec<_> = tensors
            .into_iter()
            .map(|(key, shape, values)| {
                let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
                (key, shape, bytes)
            })
            .collect();
        let views = bytes.iter().map(|(key, shape, bytes)| {
            (
                key,
                TensorView::new(Dtype::F32, shape.clone(), bytes).unwrap(),
            )
        });
        let path = folder.path().join(name);
        std::fs::write(&path, safetensors::serialize(views, None).unwrap()).unwrap();
        path
    };
    // As the published file: with the classifier, which nobody reads here.
    let mut vgg: Vec<_> = Vgg16Features::parameters()
        .map(|(key, shape)| (key.clone(), shape.clone(), procedural(&key, &shape)))
        .collect();
    vgg.push(("classifier.0.bias".into(), vec![2], vec![0.0; 2]));
    let share = vec![0.5 / DistsWeights::CHANNELS as f32; DistsWeights::CHANNELS];
    let dists = |keys: &[&str]| {
        let shape = vec![1, DistsWeights::CHANNELS, 1, 1];
        let tensor = |key: &&str| ((*key).to_owned(), shape.clone(), share.clone());
        keys.iter().map(tensor).collect::<Vec<_>>()
    };
    let lpips = BLOCK_CHANNELS.iter().enumerate().map(|(i, &n)| {
        let key = format!("lin{i}.model.1.weight");
        (key, vec![1, n, 1, 1], vec![1.0; n])
    });
    let files = PerceptualFiles {
        vgg16: write("vgg.safetensors", vgg),
        dists: Some(write("dists.safetensors", dists(&["alpha", "beta"]))),
        lpips: Some(write("lpips.safetensors", lpips.collect())),
    };
    let read = Perceptual::load(&files, &Device::flex()).unwrap();
    let made = perceptual();
    for name in ["dists", "lpips"] {
        let [from_file, from_memory] = [&read, &made].map(|perceptual| {
            let view = |seed| View::new(grey(2, 32, seed), None).with_perceptual(perceptual);
            host(&by_name(name).score(&view(1), &view(2)).unwrap())
        });
        assert_eq!(from_file, from_memory);
    }
    for (path, missing) in [
        (write("half.safetensors", dists(&["alpha"])), "no `beta`"),
        (folder.path().join("none.pt"), "none.pt"),
    ] {
        let files = PerceptualFiles {
            dists: Some(path.clone()),
            ..files.clone()
        };
        let message = Perceptual::load(&files, &Device::flex())
            .unwrap_err()
            .to_string();
        let path = path.display().to_string();
        assert!(
            message.contains(&path) && message.contains(missing),
            "{message}"
        );
    }
}

/// `dists-own` and `lpips-own` by hand, of a network whose only stage is the image itself.
#[test]
fn own_distances_by_hand() {
    struct Mirror;
    impl Classifier for Mirror {
        fn last_stage(&self, image: Tensor<4>) -> Tensor<4> {
            (image + 1.0) / 2.0
        }
        fn pool(&self, activations: Tensor<4>) -> Tensor<2> {
            activations.flatten(1, 3)
        }
        fn head(&self, features: Tensor<2>) -> Tensor<2> {
            features
        }
        fn head_parameters(&self) -> (Tensor<2>, Tensor<1>) {
            unreachable!("no similarity asks for it")
        }
        fn num_classes(&self) -> usize {
            2
        }
        fn input_side(&self) -> usize {
            1
        }
    }
    let image = |pixels: [f32; 2]| {
        let image = Tensor::<1>::from_floats(pixels, &Device::flex());
        View::new(image.reshape([1, 1, 1, 2]) * 2.0 - 1.0, Some(&Mirror))
    };
    let (x, y) = (image([0.2, 0.6]), image([0.8, 0.4]));
    // Means 0.4 and 0.6, variances 0.04 and 0.04, covariance -0.04.
    let structure = (2.0 * 0.24 + 1e-6) / (0.16 + 0.36 + 1e-6);
    let texture = (-0.08 + 1e-6) / (0.08 + 1e-6);
    let got = host(&by_name("dists-own").score(&x, &y).unwrap())[0];
    assert!((got - (structure + texture) / 2.0).abs() < 1e-6, "{got}");
    // One positive channel has length 1 everywhere.
    assert!(host(&by_name("lpips-own").score(&x, &y).unwrap())[0].abs() < 1e-6);
}

#[test]
fn names() {
    let message = "sim".parse::<SimilarityName>().unwrap_err().to_string();
    assert!(
        message.contains("did you mean `ssim`") && message.contains("gmsd"),
        "{message}"
    );
    let read: Vec<SimilarityName> = serde_json::from_str(r#"["l1", "logits-l1"]"#).unwrap();
    assert_eq!(read[1].as_str(), "logits-l1");
    assert_eq!(
        serde_json::to_string(&read).unwrap(),
        r#"["l1","logits-l1"]"#
    );
    assert!(serde_json::from_str::<SimilarityName>(r#""l3""#).is_err());
    for (i, similarity) in SIMILARITIES.iter().enumerate() {
        assert!(
            SIMILARITIES[..i]
                .iter()
                .all(|other| other.name != similarity.name)
        );
        assert_eq!(
            similarity
                .name
                .parse::<SimilarityName>()
                .unwrap()
                .similarity()
                .name,
            similarity.name
        );
    }
}
