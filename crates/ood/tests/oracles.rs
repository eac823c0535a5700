//! Every golden case in `tests/oracles`, tensor by tensor.

use std::path::{Path, PathBuf};

use diffguard_ood::verify::{KINDS, Produced, TensorData, Values, not_produced, verify_case};
use safetensors::{Dtype, SafeTensors};
use serde_json::Value;

fn tensor(file: &SafeTensors, name: &str) -> Option<TensorData> {
    let view = file.tensor(name).ok()?;
    let bytes = view.data();
    macro_rules! read {
        ($type:ty) => {
            bytes
                .chunks_exact(size_of::<$type>())
                .map(|chunk| <$type>::from_le_bytes(chunk.try_into().unwrap()))
                .collect()
        };
    }
    let values = match view.dtype() {
        Dtype::F32 => Values::F32(read!(f32)),
        Dtype::F64 => Values::F64(read!(f64)),
        Dtype::I64 => Values::I64(read!(i64)),
        Dtype::U8 => Values::U8(bytes.to_vec()),
        other => panic!("{name} has type {other:?}"),
    };
    Some(TensorData {
        shape: view.shape().to_vec(),
        values,
    })
}

/// What differs between `produced` and the stored `expected`, in words; `None` when nothing does.
fn difference(produced: &Produced, expected: &[f64], (rtol, atol): (f64, f64)) -> Option<String> {
    if produced.values.len() != expected.len() {
        return Some(format!(
            "{} values against {}",
            produced.values.len(),
            expected.len()
        ));
    }
    let mut worst: Option<(f64, String)> = None;
    for (i, (got, want)) in produced.values.iter().zip(expected).enumerate() {
        let allowed = match produced.loosened.get(i).copied().flatten() {
            Some(loosened) => loosened,
            None => atol + rtol * want.abs(),
        };
        let off = (got - want).abs();
        let equal = got == want || off <= allowed;
        if !equal
            && worst
                .as_ref()
                .is_none_or(|(before, _)| off > *before || off.is_nan())
        {
            worst = Some((
                off,
                format!("at {i}: {got} against {want} (allowed {allowed:e})"),
            ));
        }
    }
    worst.map(|(_, text)| text)
}

/// Runs one file; returns its faults.
fn faults_of(path: &Path, kind: &str) -> Vec<String> {
    let bytes = std::fs::read(path).unwrap();
    let (_, header) = SafeTensors::read_metadata(&bytes).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let metadata = header.metadata().clone().unwrap();
    assert_eq!(metadata["kind"], kind);
    let config: Value = serde_json::from_str(&metadata["config"]).unwrap();
    let number = |key: &str| metadata[key].parse::<f64>().unwrap();
    let tolerance_of = |name: &str| match &config["tolerances"][name] {
        Value::Array(pair) => (pair[0].as_f64().unwrap(), pair[1].as_f64().unwrap()),
        _ => (number("rtol"), number("atol")),
    };

    let produced = match verify_case(kind, &config, &|name| tensor(&file, name)) {
        Ok(produced) => produced,
        Err(error) => return vec![error.to_string()],
    };
    let mut faults = Vec::new();
    let mut names: Vec<&str> = file
        .names()
        .into_iter()
        .filter(|name| name.starts_with("out."))
        .collect();
    names.sort_unstable();
    for name in &names {
        let expected = tensor(&file, name).unwrap().values.to_f64();
        match produced.iter().find(|tensor| tensor.name == *name) {
            Some(tensor) => faults.extend(
                difference(tensor, &expected, tolerance_of(name)).map(|f| format!("{name} {f}")),
            ),
            None if not_produced(kind, name).is_none() => {
                faults.push(format!("{name} is not produced"))
            }
            None => {}
        }
    }
    let unknown = produced
        .iter()
        .filter(|tensor| !names.contains(&tensor.name.as_str()));
    faults.extend(unknown.map(|tensor| format!("{} is not in the file", tensor.name)));
    faults
}

fn run(kind: &str) {
    assert!(KINDS.contains(&kind));
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/oracles")
        .join(kind);
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    assert!(!files.is_empty());
    let mut report = String::new();
    for file in &files {
        for fault in faults_of(file, kind) {
            report += &format!("{}: {fault}\n", file.file_stem().unwrap().display());
        }
    }
    assert!(report.is_empty(), "{} files\n{report}", files.len());
}

#[test]
fn ood_metrics() {
    run("ood_metrics");
}

#[test]
fn detectors_logit() {
    run("detectors_logit");
}

#[test]
fn detectors_feature() {
    run("detectors_feature");
}

#[test]
fn detectors_gradient() {
    run("detectors_gradient");
}
