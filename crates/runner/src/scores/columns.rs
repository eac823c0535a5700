//! The columns that say which samples a Parquet file's rows are of, written and read alike in every such file.

use std::path::Path;
use std::sync::Arc;

use parquet::basic::{
    Compression, ConvertedType, Encoding, Repetition, Type as Physical, ZstdLevel,
};
use parquet::data_type::{ByteArray, ByteArrayType, DataType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterPropertiesBuilder};
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::types::{ColumnPath, Type, TypePtr};
use polars::prelude::{DataFrame, ParquetReader, SerReader};

use super::Sample;
use crate::parts::Split;
use crate::{Error, Result};

/// The columns of a sample, in their order.
pub(crate) const OF_SAMPLE: [(&str, Physical); 5] = [
    ("split", Physical::BYTE_ARRAY),
    ("set", Physical::BYTE_ARRAY),
    ("sample", Physical::BYTE_ARRAY),
    ("label", Physical::INT64),
    ("predicted", Physical::INT64),
];

/// A file's columns.
pub(crate) struct Columns<'a> {
    path: &'a Path,
    what: &'static str,
    frame: DataFrame,
}

impl<'a> Columns<'a> {
    /// Reads a file of `what`.
    ///
    /// # Errors
    /// When it is missing or no Parquet file.
    pub fn read(path: &'a Path, what: &'static str) -> Result<Self> {
        let bytes = std::fs::read(path).map_err(|error| Error::io(path, &error))?;
        let frame = ParquetReader::new(std::io::Cursor::new(bytes)).finish();
        let frame = frame.map_err(|error| fault(path, what, &error))?;
        Ok(Self { path, what, frame })
    }

    /// That the file is none of what it should be.
    pub fn fault(&self, error: &dyn std::fmt::Display) -> Error {
        fault(self.path, self.what, error)
    }

    /// Every column.
    pub fn frame(&self) -> &DataFrame {
        &self.frame
    }

    /// A column of words.
    ///
    /// # Errors
    /// When there is none of that name.
    pub fn text(&self, name: &str) -> Result<Vec<String>> {
        let column = self.frame.column(name).and_then(|column| column.str());
        let values = column.map_err(|error| self.fault(&error))?.iter();
        Ok(values.map(|v| v.unwrap_or_default().to_owned()).collect())
    }

    /// A column of whole numbers; -1 where there is none.
    ///
    /// # Errors
    /// When there is none of that name.
    pub fn number(&self, name: &str) -> Result<Vec<i64>> {
        let column = self.frame.column(name).and_then(|column| column.i64());
        let values = column.map_err(|error| self.fault(&error))?.iter();
        Ok(values.map(|v| v.unwrap_or(-1)).collect())
    }

    /// The samples of the first `count` rows.
    ///
    /// # Errors
    /// When a column is missing, or names no split.
    pub fn samples(&self, count: usize) -> Result<Vec<Sample>> {
        let (splits, sets, ids) = (self.text("split")?, self.text("set")?, self.text("sample")?);
        let (labels, predicted) = (self.number("label")?, self.number("predicted")?);
        let samples = splits.iter().zip(sets).zip(ids).zip(labels).zip(predicted);
        samples
            .take(count)
            .map(|((((split, set), id), label), predicted)| {
                let known = Split::from_name(split);
                Ok(Sample {
                    split: known
                        .ok_or_else(|| self.fault(&format!("no split is called `{split}`")))?,
                    set,
                    id,
                    label,
                    predicted,
                })
            })
            .collect()
    }
}

fn fault(path: &Path, what: &str, error: &dyn std::fmt::Display) -> Error {
    Error::file(path, format!("not a table of {what}: {error}"))
}

/// A column's name and type.
///
/// # Errors
/// Never for the types that are written here.
pub(crate) fn field(name: &str, physical: Physical) -> Result<TypePtr, ParquetError> {
    let column = Type::primitive_type_builder(name, physical)
        .with_repetition(Repetition::REQUIRED)
        .with_converted_type(match physical {
            Physical::BYTE_ARRAY => ConvertedType::UTF8,
            _ => ConvertedType::NONE,
        });
    Ok(Arc::new(column.build()?))
}

/// How files are written.
///
/// # Errors
/// Never: the level exists.
pub(crate) fn settings() -> Result<WriterPropertiesBuilder, ParquetError> {
    Ok(WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(9)?))
        .set_statistics_enabled(EnabledStatistics::None))
}

/// For a column of floating-point numbers: their bytes side by side, all first ones, all second ones…, compress better
/// than the numbers.
pub(crate) fn side_by_side(
    settings: WriterPropertiesBuilder,
    column: &str,
) -> WriterPropertiesBuilder {
    let path = ColumnPath::from(column);
    settings
        .set_column_encoding(path.clone(), Encoding::BYTE_STREAM_SPLIT)
        .set_column_dictionary_enabled(path, false)
}

/// A file in memory with these columns.
///
/// # Errors
/// When two columns have one name.
pub(crate) fn file(
    name: &str,
    fields: Vec<TypePtr>,
    settings: WriterPropertiesBuilder,
) -> Result<SerializedFileWriter<Vec<u8>>, ParquetError> {
    let schema = Type::group_type_builder(name).with_fields(fields).build()?;
    SerializedFileWriter::new(Vec::new(), Arc::new(schema), Arc::new(settings.build()))
}

/// Writes the columns of samples, `times` over.
///
/// # Errors
/// When they cannot be encoded.
pub(crate) fn write_samples(
    rows: &mut SerializedRowGroupWriter<Vec<u8>>,
    samples: &[Sample],
    times: usize,
) -> Result<(), ParquetError> {
    let texts = |of: &dyn Fn(&Sample) -> &str| -> Vec<ByteArray> {
        let values: Vec<ByteArray> = samples.iter().map(|sample| of(sample).into()).collect();
        std::iter::repeat_n(values, times).flatten().collect()
    };
    let numbers = |of: &dyn Fn(&Sample) -> i64| -> Vec<i64> {
        let values: Vec<i64> = samples.iter().map(of).collect();
        values.repeat(times)
    };
    write::<ByteArrayType>(rows, &texts(&|sample| sample.split.name()))?;
    write::<ByteArrayType>(rows, &texts(&|sample| &sample.set))?;
    write::<ByteArrayType>(rows, &texts(&|sample| &sample.id))?;
    write::<Int64Type>(rows, &numbers(&|sample| sample.label))?;
    write::<Int64Type>(rows, &numbers(&|sample| sample.predicted))
}

/// Writes the next column.
///
/// # Errors
/// When there is none, or the values are not of its type.
pub(crate) fn write<T: DataType>(
    rows: &mut SerializedRowGroupWriter<Vec<u8>>,
    values: &[T::T],
) -> Result<(), ParquetError> {
    let next = rows.next_column()?;
    let mut writer = next.ok_or_else(|| ParquetError::General("a column too many".into()))?;
    writer.typed::<T>().write_batch(values, None, None)?;
    writer.close()
}
