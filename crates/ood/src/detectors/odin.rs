//! ODIN, from the perturbed logits on.
//!
//! Liang, Li and Srikant, "Enhancing The Reliability of Out-of-distribution Image Detection in Neural Networks",
//! ICLR 2018. The perturbation needs the network's input gradient and lives with the networks; its score is a
//! pure function of the logits of the perturbed input, and therefore here. It is no registry line.

use ndarray::ArrayView2;

use super::softmax;

/// `max_c softmax(z / T)_c` of logits [n, class] observed on the perturbed input; T = 1000 in the paper.
pub fn odin_scores(perturbed_logits: ArrayView2<f32>, temperature: f64) -> Vec<f64> {
    softmax::score_rows(perturbed_logits, |z| {
        softmax::max_probability((&z / temperature).view())
    })
}
