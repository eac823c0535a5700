//! Latent space: bounded memory, counted evaluations, early stop on decoded images, centre crops.

mod common;

use std::sync::Mutex;

use burn::tensor::Tensor;
use common::{
    host,
    networks::{Counting, SmallClassifier},
    uniform,
};
use diffguard_guidance::{
    CentreCrop, DiffGuard, EarlyStopConfig, GuidanceConfig, GuidanceContext, InversionConfig, Look,
    ScheduleConfig, Settings, SynthesisConfig, Trajectory, View, grad_cam::grad_cam,
    guidance::CleanGradConfig, invert_with, latent,
};
use diffguard_models::{Classifier, FirstStage};

/// Every other pixel, times a third; decoding repeats each value and multiplies it by 3. Keeps how many rows came at once.
#[derive(Default)]
struct Thinning(Mutex<Vec<usize>>);

impl FirstStage for Thinning {
    fn encode(&self, image: Tensor<4>) -> Tensor<4> {
        let [batch, channel, height, width] = image.dims();
        self.0.lock().unwrap().push(batch);
        let pairs = image
            .reshape([batch * channel, height / 2, 2, width])
            .narrow(2, 0, 1);
        let pairs = pairs
            .reshape([batch * channel * height / 2, width / 2, 2])
            .narrow(2, 0, 1);
        pairs.reshape([batch, channel, height / 2, width / 2]) / 3.0
    }

    fn decode(&self, latent: Tensor<4>) -> Tensor<4> {
        let [batch, channel, height, width] = latent.dims();
        self.0.lock().unwrap().push(batch);
        let wide: Tensor<5> = latent.reshape([batch * channel, height, 1, width, 1]);
        (wide.repeat_dim(2, 2).repeat_dim(4, 2) * 3.0).reshape([
            batch,
            channel,
            2 * height,
            2 * width,
        ])
    }

    fn latent_channels(&self) -> usize {
        1
    }

    fn factor(&self) -> usize {
        2
    }
}

#[test]
fn few_images_go_through_a_first_stage_at_once() {
    let first_stage = Thinning::default();
    // Four images of 256 pixels are the most; of 512 pixels it is one.
    let (encoded, cost) = latent::encode(&first_stage, uniform([3, 1, 512, 512], 1));
    assert_eq!(encoded.dims(), [3, 1, 256, 256]);
    assert_eq!((cost.encoder_rows, cost.decoder_rows), (3, 0));
    let (decoded, cost) = latent::decode(&first_stage, encoded.clone());
    assert_eq!((cost.encoder_rows, cost.decoder_rows), (0, 3));
    assert_eq!(*first_stage.0.lock().unwrap(), [1; 6]);
    let whole = first_stage.decode(encoded);
    assert_eq!(host(&decoded), host(&whole));
}

/// An early stop sees decoded images beside the inputs, whatever the latents look like.
#[test]
fn an_early_stop_looks_at_decoded_images() {
    let schedule = ScheduleConfig::default().init().unwrap();
    let trajectory = Trajectory::new(&schedule, &"uniform20".parse().unwrap()).unwrap();
    let image = uniform([5, 1, 12, 12], 9);
    let first_stage = Thinning::default();
    let (encoded, _) = latent::encode(&first_stage, image.clone());
    let network = Counting::new(Some(10));
    let classifier = SmallClassifier::random(12);
    let invert = |metric: &str, threshold: f64| {
        let config = InversionConfig {
            spacing: "uniform20".parse().unwrap(),
            early_stop: Some(EarlyStopConfig::new([(metric.parse().unwrap(), threshold)])),
            ..InversionConfig::default()
        };
        let mut seen = Vec::new();
        let look = Look::new(|image| View::new(image, Some(&classifier)))
            .decoding(&first_stage, image.clone());
        let inverted = invert_with(
            &network,
            &trajectory,
            &config,
            encoded.clone(),
            &look,
            &mut |step| seen.push((step.rows.positions().to_vec(), step.x.clone())),
        )
        .unwrap();
        (inverted, seen)
    };
    for (metric, threshold) in [("psnr", 5.5), ("ssim", 0.2)] {
        let (inverted, seen) = invert(metric, threshold);
        let last = trajectory.len() - 1;
        assert!(
            inverted.stops.iter().any(|stop| *stop < last),
            "{metric} never stops"
        );
        let mut decoded = 0;
        for (step, (positions, x)) in seen.iter().enumerate() {
            let now = first_stage.decode(x.clone());
            for (row, position) in positions.iter().enumerate() {
                let (input, now) = (
                    image.clone().narrow(0, *position, 1),
                    now.clone().narrow(0, row, 1),
                );
                let value = match metric {
                    "psnr" => host(&diffguard_guidance::early_stop::psnr(input, now))[0],
                    _ => {
                        let views = [input, now].map(|image| View::new(image, None));
                        let name: diffguard_guidance::SimilarityName = metric.parse().unwrap();
                        host(&name.similarity().score(&views[0], &views[1]).unwrap())[0]
                    }
                };
                let stops = inverted.stops[*position] == step;
                assert_eq!(value < threshold || step == last, stops, "{metric} {value}");
            }
            decoded += if step < last {
                positions.len() as u64
            } else {
                0
            };
        }
        assert_eq!(inverted.cost.decoder_rows, decoded);
    }
}

#[test]
fn a_guard_counts_its_first_stage() {
    let settings = Settings {
        inversion: InversionConfig {
            spacing: "uniform10".parse().unwrap(),
            ..InversionConfig::default()
        },
        ..Settings::default()
    };
    let guard = |settings| {
        let (unet, classifier) = (Counting::new(Some(10)), SmallClassifier::random(12));
        DiffGuard::new(Box::new(unet), Box::new(classifier), settings)
            .unwrap()
            .with_first_stage(Box::<Thinning>::default())
    };
    let report = guard(settings.clone())
        .unwrap()
        .score(&uniform([3, 1, 12, 12], 4))
        .unwrap();
    assert_eq!((report.cost.encoder_rows, report.cost.decoder_rows), (3, 3));
    assert_eq!(report.cost.unet_rows, 3 * (10 + 2 * 10));

    let refused = |settings: Settings, word: &str| {
        let error = guard(settings).err().expect("refused").to_string();
        assert!(error.contains(word), "{error}");
    };
    let clean = GuidanceConfig::Classifier(CleanGradConfig::default());
    refused(
        Settings {
            guidance: clean,
            ..settings.clone()
        },
        "latents",
    );
    let synthesis = SynthesisConfig {
        clip_denoised: true,
        ..SynthesisConfig::default()
    };
    refused(
        Settings {
            synthesis,
            ..settings.clone()
        },
        "clip_denoised",
    );
    let mut clipped = settings;
    clipped.inversion.clip_denoised = true;
    refused(clipped, "clip_denoised");
}

#[test]
fn a_classifier_sees_the_centre_of_a_large_image() {
    let (plain, cropped) = (
        SmallClassifier::random(12),
        CentreCrop::new(Box::new(SmallClassifier::random(12))),
    );
    let image = uniform([2, 1, 17, 20], 6);
    // (17 - 12) / 2 = 2.5 is rounded to even.
    let centre = image.clone().narrow(2, 2, 12).narrow(3, 4, 12);
    assert_eq!(
        host(&cropped.logits(image.clone())),
        host(&plain.logits(centre.clone()))
    );
    assert_eq!(cropped.seen([17, 20]), [12, 12]);
    assert_eq!(cropped.seen([8, 12]), [8, 12]);
    let small = uniform([2, 1, 12, 12], 7);
    assert_eq!(
        host(&cropped.logits(small.clone())),
        host(&plain.logits(small))
    );

    // Where it does not look, it points at nothing.
    let network = Counting::new(Some(10));
    let context = GuidanceContext::new(&network, Some(&cropped), image, vec![3, 4]).unwrap();
    let map = context.activation_map().unwrap().clone();
    assert_eq!(map.dims(), [2, 1, 17, 20]);
    let inside = map.clone().narrow(2, 2, 12).narrow(3, 4, 12);
    assert_eq!(
        host(&inside),
        host(&grad_cam(&plain, centre, &[3, 4]).unwrap())
    );
    let sum = |map: Tensor<4>| host(&map.sum())[0];
    assert!((sum(map) - sum(inside)).abs() < 1e-6);
}
