//! The samplers with the networks of the models crate, in evaluation mode: a batch norm that fell back to batch
//! statistics under the gradient of Clean Grad would tie the samples of a batch together.

mod common;

use burn::{module::Module, tensor::Device};
use common::{host, uniform};
use diffguard_guidance::{
    GuidanceConfig, GuidanceContext, ScheduleConfig, Start, SynthesisConfig, Trajectory,
    guidance::{ClassifierFreeConfig, CleanGradConfig, GradientPath},
    synthesise,
};
use diffguard_models::{cifar_resnet::CifarResnetConfig, quick_unet::QuickUnetConfig};

#[test]
fn samples_do_not_depend_on_their_batch() {
    let device = Device::flex();
    let unet = QuickUnetConfig::new(10)
        .with_channels(16)
        .with_blocks(1)
        .init(&device)
        .valid();
    let classifier = CifarResnetConfig::new(10)
        .with_blocks(1)
        .with_input_side(28)
        .with_mean(vec![0.3])
        .with_std(vec![0.3])
        .init(&device)
        .valid();
    let schedule = ScheduleConfig::default().init().unwrap();
    let trajectory = Trajectory::new(&schedule, &"ddim25".parse().unwrap()).unwrap();
    let images = uniform([4, 1, 28, 28], 1);
    let clean = CleanGradConfig::default();
    let through = CleanGradConfig {
        gradient: GradientPath::ThroughUnet,
        ..clean.clone()
    };
    for config in [
        GuidanceConfig::ClassifierFree(ClassifierFreeConfig {
            scale: 3.0,
            dsg_cut: Some(0.2),
        }),
        GuidanceConfig::Classifier(clean),
        GuidanceConfig::Classifier(through),
    ] {
        let run = |first: usize, count: usize| {
            let image = images.clone().narrow(0, first, count);
            let labels = (first..first + count).map(|label| label as i64).collect();
            let context =
                GuidanceContext::new(&unet, Some(&classifier), image.clone(), labels).unwrap();
            let guidance = config.prepare(&context).unwrap();
            let start = Start::at(image, 2);
            let settings = SynthesisConfig::default();
            synthesise(
                &unet,
                &trajectory,
                &settings,
                &*guidance,
                start,
                &mut |_| (),
            )
            .unwrap()
            .image
        };
        let whole = run(0, 4);
        for sample in 0..4 {
            let among = host(&whole.clone().narrow(0, sample, 1));
            common::close("alone", &host(&run(sample, 1)), &among, 1e-5, 1e-5);
        }
    }
}
