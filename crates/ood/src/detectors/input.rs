//! What detectors are given: borrowed views of stored observations.

use ndarray::{ArrayView1, ArrayView2, ArrayView3};

/// What a classifier showed of `n` samples. Parts that a detector does not need may stay empty
/// (`..Observations::default()`).
#[derive(Debug, Clone, Copy)]
pub struct Observations<'a> {
    /// Logits, [n, class].
    pub logits: ArrayView2<'a, f32>,
    /// Penultimate features, [n, feature].
    pub features: ArrayView2<'a, f32>,
    /// Logits of ensemble members, [member, n, class].
    pub members: Option<ArrayView3<'a, f32>>,
    /// Logits of the inputs after ODIN's perturbation, for each of its settings that was observed.
    pub perturbed: &'a [Perturbed<'a>],
}

/// Logits of inputs that were moved by `noise` along the sign of the gradient of the predicted class's log-probability
/// at a temperature (ODIN).
#[derive(Debug, Clone, Copy)]
pub struct Perturbed<'a> {
    /// Temperature of the softmax whose gradient was taken.
    pub temperature: f64,
    /// Step, in units of images in [0, 1].
    pub noise: f64,
    /// [n, class]
    pub logits: ArrayView2<'a, f32>,
}

impl Default for Observations<'_> {
    fn default() -> Self {
        Self {
            logits: ArrayView2::from(&[[0.0f32; 0]; 0]),
            features: ArrayView2::from(&[[0.0f32; 0]; 0]),
            members: None,
            perturbed: &[],
        }
    }
}

/// Observations with their true classes.
#[derive(Debug, Clone, Copy, Default)]
pub struct Labelled<'a> {
    /// The observations of n samples.
    pub observations: Observations<'a>,
    /// True class of each, `[n]`, below the number of classes.
    pub labels: &'a [usize],
}

/// The classifier's last linear layer.
#[derive(Debug, Clone, Copy)]
pub struct Head<'a> {
    /// [class, feature]
    pub weight: ArrayView2<'a, f32>,
    /// `[class]`
    pub bias: ArrayView1<'a, f32>,
}

impl Default for Head<'_> {
    fn default() -> Self {
        Self {
            weight: ArrayView2::from(&[[0.0f32; 0]; 0]),
            bias: ArrayView1::from(&[]),
        }
    }
}

/// What a detector may be fitted on. There is no place for out-of-distribution samples.
#[derive(Debug, Clone, Copy, Default)]
pub struct FitData<'a> {
    /// The in-distribution training split.
    pub train: Labelled<'a>,
    /// The in-distribution validation split.
    pub val: Labelled<'a>,
    /// The classifier's last layer.
    pub head: Head<'a>,
}

/// A part of the observations that a detector uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// Logits of the samples to score.
    Logits,
    /// Features of the samples to score.
    Features,
    /// Member logits of the samples to score.
    Members,
    /// Logits of perturbed inputs of the samples to score.
    Perturbed,
    /// The classifier's last layer.
    Head,
    /// Training logits.
    TrainLogits,
    /// Training features.
    TrainFeatures,
    /// Training labels.
    TrainLabels,
    /// In-distribution validation logits.
    ValLogits,
    /// In-distribution validation features.
    ValFeatures,
    /// In-distribution validation labels.
    ValLabels,
}

impl Need {
    /// The part in words, e.g. for a listing.
    pub fn label(self) -> &'static str {
        match self {
            Self::Logits => "logits",
            Self::Features => "features",
            Self::Members => "member logits",
            Self::Perturbed => "logits of perturbed inputs",
            Self::Head => "head",
            Self::TrainLogits => "training logits",
            Self::TrainFeatures => "training features",
            Self::TrainLabels => "training labels",
            Self::ValLogits => "validation logits",
            Self::ValFeatures => "validation features",
            Self::ValLabels => "validation labels",
        }
    }
}
