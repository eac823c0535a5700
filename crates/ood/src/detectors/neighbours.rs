//! Exact nearest neighbours by blocked matrix products.

use ndarray::{ArrayView1, ArrayView2, Axis, s};

use crate::linalg::{by_blocks, inner_products};

/// Bank rows multiplied at a time: with a block of queries this keeps a product of 4 MiB a thread.
const BANK_BLOCK: usize = 4096;

/// A row of the bank with its key (larger = nearer).
#[derive(Debug, Clone, Copy)]
pub(super) struct Neighbour {
    pub key: f32,
    pub row: usize,
}

/// Calls `score` for each query [n, d] with its `k` nearest bank rows, nearest first.
///
/// Nearest means the largest inner product, or the smallest Euclidean distance when `euclidean` (key
/// `<q, b> - ||b||^2 / 2`); equal keys go to the earlier row. Deterministic on any number of threads.
pub(super) fn for_each_nearest(
    queries: ArrayView2<f32>,
    bank: ArrayView2<f32>,
    k: usize,
    euclidean: bool,
    score: impl Fn(ArrayView1<f32>, &[Neighbour]) -> f64 + Sync,
) -> Vec<f64> {
    let offsets: Vec<f32> = match euclidean {
        true => bank
            .axis_iter(Axis(0))
            .map(|row| (-0.5 * squared_norm(row)) as f32)
            .collect(),
        false => vec![0.0; bank.nrows()],
    };
    by_blocks(queries.nrows(), |range| {
        let queries = queries.slice(s![range, ..]);
        let mut nearest: Vec<Nearest> = queries
            .axis_iter(Axis(0))
            .map(|_| Nearest::new(k))
            .collect();
        for start in (0..bank.nrows()).step_by(BANK_BLOCK) {
            let end = (start + BANK_BLOCK).min(bank.nrows());
            let products = inner_products(queries, bank.slice(s![start..end, ..]));
            for (found, row) in nearest.iter_mut().zip(products.axis_iter(Axis(0))) {
                for (at, (product, offset)) in row.iter().zip(&offsets[start..end]).enumerate() {
                    found.offer(Neighbour {
                        key: product + offset,
                        row: start + at,
                    });
                }
            }
        }
        queries
            .axis_iter(Axis(0))
            .zip(nearest)
            .map(|(query, found)| score(query, &found.sorted()))
            .collect()
    })
}

fn squared_norm(row: ArrayView1<f32>) -> f64 {
    row.iter().map(|&value| f64::from(value).powi(2)).sum()
}

/// The k best of a stream: candidates gather in a buffer that is cut back when full.
struct Nearest {
    k: usize,
    /// No later candidate with this key or a smaller one can be among the k best.
    bound: f32,
    candidates: Vec<Neighbour>,
}

impl Nearest {
    fn new(k: usize) -> Self {
        Self {
            k,
            bound: f32::NEG_INFINITY,
            candidates: Vec::with_capacity(2 * k + 64),
        }
    }

    fn offer(&mut self, neighbour: Neighbour) {
        if neighbour.key > self.bound || self.candidates.len() < self.k {
            self.candidates.push(neighbour);
            if self.candidates.len() == 2 * self.k + 64 {
                self.cut();
            }
        }
    }

    fn cut(&mut self) {
        if self.candidates.len() > self.k {
            let (_, worst, _) = self.candidates.select_nth_unstable_by(self.k - 1, nearer);
            self.bound = worst.key;
            self.candidates.truncate(self.k);
        }
    }

    fn sorted(mut self) -> Vec<Neighbour> {
        self.cut();
        self.candidates.sort_unstable_by(nearer);
        self.candidates
    }
}

fn nearer(a: &Neighbour, b: &Neighbour) -> std::cmp::Ordering {
    b.key.total_cmp(&a.key).then(a.row.cmp(&b.row))
}
