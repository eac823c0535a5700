//! Scores as a Parquet file.

use std::path::Path;
use std::sync::Arc;

use diffguard_report::write_atomic;
use parquet::basic::{
    Compression, ConvertedType, Encoding, Repetition, Type as Physical, ZstdLevel,
};
use parquet::data_type::{ByteArray, ByteArrayType, DataType, DoubleType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::types::{ColumnPath, Type};
use polars::prelude::{ParquetReader, SerReader};

use super::{Sample, Scores};
use crate::parts::Split;
use crate::{Error, Result};

/// The columns before the methods'.
const OF_SAMPLE: [(&str, Physical); 5] = [
    ("split", Physical::BYTE_ARRAY),
    ("set", Physical::BYTE_ARRAY),
    ("sample", Physical::BYTE_ARRAY),
    ("label", Physical::INT64),
    ("predicted", Physical::INT64),
];

impl Scores {
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
        for column in frame.columns().iter().skip(OF_SAMPLE.len()) {
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
        let bytes = self
            .encoded()
            .map_err(|error| Error::file(path, format!("the scores cannot be encoded: {error}")))?;
        Ok(write_atomic(path, &bytes)?)
    }

    fn encoded(&self) -> std::result::Result<Vec<u8>, ParquetError> {
        let mut settings = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::try_new(9)?))
            .set_statistics_enabled(EnabledStatistics::None);
        let mut fields = Vec::new();
        for (name, physical) in OF_SAMPLE {
            let column = Type::primitive_type_builder(name, physical)
                .with_repetition(Repetition::REQUIRED)
                .with_converted_type(match physical {
                    Physical::BYTE_ARRAY => ConvertedType::UTF8,
                    _ => ConvertedType::NONE,
                });
            fields.push(Arc::new(column.build()?));
        }
        for method in self.methods() {
            let column = Type::primitive_type_builder(method, Physical::DOUBLE)
                .with_repetition(Repetition::REQUIRED);
            fields.push(Arc::new(column.build()?));
            // The bytes of doubles side by side, all first ones, all second ones…, compress better than the doubles.
            let path = ColumnPath::from(method);
            settings = settings
                .set_column_encoding(path.clone(), Encoding::BYTE_STREAM_SPLIT)
                .set_column_dictionary_enabled(path, false);
        }
        let schema = Type::group_type_builder("scores").with_fields(fields);
        let schema = Arc::new(schema.build()?);
        let mut file = SerializedFileWriter::new(Vec::new(), schema, Arc::new(settings.build()))?;
        let mut rows = file.next_row_group()?;
        let texts = |of: &dyn Fn(&Sample) -> &str| -> Vec<ByteArray> {
            self.samples
                .iter()
                .map(|sample| of(sample).into())
                .collect()
        };
        let numbers =
            |of: &dyn Fn(&Sample) -> i64| -> Vec<i64> { self.samples.iter().map(of).collect() };
        column::<ByteArrayType>(&mut rows, &texts(&|sample| sample.split.name()))?;
        column::<ByteArrayType>(&mut rows, &texts(&|sample| &sample.set))?;
        column::<ByteArrayType>(&mut rows, &texts(&|sample| &sample.id))?;
        column::<Int64Type>(&mut rows, &numbers(&|sample| sample.label))?;
        column::<Int64Type>(&mut rows, &numbers(&|sample| sample.predicted))?;
        for (_, values) in &self.columns {
            column::<DoubleType>(&mut rows, values)?;
        }
        rows.close()?;
        file.into_inner()
    }
}

/// Writes the next column.
pub(crate) fn column<T: DataType>(
    rows: &mut SerializedRowGroupWriter<Vec<u8>>,
    values: &[T::T],
) -> std::result::Result<(), ParquetError> {
    let next = rows.next_column()?;
    let mut writer = next.ok_or_else(|| ParquetError::General("a column too many".into()))?;
    writer.typed::<T>().write_batch(values, None, None)?;
    writer.close()
}

#[cfg(test)]
mod tests {
    use super::*;

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
