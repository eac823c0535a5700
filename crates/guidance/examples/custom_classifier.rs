//! Guards a classifier of one's own, by a trait of three methods: here the nearest class mean of coarse pixels, which is
//! a linear classifier. `cargo run --release --package diffguard-guidance --example custom_classifier`

mod quick;

use burn::tensor::{Device, Tensor, TensorData, module::avg_pool2d, ops::AvgPoolOptions};
use diffguard_datasets::benchmark;
use diffguard_guidance::{DiffGuard, InversionConfig, Settings, Simple, SimpleClassifier};
use diffguard_models::Classifier;

/// Pixels of a coarse image: 14 x 14.
const COARSE: usize = 196;

struct NearestMean {
    /// `[class, COARSE]`.
    weight: Tensor<2>,
    /// `[class]`.
    bias: Tensor<1>,
}

impl NearestMean {
    /// `|f - mean|^2` is smallest where `f . mean - |mean|^2 / 2` is largest.
    fn fit(images: Tensor<4>, labels: &[usize], classes: usize) -> Self {
        let features = coarse(images).flatten::<2>(1, 3);
        let means = (0..classes).map(|class| {
            let members = labels
                .iter()
                .enumerate()
                .filter(|(_, label)| **label == class);
            let rows = members.map(|(i, _)| features.clone().narrow(0, i, 1));
            Tensor::cat(rows.collect(), 0).mean_dim(0)
        });
        let weight = Tensor::cat(means.collect(), 0);
        let bias = weight.clone().square().sum_dim(1).squeeze_dim::<1>(1) * -0.5;
        Self { weight, bias }
    }
}

fn coarse(images: Tensor<4>) -> Tensor<4> {
    let [batch, ..] = images.dims();
    let halved = avg_pool2d(images, AvgPoolOptions::new([2, 2]).with_stride([2, 2]));
    halved.reshape([batch, COARSE, 1, 1])
}

impl SimpleClassifier for NearestMean {
    fn activations(&self, image: Tensor<4>) -> Tensor<4> {
        coarse(image)
    }

    fn linear(&self) -> (Tensor<2>, Tensor<1>) {
        (self.weight.clone(), self.bias.clone())
    }

    fn input_side(&self) -> usize {
        28
    }
}

fn main() -> quick::Result<()> {
    let benchmark = benchmark::load("quick", &quick::assets())?;
    let tensor = |set: &diffguard_datasets::ImageSet| {
        let shape = [set.len(), 1, 28, 28];
        let values = set.signed(0..set.len());
        Tensor::<4>::from_data(TensorData::new(values, shape), &Device::flex())
    };
    let labels = |set: &diffguard_datasets::ImageSet| -> Vec<usize> {
        set.labels.iter().map(|label| *label as usize).collect()
    };
    let fit = benchmark.fit.limit(800, 0);
    let classes = benchmark.class_names.len();
    let classifier = Simple(NearestMean::fit(tensor(&fit), &labels(&fit), classes));

    let (unet, schedule) = quick::diffusion()?;
    let settings = Settings {
        schedule,
        inversion: InversionConfig {
            fraction: 0.6,
            ..InversionConfig::default()
        },
        similarity: vec!["logits-l1-normalised".parse()?],
        ..Settings::default()
    };
    let test = benchmark.id_test.limit(40, 0);
    let logits = classifier.logits(tensor(&test)).argmax(1).into_data();
    let right = logits
        .iter::<i64>()
        .zip(&test.labels)
        .filter(|(a, b)| a == *b);
    println!(
        "{} of {} test images are classified right",
        right.count(),
        test.len()
    );
    let guard = DiffGuard::new(unet, Box::new(classifier), settings)?;
    let mean_score = |set: &diffguard_datasets::ImageSet| -> quick::Result<f64> {
        let report = guard.score(&tensor(set))?;
        let scores = report.images.iter().flat_map(|image| image.scores.values());
        Ok(scores.sum::<f64>() / set.len() as f64)
    };
    println!("mean score in-distribution: {:.3}", mean_score(&test)?);
    for ood in &benchmark.ood_test {
        let set = ood.set.limit(40, 0);
        println!("mean score of {}: {:.3}", set.name, mean_score(&set)?);
    }
    Ok(())
}
