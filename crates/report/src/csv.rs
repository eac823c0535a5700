//! The long-form file `metrics.csv`: one line a number, fractions, RFC 4180.

use std::fs;
use std::path::Path;
use std::str::FromStr;

use ::csv::{ReaderBuilder, StringRecord, Terminator, WriterBuilder};

use crate::{Error, MetricRow, Result, write_atomic};

/// The columns, in their order.
pub const COLUMNS: [&str; 10] = [
    "experiment",
    "method",
    "set",
    "role",
    "metric",
    "value",
    "ci_low",
    "ci_high",
    "n_id",
    "n_ood",
];

/// Formats rows as CSV, header first.
///
/// Numbers are the shortest decimals that read back to the same bits; a missing interval is an empty field.
///
/// # Errors
///
/// [`Error::Csv`], which writing to memory does not meet in practice.
pub fn to_csv(rows: &[MetricRow]) -> Result<Vec<u8>> {
    let mut writer = WriterBuilder::new()
        .terminator(Terminator::Any(b'\n'))
        .from_writer(Vec::new());
    writer.write_record(COLUMNS)?;
    for row in rows {
        let optional =
            |value: Option<f64>| value.map(|value| value.to_string()).unwrap_or_default();
        writer.write_record([
            row.experiment.as_str(),
            &row.method,
            &row.set,
            row.role.name(),
            row.metric.name(),
            &row.value.to_string(),
            &optional(row.ci_low),
            &optional(row.ci_high),
            &row.n_id.to_string(),
            &row.n_ood.to_string(),
        ])?;
    }
    writer
        .into_inner()
        .map_err(|error| Error::Csv(error.into_error().into()))
}

/// Reads rows back from what [`to_csv`] wrote.
///
/// # Errors
///
/// [`Error::Header`] for other columns, [`Error::Csv`] for broken quoting or a wrong number of fields, and
/// [`Error::Field`] with line and column for a field that cannot be read.
pub fn from_csv(bytes: &[u8]) -> Result<Vec<MetricRow>> {
    let mut reader = ReaderBuilder::new().from_reader(bytes);
    let header = reader.headers()?;
    if header != &StringRecord::from(COLUMNS.as_slice()) {
        let found = header.iter().collect::<Vec<_>>().join(",");
        return Err(Error::Header {
            expected: COLUMNS.join(","),
            found,
        });
    }
    reader.records().map(|record| row(&record?)).collect()
}

/// Writes `metrics.csv` to `path`.
///
/// # Errors
///
/// [`Error::Write`] if the file cannot be written.
pub fn write(path: impl AsRef<Path>, rows: &[MetricRow]) -> Result<()> {
    write_atomic(path, to_csv(rows)?)
}

/// Reads the `metrics.csv` at `path`.
///
/// # Errors
///
/// [`Error::Read`] if the file cannot be read, and those of [`from_csv`].
pub fn read(path: impl AsRef<Path>) -> Result<Vec<MetricRow>> {
    let path = path.as_ref();
    from_csv(&fs::read(path).map_err(|source| Error::Read {
        path: path.to_owned(),
        source,
    })?)
}

fn row(record: &StringRecord) -> Result<MetricRow> {
    let text = |column: usize| record.get(column).unwrap_or_default();
    let optional = |column| match text(column) {
        "" => Ok(None),
        _ => field(record, column, "a number or empty").map(Some),
    };
    Ok(MetricRow {
        experiment: text(0).to_owned(),
        method: text(1).to_owned(),
        set: text(2).to_owned(),
        role: field(record, 3, "`near`, `far` or `extra`")?,
        metric: field(record, 4, "the name of a metric, such as `auroc`")?,
        value: field(record, 5, "a number")?,
        ci_low: optional(6)?,
        ci_high: optional(7)?,
        n_id: field(record, 8, "a count")?,
        n_ood: field(record, 9, "a count")?,
    })
}

fn field<T: FromStr>(record: &StringRecord, column: usize, expected: &'static str) -> Result<T> {
    let value = record.get(column).unwrap_or_default();
    value.parse().map_err(|_| Error::Field {
        line: record.position().map_or(0, |position| position.line()),
        column: COLUMNS[column],
        value: value.to_owned(),
        expected,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{Metric, Role};

    fn example() -> MetricRow {
        MetricRow {
            experiment: "table1".into(),
            method: "diffguard, \"logits-l1\"".into(),
            set: "cifar100".into(),
            role: Role::Near,
            metric: Metric::Fpr95,
            value: 0.1 + 0.2,
            ci_low: Some(1e-7),
            ci_high: None,
            n_id: 9000,
            n_ood: 10,
        }
    }

    #[test]
    fn the_file_is_what_it_promises() {
        let text = String::from_utf8(to_csv(&[example()]).unwrap()).unwrap();
        assert_eq!(
            text,
            "experiment,method,set,role,metric,value,ci_low,ci_high,n_id,n_ood\n\
             table1,\"diffguard, \"\"logits-l1\"\"\",cifar100,near,fpr95,0.30000000000000004,0.0000001,,9000,10\n"
        );
        assert_eq!(text.as_bytes(), to_csv(&[example()]).unwrap());
    }

    #[test]
    fn a_wrong_field_is_named_with_its_line() {
        let text = String::from_utf8(to_csv(&[example()]).unwrap()).unwrap();
        let error = from_csv(text.replace(",near,", ",close,").as_bytes())
            .unwrap_err()
            .to_string();
        assert_eq!(
            error,
            "line 2, column `role`: `close` is not `near`, `far` or `extra`"
        );
        let error = from_csv(text.replace("n_ood", "ood").as_bytes()).unwrap_err();
        assert!(matches!(error, Error::Header { .. }));
        assert!(matches!(from_csv(b"").unwrap_err(), Error::Header { .. }));
    }

    proptest! {
        #[test]
        fn reading_gives_back_what_was_written(
            names in prop::array::uniform3(any::<String>()),
            near in any::<bool>(),
            metric in prop::sample::select(Metric::ALL.as_slice()),
            value in prop::num::f64::NORMAL | prop::num::f64::SUBNORMAL | prop::num::f64::ZERO | prop::num::f64::INFINITE,
            ci in any::<(Option<u64>, Option<i32>)>(),
            counts in any::<(usize, usize)>(),
        ) {
            let [experiment, method, set] = names;
            let row = MetricRow {
                experiment,
                method,
                set,
                role: if near { Role::Near } else { Role::Far },
                metric,
                value,
                ci_low: ci.0.map(|bits| bits as f64 / 3.0),
                ci_high: ci.1.map(|bits| f64::from(bits) / 7.0),
                n_id: counts.0,
                n_ood: counts.1,
            };
            let rows = vec![row.clone(), row];
            prop_assert_eq!(from_csv(&to_csv(&rows).unwrap()).unwrap(), rows);
        }
    }
}
