//! The scores of a run: one row a sample, one column a method. Metrics, tables and plots are made of this alone.

pub(crate) mod columns;
mod compact;
mod file;

pub use self::compact::compact;
use crate::parts::Split;
use crate::{Error, Result};

/// A sample of the validation or test splits.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// What its set is for.
    pub split: Split,
    /// Its set's name in the benchmark.
    pub set: String,
    /// Its own name in its set's list.
    pub id: String,
    /// True class, -1 out of distribution.
    pub label: i64,
    /// What the classifier under protection predicts.
    pub predicted: i64,
}

/// All samples and their scores; higher means more in-distribution.
#[derive(Clone, Debug, Default)]
pub struct Scores {
    /// The samples.
    pub samples: Vec<Sample>,
    /// Columns by method, in the order of the tables.
    columns: Vec<(String, Vec<f64>)>,
}

impl Scores {
    /// Samples without any column yet.
    pub fn new(samples: Vec<Sample>) -> Self {
        Self {
            samples,
            columns: Vec::new(),
        }
    }

    /// Adds a column, one score a sample. A value that is no finite number is refused with its sample's name.
    ///
    /// # Errors
    /// When the column's name is taken, its length is not the number of samples, or a score is not finite.
    pub fn push(&mut self, method: impl Into<String>, values: Vec<f64>) -> Result<()> {
        let method = method.into();
        if values.len() != self.samples.len() {
            return Err(Error::Setting(format!(
                "`{method}` has {} scores for {} samples",
                values.len(),
                self.samples.len()
            )));
        }
        if self.column(&method).is_some() {
            return Err(Error::Setting(format!(
                "two rows are called `{method}`; rename one of them"
            )));
        }
        if let Some((sample, value)) = self
            .samples
            .iter()
            .zip(&values)
            .find(|(_, value)| !value.is_finite())
        {
            return Err(Error::Setting(format!(
                "`{method}` gives the score {value} to the sample {}",
                sample.id
            )));
        }
        self.columns.push((method, values));
        Ok(())
    }

    /// The scores of a method.
    pub fn column(&self, method: &str) -> Option<&[f64]> {
        self.columns
            .iter()
            .find(|(name, _)| name == method)
            .map(|(_, values)| values.as_slice())
    }

    /// The methods, in order.
    pub fn methods(&self) -> impl Iterator<Item = &str> {
        self.columns.iter().map(|(name, _)| name.as_str())
    }

    /// The sets of a split, in order.
    pub fn sets(&self, split: Split) -> Vec<String> {
        let mut sets: Vec<String> = Vec::new();
        for sample in self.samples.iter().filter(|sample| sample.split == split) {
            if sets.last() != Some(&sample.set) {
                sets.push(sample.set.clone());
            }
        }
        sets
    }

    /// Some of the samples alone, with all columns.
    ///
    /// # Errors
    /// Never for scores that were accepted by [`push`](Self::push).
    pub fn only(&self, of: impl Fn(&Sample) -> bool) -> Result<Self> {
        let kept: Vec<usize> = (0..self.samples.len())
            .filter(|i| of(&self.samples[*i]))
            .collect();
        let mut scores = Self::new(kept.iter().map(|i| self.samples[*i].clone()).collect());
        for (name, values) in &self.columns {
            scores.push(name.as_str(), kept.iter().map(|i| values[*i]).collect())?;
        }
        Ok(scores)
    }

    /// Drops the columns of the methods that are not to be kept.
    pub fn retain(&mut self, keep: impl Fn(&str) -> bool) {
        self.columns.retain(|(method, _)| keep(method));
    }

    /// The scores of a method on one set, or on all sets of a split.
    pub fn of(&self, values: &[f64], split: Split, set: Option<&str>) -> Vec<f64> {
        self.samples
            .iter()
            .zip(values)
            .filter(|(sample, _)| sample.split == split && set.is_none_or(|set| sample.set == set))
            .map(|(_, value)| *value)
            .collect()
    }

    /// The same samples with every column [`compact`]ed: all orders, ties and signs stay, the file becomes small.
    pub fn compacted(&self) -> Self {
        let columns = self.columns.iter();
        Self {
            samples: self.samples.clone(),
            columns: columns
                .map(|(name, values)| (name.clone(), compact(values)))
                .collect(),
        }
    }
}
