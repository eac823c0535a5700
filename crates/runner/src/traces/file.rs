//! Traces as a Parquet file: one row a series, step and sample.

use std::path::Path;
use std::sync::Arc;

use diffguard_report::write_atomic;
use parquet::basic::{
    Compression, ConvertedType, Encoding, Repetition, Type as Physical, ZstdLevel,
};
use parquet::data_type::{ByteArray, ByteArrayType, FloatType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::{ColumnPath, Type};
use polars::prelude::{ParquetReader, SerReader};

use super::{Series, Traces, Track};
use crate::parts::Split;
use crate::scores::{Sample, column};
use crate::{Error, Result};

const COLUMNS: [(&str, Physical); 9] = [
    ("trace", Physical::BYTE_ARRAY),
    ("series", Physical::BYTE_ARRAY),
    ("t", Physical::INT64),
    ("split", Physical::BYTE_ARRAY),
    ("set", Physical::BYTE_ARRAY),
    ("sample", Physical::BYTE_ARRAY),
    ("label", Physical::INT64),
    ("predicted", Physical::INT64),
    ("value", Physical::FLOAT),
];

impl Traces {
    /// Reads what [`write`](Self::write) has written.
    ///
    /// # Errors
    /// When the file is missing or damaged, or has not these columns.
    pub fn read(path: &Path) -> Result<Self> {
        let bytes = std::fs::read(path).map_err(|error| Error::io(path, &error))?;
        let fault = |error: &dyn std::fmt::Display| {
            Error::file(path, format!("not a table of traces: {error}"))
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
        let (trace, series, t) = (text("trace")?, text("series")?, number("t")?);
        let (split, set, id) = (text("split")?, text("set")?, text("sample")?);
        let (label, predicted) = (number("label")?, number("predicted")?);
        let value = frame.column("value").and_then(|column| column.f32());
        let value = value.map_err(|error| fault(&error))?.iter();
        let value: Vec<f32> = value.map(|v| v.unwrap_or(f32::NAN)).collect();

        // The rows of one series and step are all samples, in the same order every time.
        let same = |a: usize, b: usize| trace[a] == trace[b] && series[a] == series[b];
        let rows = trace.len();
        let count = (0..rows)
            .take_while(|&row| same(0, row) && t[0] == t[row])
            .count();
        let sample = |row: usize| {
            let known = Split::from_name(&split[row]);
            Ok(Sample {
                split: known
                    .ok_or_else(|| fault(&format!("no split is called `{}`", split[row])))?,
                set: set[row].clone(),
                id: id[row].clone(),
                label: label[row],
                predicted: predicted[row],
            })
        };
        let mut traces = Self {
            samples: (0..count).map(sample).collect::<Result<_>>()?,
            tracks: Vec::new(),
        };
        for first in (0..rows).step_by(count.max(1)) {
            let here = first..(first + count).min(rows);
            let whole = here.len() == count
                && here.clone().all(|row| {
                    same(first, row) && t[first] == t[row] && id[row] == id[row - first]
                });
            if !whole {
                let what = format!("a value is missing or of another sample at row {first}");
                return Err(fault(&what));
            }
            let of = Series::from_name(&series[first])
                .ok_or_else(|| fault(&format!("no series is called `{}`", series[first])))?;
            let step = usize::try_from(t[first]).map_err(|error| fault(&error))?;
            let values = value[here].to_vec();
            match traces.tracks.last_mut() {
                Some(track) if track.trace == trace[first] && track.series == of => {
                    track.steps.push(step);
                    track.values.push(values);
                }
                _ => traces.tracks.push(Track {
                    trace: trace[first].clone(),
                    series: of,
                    steps: vec![step],
                    values: vec![values],
                }),
            }
        }
        Ok(traces)
    }

    /// Writes all values as Parquet.
    ///
    /// # Errors
    /// When the file cannot be encoded or written.
    pub fn write(&self, path: &Path) -> Result<()> {
        let bytes = self
            .encoded()
            .map_err(|error| Error::file(path, format!("the traces cannot be encoded: {error}")))?;
        Ok(write_atomic(path, &bytes)?)
    }

    fn encoded(&self) -> std::result::Result<Vec<u8>, ParquetError> {
        let settings = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::try_new(9)?))
            .set_statistics_enabled(EnabledStatistics::None);
        let fields = COLUMNS.map(|(name, physical)| {
            Type::primitive_type_builder(name, physical)
                .with_repetition(Repetition::REQUIRED)
                .with_converted_type(match physical {
                    Physical::BYTE_ARRAY => ConvertedType::UTF8,
                    _ => ConvertedType::NONE,
                })
                .build()
                .map(Arc::new)
        });
        let fields = fields.into_iter().collect::<std::result::Result<_, _>>()?;
        // As the scores' doubles: the bytes side by side compress better.
        let value = ColumnPath::from("value");
        let settings = settings
            .set_column_encoding(value.clone(), Encoding::BYTE_STREAM_SPLIT)
            .set_column_dictionary_enabled(value, false);
        let schema = Type::group_type_builder("traces").with_fields(fields);
        let schema = Arc::new(schema.build()?);
        let mut file = SerializedFileWriter::new(Vec::new(), schema, Arc::new(settings.build()))?;
        let mut rows = file.next_row_group()?;
        // Every series and step, and every sample of it.
        let levels = || {
            let tracks = self.tracks.iter();
            tracks.flat_map(|track| track.steps.iter().map(move |step| (track, *step)))
        };
        let texts_of_level = |of: &dyn Fn(&Track) -> &str| -> Vec<ByteArray> {
            levels()
                .flat_map(|(track, _)| {
                    std::iter::repeat_n(ByteArray::from(of(track)), self.samples.len())
                })
                .collect()
        };
        let texts = |of: &dyn Fn(&Sample) -> &str| -> Vec<ByteArray> {
            let values: Vec<ByteArray> = self.samples.iter().map(|it| of(it).into()).collect();
            levels().flat_map(|_| values.iter().cloned()).collect()
        };
        let numbers = |of: &dyn Fn(&Sample) -> i64| -> Vec<i64> {
            levels().flat_map(|_| self.samples.iter().map(of)).collect()
        };
        column::<ByteArrayType>(&mut rows, &texts_of_level(&|track| &track.trace))?;
        column::<ByteArrayType>(&mut rows, &texts_of_level(&|track| track.series.name()))?;
        let steps: Vec<i64> = levels()
            .flat_map(|(_, step)| std::iter::repeat_n(step as i64, self.samples.len()))
            .collect();
        column::<Int64Type>(&mut rows, &steps)?;
        column::<ByteArrayType>(&mut rows, &texts(&|sample| sample.split.name()))?;
        column::<ByteArrayType>(&mut rows, &texts(&|sample| &sample.set))?;
        column::<ByteArrayType>(&mut rows, &texts(&|sample| &sample.id))?;
        column::<Int64Type>(&mut rows, &numbers(&|sample| sample.label))?;
        column::<Int64Type>(&mut rows, &numbers(&|sample| sample.predicted))?;
        let values = self.tracks.iter().flat_map(|track| &track.values);
        let values: Vec<f32> = values.flatten().copied().collect();
        column::<FloatType>(&mut rows, &values)?;
        rows.close()?;
        file.into_inner()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn traces() -> Traces {
        let samples = (0..90u16).map(|i| Sample {
            split: if i < 40 { Split::IdTest } else { Split::Far },
            set: if i < 40 { "garments" } else { "digits" }.to_owned(),
            id: format!("image {i}, ü.png"),
            label: i64::from(i % 3) - 1,
            predicted: i64::from(i % 2),
        });
        let mut traces = Traces {
            samples: samples.collect(),
            tracks: Vec::new(),
        };
        for (trace, series, steps) in [
            ("one", Series::PsnrXt, vec![40, 1000]),
            ("one", Series::PsnrX0hat, vec![0, 40]),
            ("two", Series::NoisyXt, vec![0]),
        ] {
            let wave = |step: usize| (0..90).map(move |i| ((i * 7 + step) as f32 * 0.37).sin());
            let values = steps.iter().map(|step| wave(*step).collect()).collect();
            let trace = trace.to_owned();
            let track = Track {
                trace,
                series,
                steps,
                values,
            };
            traces.push(track).unwrap();
        }
        traces
    }

    #[test]
    fn what_was_written_is_read_to_the_last_bit() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("traces.parquet");
        let traces = traces();
        traces.write(&path).unwrap();
        assert_eq!(Traces::read(&path).unwrap(), traces);
        std::fs::write(&path, "trace,t").unwrap();
        let message = Traces::read(&path).unwrap_err().to_string();
        assert!(message.contains("traces.parquet"), "{message}");
        assert!(message.contains("not a table of traces"), "{message}");
    }

    #[test]
    fn a_series_without_all_its_values_is_refused() {
        let mut traces = traces();
        let track = traces.tracks[0].clone();
        let mut short = track.clone();
        short.values[1].pop();
        let error = traces.push(short).unwrap_err().to_string();
        assert!(
            error.contains("`one`, psnr/x_t") && error.contains("90 samples"),
            "{error}"
        );
        let mut infinite = track;
        infinite.values[1][3] = f32::INFINITY;
        let error = traces.push(infinite).unwrap_err().to_string();
        assert!(
            error.contains("image 3") && error.contains("t = 1000"),
            "{error}"
        );
    }
}
