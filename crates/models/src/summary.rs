//! What a network costs, found from its configuration alone: nothing is allocated, so that a model of two gigabytes
//! is described in a moment. What it takes in truth, [`Summary::steps`] measures.

use burn::tensor::Device;

use crate::keys::Key;
use crate::step::Step;

/// Parameters, work and memory of a network.
#[derive(Debug, Clone, PartialEq)]
pub struct NetworkSummary {
    /// Stored numbers: parameters and buffers.
    pub parameters: usize,
    /// Floating-point operations of one evaluation of one image at the trained size, in units of 1e9; a multiplication
    /// and an addition are two. Convolutions, linear layers and attention are counted, element-wise work is not.
    pub gflop: f64,
    /// Bytes of activations in f32 that one image needs at once (skip connections, and the inputs, outputs and score
    /// matrices of the layer at which they are most). An estimate from below: kernels' own buffers are not in it.
    pub activation_bytes: usize,
    /// Every tensor of the published file, in the order of the network.
    pub keys: Vec<Key>,
}

impl NetworkSummary {
    /// Bytes of the parameters in f32.
    pub fn parameter_bytes(&self) -> usize {
        4 * self.parameters
    }
}

/// A configuration that can say, and show, what its network costs.
pub trait Summary {
    /// The costs of the network of this configuration.
    ///
    /// # Errors
    /// [`Error::Configuration`](crate::Error::Configuration) for a configuration that describes no network.
    fn summary(&self) -> Result<NetworkSummary, crate::Error>;

    /// Runs the network of this configuration, with the weights that training begins with, on one image of the size
    /// that it is trained on.
    ///
    /// # Errors
    /// As [`summary`](Self::summary).
    fn steps(&self, device: &Device) -> Result<Vec<Step>, crate::Error>;
}

/// Counts the work of a network as its layers are walked through, for one image.
#[derive(Debug, Clone, Default)]
pub struct Trace {
    macs: u64,
    held: usize,
    peak: usize,
}

impl Trace {
    /// Multiplications of a layer with `numbers` of input and output together.
    pub fn layer(&mut self, macs: usize, numbers: usize) {
        self.macs += macs as u64;
        self.peak = self.peak.max(self.held + numbers);
    }

    /// A convolution with a `side` x `side` kernel from `from` to `to` channels that has `pixels` output pixels.
    pub fn convolution(&mut self, side: usize, from: usize, to: usize, pixels: usize) {
        self.layer(side * side * from * to * pixels, (from + to) * pixels);
    }

    /// Softmax attention of `queries` over `keys` tokens of `channels` (all heads together), the projections apart.
    pub fn attention(&mut self, heads: usize, queries: usize, keys: usize, channels: usize) {
        self.layer(
            2 * queries * keys * channels,
            heads * queries * keys + (2 * queries + 2 * keys) * channels,
        );
    }

    /// Keeps `numbers` alive (a skip connection, a residual) until they are [`release`](Self::release)d.
    pub fn hold(&mut self, numbers: usize) {
        self.held += numbers;
        self.peak = self.peak.max(self.held);
    }

    /// Gives up numbers that were held.
    pub fn release(&mut self, numbers: usize) {
        self.held -= numbers;
    }

    /// The summary of a network whose tensors are `keys`.
    pub fn summary(self, keys: Vec<Key>) -> NetworkSummary {
        NetworkSummary {
            parameters: keys
                .iter()
                .map(|key| key.shape.iter().product::<usize>())
                .sum(),
            gflop: 2.0 * self.macs as f64 / 1e9,
            activation_bytes: 4 * self.peak,
            keys,
        }
    }
}
