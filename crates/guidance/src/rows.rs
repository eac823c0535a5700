//! Which samples of a batch take part in a step.

use burn::tensor::{Device, Int, Tensor, TensorData};

/// The samples that take part in a step, by their positions in the whole batch, in the order of the step's rows.
#[derive(Debug, Clone)]
pub struct Rows {
    positions: Vec<usize>,
    /// `None` where the rows are the whole batch in its own order.
    index: Option<Tensor<1, Int>>,
}

impl Rows {
    /// The samples at `positions` of a batch of `batch` samples.
    pub fn new(positions: Vec<usize>, batch: usize, device: &Device) -> Self {
        let whole = positions.len() == batch && positions.iter().enumerate().all(|(i, p)| i == *p);
        let index = (!whole).then(|| int_tensor(&positions, device));
        Self { positions, index }
    }

    /// All samples of a batch.
    pub fn all(batch: usize) -> Self {
        Self {
            positions: (0..batch).collect(),
            index: None,
        }
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.positions.len()
    }

    /// Whether no sample takes part.
    pub fn is_empty(&self) -> bool {
        self.positions.is_empty()
    }

    /// Position in the whole batch of each row.
    pub fn positions(&self) -> &[usize] {
        &self.positions
    }

    /// The rows' share of a tensor whose first dimension is the whole batch.
    pub fn select<const D: usize>(&self, whole: &Tensor<D>) -> Tensor<D> {
        match &self.index {
            None => whole.clone(),
            Some(index) => whole.clone().select(0, index.clone()),
        }
    }
}

/// A one-dimensional tensor of indices.
pub(crate) fn int_tensor(values: &[usize], device: &Device) -> Tensor<1, Int> {
    let values: Vec<i64> = values.iter().map(|v| *v as i64).collect();
    let count = values.len();
    Tensor::from_data(TensorData::new(values, [count]), device)
}
