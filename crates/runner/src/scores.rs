//! The scores of a run: one row a sample, one column a method. Metrics, tables and plots are made of this alone.

use std::path::Path;

use diffguard_report::write_atomic;
use polars::prelude::{Column, DataFrame, ParquetReader, ParquetWriter, SerReader};

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

    /// The samples of some splits alone, with all columns.
    ///
    /// # Errors
    /// Never for scores that were accepted by [`push`](Self::push).
    pub fn only(&self, of: impl Fn(Split) -> bool) -> Result<Self> {
        let kept: Vec<usize> = (0..self.samples.len())
            .filter(|i| of(self.samples[*i].split))
            .collect();
        let mut scores = Self::new(kept.iter().map(|i| self.samples[*i].clone()).collect());
        for (name, values) in &self.columns {
            scores.push(name.as_str(), kept.iter().map(|i| values[*i]).collect())?;
        }
        Ok(scores)
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

    /// Reads what [`write`](Self::write) has written.
    ///
    /// # Errors
    /// When the file is missing or damaged, or has not these columns.
    pub fn read(path: &Path) -> Result<Self> {
        let bytes = std::fs::read(path).map_err(|error| Error::io(path, &error))?;
        let fault = |error: &dyn std::fmt::Display| {
            Error::file(path, format!("not a table of scores: {error}"))
        };
        let frame = ParquetReader::new(std::io::Cursor::new(bytes))
            .finish()
            .map_err(|error| fault(&error))?;
        let text = |name: &str| -> Result<Vec<String>> {
            let column = frame.column(name).and_then(|column| column.str());
            let values = column.map_err(|error| fault(&error))?.iter();
            Ok(values.map(|v| v.unwrap_or_default().to_owned()).collect())
        };
        let number = |name: &str| -> Result<Vec<i64>> {
            let column = frame.column(name).and_then(|column| column.i64());
            let values = column.map_err(|error| fault(&error))?.iter();
            Ok(values.map(|v| v.unwrap_or(-1)).collect())
        };
        let (sets, ids) = (text("set")?, text("sample")?);
        let (labels, predicted) = (number("label")?, number("predicted")?);
        let samples = text("split")?.into_iter().enumerate().map(|(i, split)| {
            Ok(Sample {
                split: Split::from_name(&split)
                    .ok_or_else(|| fault(&format!("no split is called `{split}`")))?,
                set: sets[i].clone(),
                id: ids[i].clone(),
                label: labels[i],
                predicted: predicted[i],
            })
        });
        let mut scores = Self::new(samples.collect::<Result<_>>()?);
        for column in frame.columns().iter().skip(5) {
            let values = column.f64().map_err(|error| fault(&error))?;
            let values = values.iter().map(|v| v.unwrap_or(f64::NAN)).collect();
            scores.push(column.name().as_str(), values)?;
        }
        Ok(scores)
    }

    /// Writes the samples and all columns as Parquet.
    ///
    /// # Errors
    /// When the file cannot be encoded or written.
    pub fn write(&self, path: &Path) -> Result<()> {
        let text = |name: &str, value: &dyn Fn(&Sample) -> String| {
            Column::new(
                name.into(),
                self.samples.iter().map(value).collect::<Vec<_>>(),
            )
        };
        let number = |name: &str, value: &dyn Fn(&Sample) -> i64| {
            Column::new(
                name.into(),
                self.samples.iter().map(value).collect::<Vec<_>>(),
            )
        };
        let mut columns = vec![
            text("split", &|sample| sample.split.name().to_owned()),
            text("set", &|sample| sample.set.clone()),
            text("sample", &|sample| sample.id.clone()),
            number("label", &|sample| sample.label),
            number("predicted", &|sample| sample.predicted),
        ];
        for (name, values) in &self.columns {
            columns.push(Column::new(name.as_str().into(), values));
        }
        let mut frame = DataFrame::new(self.samples.len(), columns)?;
        let mut bytes = Vec::new();
        ParquetWriter::new(&mut bytes).finish(&mut frame)?;
        Ok(write_atomic(path, &bytes)?)
    }
}
