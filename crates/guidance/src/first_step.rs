//! What the networks answer at the first step of a synthesis, kept for the next setting that begins there.
//!
//! Settings that are tried on one latent differ in scale, mask or solver, and ask the networks the same things of it. From
//! the second step on each has an `x` of its own. Near the image, where a synthesis has two or three steps, this is much of
//! what a sweep costs.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use burn::tensor::Tensor;

use crate::{Cost, Spent, guidance::CleanGradConfig};

/// The answers at the latent of one batch, for one trajectory and the same networks. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct FirstStep(Arc<Mutex<Vec<Known>>>);

#[derive(Debug)]
struct Known {
    asked: Asked,
    answer: Vec<Tensor<4>>,
    took: Spent,
}

/// A question, and of what it is asked.
#[derive(Debug, PartialEq)]
pub(crate) struct Asked {
    /// Index of the move.
    pub(crate) index: usize,
    /// Positions in the batch.
    pub(crate) rows: Vec<usize>,
    pub(crate) question: Question,
}

/// What guidances ask.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Question {
    /// The noise, under no labels or those of each row.
    Noise(Option<Vec<i64>>),
    /// The gradient of the log probability of the rows' labels, before it is weighted.
    Gradient(Vec<i64>, Box<CleanGradConfig>),
}

impl FirstStep {
    /// The answer and what it took the first time, where it is known.
    pub(crate) fn get(&self, asked: &Asked) -> Option<(Vec<Tensor<4>>, Spent)> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = all.iter().find(|known| known.asked == *asked)?;
        Some((known.answer.clone(), known.took))
    }

    /// Computes an answer and keeps it.
    pub(crate) fn compute(
        &self,
        asked: Asked,
        compute: impl FnOnce() -> (Vec<Tensor<4>>, Cost),
    ) -> (Vec<Tensor<4>>, Cost) {
        let begun = Instant::now();
        let (answer, cost) = compute();
        // A device that answers later would leave its time to whoever waits for it.
        if let Some(last) = answer.last() {
            let _ = last.device().sync();
        }
        let seconds = begun.elapsed().as_secs_f64();
        let known = Known {
            asked,
            answer: answer.clone(),
            took: Spent { cost, seconds },
        };
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.push(known);
        (answer, cost)
    }

    /// Forgets all answers.
    pub fn let_go(&self) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.clear();
    }
}
