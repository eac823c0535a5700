//! Scores of somebody else's method: read, and checked against a split sample by sample.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;

use polars::prelude::{DataType, ParquetReader, SerReader};

use crate::parts::Split;
use crate::scores::{Sample, Scores};
use crate::{Error, Result};

/// The columns of a file of scores; `label` may be left out.
pub const COLUMNS: [&str; 4] = ["sample", "set", "label", "score"];

/// Names that an error lists at most.
const LISTED: usize = 5;

/// A row of the file.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// The sample's name in its set's list.
    pub sample: String,
    /// The set's name in the benchmark.
    pub set: String,
    /// Its class, -1 out of distribution, where the file has labels.
    pub label: Option<i64>,
    /// Higher means more in-distribution.
    pub score: f64,
}

/// Reads a CSV file with a header, or a Parquet file (by its ending `.parquet`).
///
/// # Errors
/// Names the file, and the line or the column that is not as it should be.
pub fn read(path: &Path) -> Result<Vec<Row>> {
    match path.extension().is_some_and(|ending| ending == "parquet") {
        true => read_parquet(path),
        false => read_csv(path),
    }
}

fn read_csv(path: &Path) -> Result<Vec<Row>> {
    let file = std::fs::File::open(path).map_err(|error| Error::io(path, &error))?;
    let mut reader = csv::ReaderBuilder::new()
        .trim(csv::Trim::All)
        .from_reader(file);
    let header = reader
        .headers()
        .map_err(|error| Error::file(path, error))?
        .clone();
    let place = |name: &str| header.iter().position(|column| column == name);
    let needed = |name: &str| {
        place(name).ok_or_else(|| {
            Error::file(
                path,
                format!(
                    "there is no column `{name}`; the header must name {} (label may be left out), and names {}",
                    COLUMNS.join(", "),
                    header.iter().collect::<Vec<_>>().join(", ")
                ),
            )
        })
    };
    let (sample, set, score) = (needed("sample")?, needed("set")?, needed("score")?);
    let label = place("label");
    let mut rows = Vec::new();
    for record in reader.records() {
        let record = record.map_err(|error| Error::file(path, error))?;
        let line = record.position().map_or(0, csv::Position::line);
        let fault = |what: String| Error::file(path, format!("line {line}: {what}"));
        let text = |place: usize| record.get(place).unwrap_or_default();
        let label = match label.map(text) {
            None | Some("") => None,
            Some(text) => Some(text.parse().map_err(|_| {
                fault(format!(
                    "the label `{text}` is no whole number (-1: out of distribution)"
                ))
            })?),
        };
        rows.push(Row {
            sample: text(sample).to_owned(),
            set: text(set).to_owned(),
            label,
            score: text(score)
                .parse()
                .map_err(|_| fault(format!("the score `{}` is no number", text(score))))?,
        });
    }
    Ok(rows)
}

fn read_parquet(path: &Path) -> Result<Vec<Row>> {
    let bytes = std::fs::read(path).map_err(|error| Error::io(path, &error))?;
    let fault = |error: &dyn std::fmt::Display| Error::file(path, error);
    let frame = ParquetReader::new(std::io::Cursor::new(bytes))
        .finish()
        .map_err(|error| fault(&error))?;
    let needed = |name: &str, kind: DataType| {
        let column = frame.column(name).map_err(|error| {
            fault(&format!(
                "{error}; the columns must be {} (label may be left out)",
                COLUMNS.join(", ")
            ))
        })?;
        column
            .cast(&kind)
            .map_err(|error| fault(&format!("column `{name}`: {error}")))
    };
    let (samples, sets) = (
        needed("sample", DataType::String)?,
        needed("set", DataType::String)?,
    );
    let scores = needed("score", DataType::Float64)?;
    let labels = match frame.column("label") {
        Ok(_) => Some(needed("label", DataType::Int64)?),
        Err(_) => None,
    };
    let labels = labels.as_ref().map(|column| column.i64()).transpose()?;
    let (samples, sets, scores) = (samples.str()?, sets.str()?, scores.f64()?);
    Ok((0..frame.height())
        .map(|row| Row {
            sample: samples.get(row).unwrap_or_default().to_owned(),
            set: sets.get(row).unwrap_or_default().to_owned(),
            label: labels.and_then(|labels| labels.get(row)),
            score: scores.get(row).unwrap_or(f64::NAN),
        })
        .collect())
}

/// The rows' scores in the order of `samples` (the test samples of the run of this name).
///
/// Rows of validation samples, `others`, are passed over; every other row must be a test sample, and every test sample
/// must be there once, with a finite score and, where the file has labels, the benchmark's own.
///
/// # Errors
/// Names the samples that are missing, unknown, there twice, of another label, or without a finite score.
pub fn checked(
    path: &Path,
    rows: &[Row],
    run: &str,
    samples: &[Sample],
    others: &[Sample],
) -> Result<Vec<f64>> {
    let key = |sample: &Sample| (sample.set.clone(), sample.id.clone());
    let places: HashMap<(String, String), usize> = samples
        .iter()
        .enumerate()
        .map(|(place, sample)| (key(sample), place))
        .collect();
    let others: HashSet<(String, String)> = others.iter().map(key).collect();
    let mut values: Vec<Option<f64>> = vec![None; samples.len()];
    let mut faults: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for row in rows {
        let name = format!("{} of {}", row.sample, row.set);
        let key = (row.set.clone(), row.sample.clone());
        let Some(&place) = places.get(&key) else {
            if !others.contains(&key) {
                faults
                    .entry("unknown to the benchmark")
                    .or_default()
                    .push(name);
            }
            continue;
        };
        if values[place].is_some() {
            faults
                .entry("there more than once")
                .or_default()
                .push(name.clone());
        }
        if let Some(label) = row.label
            && label != samples[place].label
        {
            let own = samples[place].label;
            faults
                .entry("of another label")
                .or_default()
                .push(format!("{name} ({label} where the benchmark has {own})"));
        }
        if !row.score.is_finite() {
            faults
                .entry("without a finite score")
                .or_default()
                .push(format!("{name} ({})", row.score));
        }
        values[place] = Some(row.score);
    }
    for (sample, value) in samples.iter().zip(&values) {
        if value.is_none() {
            let name = format!("{} of {}", sample.id, sample.set);
            faults.entry("missing").or_default().push(name);
        }
    }
    if faults.is_empty() {
        return Ok(values.into_iter().flatten().collect());
    }
    let faults: Vec<String> = faults
        .into_iter()
        .map(|(fault, names)| {
            let more = match names.len() {
                0..=LISTED => String::new(),
                n => format!(" and {} more", n - LISTED),
            };
            let shown = names[..names.len().min(LISTED)].join(", ");
            format!("{} {fault}: {shown}{more}", names.len())
        })
        .collect();
    Err(Error::file(
        path,
        format!(
            "its samples are not the test samples of the run `{run}` (--beside RUN takes another):\n  {}",
            faults.join("\n  ")
        ),
    ))
}

/// The stored test scores of the run `run` with the foreign column beside them, under `name`; and the out-of-distribution
/// sets that the file has no row of, which are left out.
///
/// # Errors
/// As [`checked`], of the other sets, or of all where every one would be left out; when a row is called `name` already.
pub fn beside(
    path: &Path,
    rows: &[Row],
    name: &str,
    run: &str,
    stored: &Scores,
) -> Result<(Scores, Vec<String>)> {
    let given: HashSet<&str> = rows.iter().map(|row| row.set.as_str()).collect();
    let sets = Split::OOD_TEST.map(|split| stored.sets(split)).concat();
    let (kept, mut left_out): (Vec<String>, Vec<String>) = sets
        .into_iter()
        .partition(|set| given.contains(set.as_str()));
    if kept.is_empty() {
        left_out.clear();
    }
    let mut scores = stored.only(|sample| {
        let ood = sample.split != Split::IdTest;
        sample.split.is_test() && !(ood && left_out.contains(&sample.set))
    })?;
    let others: Vec<Sample> = stored
        .samples
        .iter()
        .filter(|sample| !sample.split.is_test())
        .cloned()
        .collect();
    let values = checked(path, rows, run, &scores.samples, &others)?;
    scores.push(name, values)?;
    Ok((scores, left_out))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(split: Split, set: &str, id: &str, label: i64) -> Sample {
        Sample {
            split,
            set: set.into(),
            id: id.into(),
            label,
            predicted: 0,
        }
    }

    fn stored() -> Scores {
        let mut scores = Scores::new(vec![
            sample(Split::IdVal, "val", "v0", 0),
            sample(Split::IdTest, "test", "t0", 1),
            sample(Split::IdTest, "test", "t1", 0),
            sample(Split::Near, "near", "n0", -1),
            sample(Split::Far, "far", "n0", -1),
        ]);
        scores.push("msp", vec![0.1, 0.9, 0.8, 0.3, 0.2]).unwrap();
        scores
    }

    fn run(text: &str) -> std::result::Result<(Scores, Vec<String>), String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("theirs.csv");
        std::fs::write(&path, text).unwrap();
        let rows = read(&path).map_err(|error| error.to_string())?;
        beside(&path, &rows, "theirs", "quick", &stored()).map_err(|error| error.to_string())
    }

    #[test]
    fn a_right_file_in_any_order_stands_beside_ours() {
        let (scores, left_out) = run(
            "score,set,sample,label\n1.5,far,n0,-1\n2,near,n0,-1\n3,test,t0,1\n4,test,t1,0\n9,val,v0,0\n",
        )
        .unwrap();
        assert_eq!(scores.column("theirs").unwrap(), [3.0, 4.0, 2.0, 1.5]);
        assert_eq!(scores.column("msp").unwrap(), [0.9, 0.8, 0.3, 0.2]);
        assert!(left_out.is_empty());
    }

    #[test]
    fn a_set_without_a_row_is_left_out_and_one_with_some_is_not() {
        let (scores, left_out) =
            run("sample,set,score\nt0,test,3\nt1,test,4\nn0,near,2\nv0,val,1\n").unwrap();
        assert_eq!(scores.column("theirs").unwrap(), [3.0, 4.0, 2.0]);
        assert_eq!(scores.column("msp").unwrap(), [0.9, 0.8, 0.3]);
        assert_eq!(left_out, ["far"]);
        // Neither the in-distribution set nor all others.
        let error = run("sample,set,score\nn0,near,2\n").unwrap_err();
        assert!(
            error.contains("2 missing: t0 of test, t1 of test"),
            "{error}"
        );
        let error = run("sample,set,score\nt0,test,3\nt1,test,4\n").unwrap_err();
        assert!(
            error.contains("2 missing: n0 of near, n0 of far"),
            "{error}"
        );
    }

    #[test]
    fn every_fault_is_named_with_its_samples() {
        let error = run(
            "sample,set,label,score\nt0,test,2,0.5\nt0,test,1,0.5\nn0,near,-1,NaN\nx9,far,-1,1\n",
        )
        .unwrap_err();
        for part in [
            "2 missing: t1 of test, n0 of far",
            "1 unknown to the benchmark: x9 of far",
            "1 there more than once: t0 of test",
            "t0 of test (2 where the benchmark has 1)",
            "n0 of near (NaN)",
            "theirs.csv",
            "the run `quick` (--beside RUN",
        ] {
            assert!(error.contains(part), "{part} in {error}");
        }
    }

    #[test]
    fn a_wrong_table_is_explained() {
        assert!(
            run("name,set,score\n")
                .unwrap_err()
                .contains("no column `sample`")
        );
        let error = run("sample,set,score\nt0,test,high\n").unwrap_err();
        assert!(
            error.contains("line 2") && error.contains("`high`"),
            "{error}"
        );
        let error = run("sample,set,label,score\nt0,test,cat,1\n").unwrap_err();
        assert!(
            error.contains("line 2") && error.contains("`cat`"),
            "{error}"
        );
    }
}
