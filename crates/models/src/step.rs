//! One evaluation of a network, measured: time and memory on this machine.

use std::time::Instant;

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{Device, Int, Tensor};

use crate::memory::{forget_peak, peak_resident};
use crate::{Classifier, FirstStage, NoisePredictor};

/// Seconds after which no further evaluation is begun.
const LONG_ENOUGH: f64 = 2.0;
/// The step of a prediction, in the middle of the usual thousand.
const MIDDLE: f32 = 500.0;

/// What one evaluation of one image took.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// What was evaluated.
    pub what: &'static str,
    /// Shape of its input, `[1, channel, height, width]`.
    pub input: [usize; 4],
    /// Shape of its output.
    pub output: Vec<usize>,
    /// Median wall-clock seconds of an evaluation.
    pub seconds: f64,
    /// How many evaluations that is the median of: as many as begin within two seconds.
    pub evaluations: usize,
    /// Largest resident memory of the process meanwhile, weights included, in bytes. `None` where the system does not
    /// say.
    pub peak_bytes: Option<u64>,
}

/// The same network with every parameter drawn: a module draws them when they are first asked for.
pub fn drawn<M: Module>(network: M) -> M {
    struct Draw;
    impl ModuleVisitor for Draw {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            param.val();
        }
    }
    network.visit(&mut Draw);
    network
}

/// Logits of one image with `channels` channels, of the size that the classifier was trained on.
pub fn classifier(network: &dyn Classifier, channels: usize, device: &Device) -> Step {
    let side = network.input_side();
    measure("one classification", channels, side, device, |image| {
        read(network.logits(image))
    })
}

/// One prediction for `side` x `side` pixels, with a label where the network knows classes.
pub fn noise_predictor(
    network: &dyn NoisePredictor,
    channels: usize,
    side: usize,
    device: &Device,
) -> Step {
    measure("one prediction", channels, side, device, |x_t| {
        let t = Tensor::from_floats([MIDDLE], device);
        let label = (network.num_classes() > 0).then(|| Tensor::<1, Int>::zeros([1], device));
        read(network.eps(x_t, t, label))
    })
}

/// One encoding of `side` x `side` pixels, and one decoding of what has the size of the result.
pub fn first_stage(
    network: &dyn FirstStage,
    channels: usize,
    side: usize,
    device: &Device,
) -> [Step; 2] {
    let encoding = measure("one encoding", channels, side, device, |image| {
        read(network.encode(image))
    });
    let (channels, side) = (network.latent_channels(), side / network.factor());
    let decoding = measure("one decoding", channels, side, device, |latent| {
        read(network.decode(latent))
    });
    [encoding, decoding]
}

/// Waits for a result; its shape.
fn read<const D: usize>(tensor: Tensor<D>) -> Vec<usize> {
    tensor.into_data().shape().to_vec()
}

fn measure(
    what: &'static str,
    channels: usize,
    side: usize,
    device: &Device,
    evaluate: impl Fn(Tensor<4>) -> Vec<usize>,
) -> Step {
    let input = [1, channels, side, side];
    let count = channels * side * side;
    // Any numbers in [-1, 1] that are not all alike: the time does not depend on them.
    let values: Vec<f32> = (0..count).map(|i| (i as f32).sin()).collect();
    let image = Tensor::<1>::from_floats(values.as_slice(), device).reshape(input);
    let known = forget_peak();
    let (mut seconds, mut output) = (Vec::new(), Vec::new());
    while seconds.iter().sum::<f64>() < LONG_ENOUGH {
        let begun = Instant::now();
        output = evaluate(image.clone());
        seconds.push(begun.elapsed().as_secs_f64());
    }
    let peak_bytes = peak_resident().filter(|_| known);
    seconds.sort_by(f64::total_cmp);
    Step {
        what,
        input,
        output,
        seconds: seconds[seconds.len() / 2],
        evaluations: seconds.len(),
        peak_bytes,
    }
}
