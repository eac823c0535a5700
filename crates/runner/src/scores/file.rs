//! Scores as a Parquet file.

use std::path::Path;

use diffguard_report::write_atomic;
use parquet::basic::Type as Physical;
use parquet::data_type::DoubleType;
use parquet::errors::ParquetError;

use super::Scores;
use super::columns::{
    Columns, OF_SAMPLE, field, file, settings, side_by_side, write, write_samples,
};
use crate::{Error, Result};

impl Scores {
    /// Reads what [`write`](Self::write) has written.
    ///
    /// # Errors
    /// When the file is missing or damaged, or has not these columns.
    pub fn read(path: &Path) -> Result<Self> {
        let columns = Columns::read(path, "scores")?;
        let mut scores = Self::new(columns.samples(usize::MAX)?);
        for column in columns.frame().columns().iter().skip(OF_SAMPLE.len()) {
            let values = column.f64().map_err(|error| columns.fault(&error))?;
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
        let bytes = self
            .encoded()
            .map_err(|error| Error::file(path, format!("the scores cannot be encoded: {error}")))?;
        Ok(write_atomic(path, &bytes)?)
    }

    fn encoded(&self) -> Result<Vec<u8>, ParquetError> {
        let mut settings = settings()?;
        let mut fields = Vec::new();
        for (name, physical) in OF_SAMPLE {
            fields.push(field(name, physical)?);
        }
        for method in self.methods() {
            fields.push(field(method, Physical::DOUBLE)?);
            settings = side_by_side(settings, method);
        }
        let mut file = file("scores", fields, settings)?;
        let mut rows = file.next_row_group()?;
        write_samples(&mut rows, &self.samples, 1)?;
        for (_, values) in &self.columns {
            write::<DoubleType>(&mut rows, values)?;
        }
        rows.close()?;
        file.into_inner()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parts::Split;
    use crate::scores::Sample;

    fn scores() -> Scores {
        let samples = (0..500u16).map(|i| Sample {
            split: match i % 3 {
                0 => Split::IdTest,
                1 => Split::Near,
                _ => Split::OodVal,
            },
            set: format!("set-{}", i % 3),
            id: format!("image {i}, ü.png"),
            label: i64::from(i % 7) - 1,
            predicted: i64::from(i % 5),
        });
        let mut scores = Scores::new(samples.collect());
        let wave = |factor: f64| (0..500).map(|i| (f64::from(i) * factor).sin()).collect();
        scores.push("msp@resnet.20", wave(0.37)).unwrap();
        scores.push("diffguard-free/logits-l1", wave(1e-3)).unwrap();
        scores
    }

    fn written(scores: &Scores) -> Scores {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("scores.parquet");
        scores.write(&path).unwrap();
        Scores::read(&path).unwrap()
    }

    #[test]
    fn what_was_written_is_read_to_the_last_bit() {
        let scores = scores();
        let read = written(&scores);
        assert_eq!(read.samples, scores.samples);
        assert!(read.methods().eq(scores.methods()));
        for method in scores.methods() {
            assert_eq!(read.column(method), scores.column(method));
        }
        assert!(written(&Scores::default()).samples.is_empty());
    }

    #[test]
    fn metrics_of_compacted_scores_are_the_same_to_the_last_bit() {
        let scores = scores();
        let compacted = written(&scores.compacted());
        assert_ne!(
            compacted.column("msp@resnet.20"),
            scores.column("msp@resnet.20")
        );
        let metrics = |scores: &Scores| crate::evaluate::metrics("test", scores, 50, 3).unwrap();
        assert_eq!(metrics(&compacted), metrics(&scores));
    }

    #[test]
    fn a_file_that_is_none_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("scores.parquet");
        std::fs::write(&path, "split,set").unwrap();
        let message = Scores::read(&path).unwrap_err().to_string();
        assert!(message.contains("scores.parquet"), "{message}");
        assert!(message.contains("not a table of scores"), "{message}");
    }
}
