//! Scores of somebody else's method: read, and checked against a split sample by sample.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;

use polars::prelude::{Column, DataType, ParquetReader, SerReader};

use crate::parts::Split;
use crate::scores::{Sample, Scores};
use crate::stored_run::StoredRun;
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
            .strict_cast(&kind)
            .map_err(|error| fault(&format!("column `{name}`: {error}")))
    };
    let (samples, sets) = (
        needed("sample", DataType::String)?,
        needed("set", DataType::String)?,
    );
    let scores = needed("score", DataType::Float64)?;
    let labels = match frame.column("label").map(Column::dtype) {
        // Whole numbers would be made of what is none.
        Ok(kind) if kind.is_float() => {
            return Err(fault(
                &"column `label`: whole numbers are expected (-1: out of distribution)",
            ));
        }
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

/// A run's test scores with a foreign column beside them.
#[derive(Debug)]
pub struct Beside {
    /// Of the sets that the file has rows of, and of in-distribution.
    pub scores: Scores,
    /// The out-of-distribution sets that the file has no row of, which are left out.
    pub left_out: Vec<String>,
    /// Rows of images that the run did not take: it may have been cut, or may have gone without a set.
    pub passed_over: usize,
}

/// The stored test scores of a run with the foreign column beside them, under `name`.
///
/// Rows of validation samples, and of samples that the run did not take, are passed over; every test sample of the run must be
/// there once, with a finite score and, where the file has labels, the benchmark's own. Whole out-of-distribution sets may be
/// left out.
///
/// # Errors
/// Names the samples that are missing, unknown, there twice, of another label, or without a finite score; when a row is called
/// `name` already.
pub fn beside(path: &Path, rows: &[Row], name: &str, run: &StoredRun) -> Result<Beside> {
    let stored = &run.scores;
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
    let (values, passed_over) = checked(path, rows, run, &scores.samples)?;
    scores.push(name, values)?;
    Ok(Beside {
        scores,
        left_out,
        passed_over,
    })
}

/// The rows' scores in the order of `samples`, and the number of rows of images that the run did not take.
fn checked(
    path: &Path,
    rows: &[Row],
    run: &StoredRun,
    samples: &[Sample],
) -> Result<(Vec<f64>, usize)> {
    let key = |sample: &Sample| (sample.set.clone(), sample.id.clone());
    let places: HashMap<(String, String), usize> = samples
        .iter()
        .enumerate()
        .map(|(place, sample)| (key(sample), place))
        .collect();
    let all = run.scores.samples.iter();
    let sets: HashSet<&str> = all.clone().map(|sample| sample.set.as_str()).collect();
    let validation = all.filter(|sample| !sample.split.is_test());
    let validation: HashSet<(String, String)> = validation.map(key).collect();
    let mut values: Vec<Option<f64>> = vec![None; samples.len()];
    let mut faults: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    let mut fault = |what, name| faults.entry(what).or_default().push(name);
    let mut passed_over: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for row in rows {
        let name = format!("{} of {}", row.sample, row.set);
        let key = (row.set.clone(), row.sample.clone());
        let Some(&place) = places.get(&key) else {
            if validation.contains(&key) {
                continue;
            }
            match sets.contains(row.set.as_str()) || run.not_at_hand.contains(&row.set) {
                true => passed_over.entry(&row.set).or_default().push(name),
                false => fault("of a set that the benchmark has not", name),
            }
            continue;
        };
        if values[place].is_some() {
            fault("there more than once", name.clone());
        }
        if let Some(label) = row.label
            && label != samples[place].label
        {
            let own = samples[place].label;
            let what = format!("{name} ({label} where the benchmark has {own})");
            fault("of another label", what);
        }
        if !row.score.is_finite() {
            fault("without a finite score", format!("{name} ({})", row.score));
        }
        values[place] = Some(row.score);
    }
    for (sample, value) in samples.iter().zip(&values) {
        if value.is_none() {
            fault("missing", format!("{} of {}", sample.id, sample.set));
            // Misspelt ones may be among those.
            if let Some(others) = passed_over.remove(sample.set.as_str()) {
                let what = "not among the run's images";
                others.into_iter().for_each(|name| fault(what, name));
            }
        }
    }
    if faults.is_empty() {
        let passed_over = passed_over.values().map(Vec::len).sum();
        return Ok((values.into_iter().flatten().collect(), passed_over));
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
            "its samples are not the test samples of the run `{}` (--beside RUN takes another):\n  {}",
            run.name,
            faults.join("\n  ")
        ),
    ))
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use polars::prelude::{DataFrame, ParquetWriter};

    use super::*;
    use crate::Root;
    use crate::experiment::Experiment;

    fn sample(split: Split, set: &str, id: &str, label: i64) -> Sample {
        Sample {
            split,
            set: set.into(),
            id: id.into(),
            label,
            predicted: 0,
        }
    }

    fn stored() -> StoredRun {
        let mut scores = Scores::new(vec![
            sample(Split::IdVal, "val", "v0", 0),
            sample(Split::IdTest, "test", "t0", 1),
            sample(Split::IdTest, "test", "t1", 0),
            sample(Split::Near, "near", "n0", -1),
            sample(Split::Far, "far", "n0", -1),
        ]);
        scores.push("msp", vec![0.1, 0.9, 0.8, 0.3, 0.2]).unwrap();
        let root = Root::find().unwrap();
        let (name, experiment) = Experiment::read("quick", &root).unwrap();
        StoredRun {
            name,
            folder: PathBuf::new(),
            experiment,
            not_at_hand: vec!["another".into()],
            scores,
        }
    }

    fn run(text: &str) -> std::result::Result<Beside, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("theirs.csv");
        std::fs::write(&path, text).unwrap();
        let rows = read(&path).map_err(|error| error.to_string())?;
        beside(&path, &rows, "theirs", &stored()).map_err(|error| error.to_string())
    }

    #[test]
    fn a_right_file_in_any_order_stands_beside_ours() {
        let Beside {
            scores, left_out, ..
        } = run(
            "score,set,sample,label\n1.5,far,n0,-1\n2,near,n0,-1\n3,test,t0,1\n4,test,t1,0\n9,val,v0,0\n",
        )
        .unwrap();
        assert_eq!(scores.column("theirs").unwrap(), [3.0, 4.0, 2.0, 1.5]);
        assert_eq!(scores.column("msp").unwrap(), [0.9, 0.8, 0.3, 0.2]);
        assert!(left_out.is_empty());
    }

    #[test]
    fn a_set_without_a_row_is_left_out_and_one_with_some_is_not() {
        let Beside {
            scores, left_out, ..
        } = run("sample,set,score\nt0,test,3\nt1,test,4\nn0,near,2\nv0,val,1\n").unwrap();
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
    fn images_that_a_run_did_not_take_are_passed_over() {
        let all = "sample,set,score\nt0,test,3\nt1,test,4\nn0,near,2\nn0,far,1\n";
        let more = run(&format!(
            "{all}t2,test,9\nn1,near,9\nx,another,9\nv0,val,9\n"
        ))
        .unwrap();
        let same = run(all).unwrap();
        assert_eq!(more.scores.column("theirs"), same.scores.column("theirs"));
        assert_eq!((same.passed_over, more.passed_over), (0, 3));
    }

    #[test]
    fn labels_of_a_parquet_file_are_whole_numbers() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("theirs.parquet");
        let write = |labels: Column| {
            let column = |name: &str, values: [&str; 4]| Column::new(name.into(), values);
            let columns = vec![
                column("sample", ["t0", "t1", "n0", "n0"]),
                column("set", ["test", "test", "near", "far"]),
                Column::new("score".into(), [3.0, 4.0, 2.0, 1.0]),
                labels,
            ];
            let mut frame = DataFrame::new(4, columns).unwrap();
            let file = std::fs::File::create(&path).unwrap();
            ParquetWriter::new(file).finish(&mut frame).unwrap();
            read(&path).map_err(|error| error.to_string())
        };
        let right = write(Column::new("label".into(), [1i32, 0, -1, -1])).unwrap();
        assert_eq!(right[0].label, Some(1));
        for wrong in [
            Column::new("label".into(), ["1", "cat", "-1", "-1"]),
            Column::new("label".into(), [1.7, 0.0, -1.0, -1.0]),
        ] {
            let error = write(wrong).unwrap_err();
            assert!(
                error.contains("theirs.parquet") && error.contains("`label`"),
                "{error}"
            );
        }
    }

    #[test]
    fn every_fault_is_named_with_its_samples() {
        let error = run(
            "sample,set,label,score\nt0,test,2,0.5\nt0,test,1,0.5\nn0,near,-1,NaN\nx9,far,-1,1\nn0,fra,-1,1\n",
        )
        .unwrap_err();
        for part in [
            "2 missing: t1 of test, n0 of far",
            "1 not among the run's images: x9 of far",
            "1 of a set that the benchmark has not: n0 of fra",
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
