//! Produced tensors against the stored ones.

use std::fmt;

use crate::{Case, Result};

/// What marks a stored output that is information, not something to reproduce: the same in double precision, another
/// library's variant, where one unconverged L-BFGS call stopped.
pub const EXCEPTED: [&str; 3] = ["_f64", "pytorch_ood", "_lbfgs"];

/// A kind of case that a crate can run.
#[derive(Clone, Copy)]
pub struct Kind {
    /// Its name, as in the cases' metadata.
    pub name: &'static str,
    /// Runs the crate's own functions on a case.
    pub run: fn(&Case) -> Result<Vec<Produced>>,
    /// Further outputs (without `out.`) that are not compared, and why: those that the oracles' description names as
    /// debugging aids, or that describe the reference's own rounding.
    pub not_produced: &'static [(&'static str, &'static str)],
}

/// A tensor that our functions produced for a case.
#[derive(Debug, Clone, PartialEq)]
pub struct Produced {
    /// The name in the case, e.g. `out.test_score`.
    pub name: String,
    /// Values in row-major order.
    pub values: Vec<f64>,
    /// Absolute tolerance of single values that replaces the case's own, where the case's description says that its
    /// reference value is rounding alone; empty when there is none.
    pub loosened: Vec<Option<f64>>,
}

impl Produced {
    /// Values of any kind of number.
    pub fn new<T: Into<f64>>(name: impl Into<String>, values: impl IntoIterator<Item = T>) -> Self {
        Self {
            name: name.into(),
            values: values.into_iter().map(Into::into).collect(),
            loosened: Vec::new(),
        }
    }

    /// Whole numbers: predictions, indices, steps.
    pub fn whole(name: impl Into<String>, values: &[usize]) -> Self {
        Self::new(name, values.iter().map(|&value| value as f64))
    }
}

/// One tensor that is not as it should be.
#[derive(Debug, Clone, PartialEq)]
pub struct Fault {
    /// The tensor.
    pub tensor: String,
    /// What is wrong with it: the largest deviation and the tolerance, or that it is missing.
    pub problem: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.tensor, self.problem)
    }
}

/// Runs a case through the kind it belongs to; the faults found, none when it passes.
///
/// # Errors
/// [`Error::Case`](crate::Error::Case) for a kind that none of `kinds` is, or whatever running the case meets.
pub fn verify(case: &Case, kinds: &[Kind]) -> Result<Vec<Fault>> {
    let kind = kinds
        .iter()
        .find(|kind| kind.name == case.kind)
        .ok_or_else(|| case.fault("nothing here runs this kind"))?;
    let produced = (kind.run)(case)?;
    let mut faults = Vec::new();
    for name in case.names("out.") {
        let Some(tensor) = produced.iter().find(|tensor| tensor.name == name) else {
            if !excepted(kind, name) {
                faults.push(fault(name, "not compared"));
            }
            continue;
        };
        faults.extend(difference(case, tensor)?.map(|problem| fault(name, problem)));
    }
    let unknown = produced.iter().filter(|tensor| !case.has(&tensor.name));
    faults.extend(unknown.map(|tensor| fault(&tensor.name, "not in the file")));
    Ok(faults)
}

fn fault(tensor: &str, problem: impl Into<String>) -> Fault {
    Fault {
        tensor: tensor.into(),
        problem: problem.into(),
    }
}

fn excepted(kind: &Kind, name: &str) -> bool {
    let name = name.strip_prefix("out.").unwrap_or(name);
    EXCEPTED.iter().any(|mark| name.contains(mark))
        || kind.not_produced.iter().any(|(listed, _)| *listed == name)
}

/// Where a produced tensor deviates most beyond what is allowed, in words; `None` where it does nowhere.
fn difference(case: &Case, produced: &Produced) -> Result<Option<String>> {
    let expected = case.f64(&produced.name)?;
    if produced.values.len() != expected.len() {
        let (got, want) = (produced.values.len(), expected.len());
        return Ok(Some(format!("{got} values, the reference has {want}")));
    }
    let (rtol, atol) = tolerance(case, &produced.name);
    let mut worst: Option<(f64, String)> = None;
    let mut outside = 0;
    for (index, (got, want)) in produced.values.iter().zip(&expected).enumerate() {
        let loosened = produced.loosened.get(index).copied().flatten();
        let allowed = loosened.unwrap_or(atol + rtol * want.abs());
        let off = (got - want).abs();
        let both_nan = got.is_nan() && want.is_nan();
        if got == want || off <= allowed || both_nan {
            continue;
        }
        outside += 1;
        if worst
            .as_ref()
            .is_none_or(|(before, _)| off > *before || off.is_nan())
        {
            worst = Some((
                off,
                format!(
                    "largest deviation {off:.3e} at {index}: {got} against {want}, allowed {allowed:.3e}"
                ),
            ));
        }
    }
    Ok(worst.map(|(_, text)| format!("{text} ({outside} of {} values outside)", expected.len())))
}

fn tolerance(case: &Case, name: &str) -> (f64, f64) {
    let own = &case.config["tolerances"][name];
    match (own[0].as_f64(), own[1].as_f64()) {
        (Some(rtol), Some(atol)) => (rtol, atol),
        _ => (case.rtol, case.atol),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use safetensors::tensor::{Dtype, TensorView, serialize};
    use std::collections::HashMap;

    const TWICE: Kind = Kind {
        name: "twice",
        run: |case| {
            let values = case.f64("in.x")?;
            Ok(vec![Produced::new(
                "out.y",
                values.into_iter().map(|x| 2.0 * x),
            )])
        },
        not_produced: &[("aid", "a debugging aid")],
    };

    fn case(outputs: &[(&str, f32)]) -> Case {
        let x = 1.5f32.to_le_bytes();
        let bytes: Vec<(String, [u8; 4])> = outputs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), value.to_le_bytes()))
            .chain([("in.x".to_owned(), x)])
            .collect();
        let views = bytes.iter().map(|(name, bytes)| {
            (
                name.clone(),
                TensorView::new(Dtype::F32, vec![1], bytes).unwrap(),
            )
        });
        let metadata = [
            ("kind", "twice"),
            ("config", "{}"),
            ("rtol", "0"),
            ("atol", "0.01"),
        ]
        .map(|(key, value)| (key.to_owned(), value.to_owned()));
        let file = serialize(views, Some(HashMap::from(metadata))).unwrap();
        let path = std::env::temp_dir().join(format!(
            "diffguard-oracle-{}-{:?}.safetensors",
            std::process::id(),
            std::thread::current().id()
        ));
        std::fs::write(&path, file).unwrap();
        let case = Case::open(&path).unwrap();
        std::fs::remove_file(path).unwrap();
        case
    }

    #[test]
    fn what_lies_within_the_tolerance_passes() {
        let case = case(&[("out.y", 3.009), ("out.aid", 0.0), ("out.y_f64", 0.0)]);
        assert_eq!(verify(&case, &[TWICE]).unwrap(), []);
    }

    #[test]
    fn deviation_and_tolerance_are_told() {
        let faults = verify(&case(&[("out.y", 3.5)]), &[TWICE]).unwrap();
        let text = faults[0].to_string();
        assert!(
            text.contains("out.y") && text.contains("5.000e-1") && text.contains("1.000e-2"),
            "{text}"
        );
    }

    #[test]
    fn an_output_that_nobody_compares_is_a_fault() {
        let faults = verify(&case(&[("out.y", 3.0), ("out.z", 1.0)]), &[TWICE]).unwrap();
        assert_eq!(faults, [fault("out.z", "not compared")]);
    }

    #[test]
    fn an_unknown_kind_is_an_error() {
        assert!(verify(&case(&[("out.y", 3.0)]), &[]).is_err());
    }
}
