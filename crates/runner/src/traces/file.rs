//! Traces as a Parquet file: one row a series, step and sample.

use std::path::Path;

use diffguard_report::write_atomic;
use parquet::basic::Type as Physical;
use parquet::data_type::{ByteArray, ByteArrayType, FloatType, Int64Type};
use parquet::errors::ParquetError;

use super::{Series, Traces, Track};
use crate::scores::columns::{
    Columns, OF_SAMPLE, field, file, settings, side_by_side, write, write_samples,
};
use crate::{Error, Result};

/// The columns before the samples'.
const OF_LEVEL: [(&str, Physical); 3] = [
    ("trace", Physical::BYTE_ARRAY),
    ("series", Physical::BYTE_ARRAY),
    ("t", Physical::INT64),
];
/// The one behind them.
const VALUE: (&str, Physical) = ("value", Physical::FLOAT);

impl Traces {
    /// Reads what [`write`](Self::write) has written.
    ///
    /// # Errors
    /// When the file is missing or damaged, or has not these columns.
    pub fn read(path: &Path) -> Result<Self> {
        let columns = Columns::read(path, "traces")?;
        let fault = |error: &dyn std::fmt::Display| columns.fault(error);
        let (trace, series) = (columns.text("trace")?, columns.text("series")?);
        let (t, id) = (columns.number("t")?, columns.text("sample")?);
        let value = columns.frame().column(VALUE.0);
        let value = value.and_then(|column| column.f32());
        let value = value.map_err(|error| fault(&error))?.iter();
        let value: Vec<f32> = value.map(|v| v.unwrap_or(f32::NAN)).collect();

        // The rows of one series and step are all samples, in the same order every time.
        let same = |a: usize, b: usize| trace[a] == trace[b] && series[a] == series[b];
        let rows = trace.len();
        let count = (0..rows)
            .take_while(|&row| same(0, row) && t[0] == t[row])
            .count();
        let mut traces = Self {
            samples: columns.samples(count)?,
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

    fn encoded(&self) -> Result<Vec<u8>, ParquetError> {
        let fields = OF_LEVEL.into_iter().chain(OF_SAMPLE).chain([VALUE]);
        let fields = fields.map(|(name, physical)| field(name, physical));
        let fields = fields.collect::<Result<_, _>>()?;
        let mut file = file("traces", fields, side_by_side(settings()?, VALUE.0))?;
        let mut rows = file.next_row_group()?;
        // Every series and step, and every sample of it.
        let levels = || {
            let tracks = self.tracks.iter();
            tracks.flat_map(|track| track.steps.iter().map(move |step| (track, *step)))
        };
        let samples = self.samples.len();
        let texts = |of: &dyn Fn(&Track) -> &str| -> Vec<ByteArray> {
            let texts = levels().map(|(track, _)| ByteArray::from(of(track)));
            texts
                .flat_map(|text| std::iter::repeat_n(text, samples))
                .collect()
        };
        write::<ByteArrayType>(&mut rows, &texts(&|track| &track.trace))?;
        write::<ByteArrayType>(&mut rows, &texts(&|track| track.series.name()))?;
        let steps: Vec<i64> = levels()
            .flat_map(|(_, step)| std::iter::repeat_n(step as i64, samples))
            .collect();
        write::<Int64Type>(&mut rows, &steps)?;
        write_samples(&mut rows, &self.samples, levels().count())?;
        let values = self.tracks.iter().flat_map(|track| &track.values);
        let values: Vec<f32> = values.flatten().copied().collect();
        write::<FloatType>(&mut rows, &values)?;
        rows.close()?;
        file.into_inner()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parts::Split;
    use crate::scores::Sample;

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
