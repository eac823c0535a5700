//! The classifier's last layer in double precision, applied to features that a detector has changed.

use ndarray::{Array1, Array2, ArrayView2, ArrayViewMut1, Axis};

use super::{Head, softmax};
use crate::linalg::{affine, block, by_blocks};

/// An owned copy of [`Head`].
#[derive(Debug)]
pub(super) struct OwnedHead {
    /// [class, feature]
    pub weight: Array2<f64>,
    /// `[class]`
    pub bias: Array1<f64>,
}

impl From<Head<'_>> for OwnedHead {
    fn from(head: Head) -> Self {
        Self {
            weight: head.weight.mapv(f64::from),
            bias: head.bias.mapv(f64::from),
        }
    }
}

impl OwnedHead {
    /// Energy score (log-sum-exp of the logits) and predicted class of every sample, after `shape` has
    /// changed its features.
    fn energies(
        &self,
        features: ArrayView2<f32>,
        shape: impl Fn(ArrayViewMut1<f64>) + Sync,
    ) -> Vec<(f64, usize)> {
        by_blocks(features.nrows(), |range| {
            let mut rows = block(features, range);
            rows.axis_iter_mut(Axis(0)).for_each(&shape);
            let logits = affine(rows.view(), self.weight.view(), self.bias.view());
            let of_row =
                |z: ndarray::ArrayView1<f64>| (softmax::log_sum_exp(z), softmax::argmax(z));
            logits.axis_iter(Axis(0)).map(of_row).collect()
        })
    }

    pub(super) fn scores(
        &self,
        features: ArrayView2<f32>,
        shape: impl Fn(ArrayViewMut1<f64>) + Sync,
    ) -> Vec<f64> {
        self.energies(features, shape)
            .into_iter()
            .map(|(energy, _)| energy)
            .collect()
    }

    pub(super) fn classes(
        &self,
        features: ArrayView2<f32>,
        shape: impl Fn(ArrayViewMut1<f64>) + Sync,
    ) -> Vec<usize> {
        self.energies(features, shape)
            .into_iter()
            .map(|(_, class)| class)
            .collect()
    }
}
