//! Two methods on the same samples: the difference of their AUROCs with its interval and p-value.

use std::fmt::Write;

use diffguard_ood::metrics::{DeLongComparison, delong_paired};

use crate::parts::Split;
use crate::scores::Scores;
use crate::{Error, Result};

/// Confidence of the intervals.
const CONFIDENCE: f64 = 0.95;

/// A paired comparison on one test set.
#[derive(Clone, Debug)]
pub struct Difference {
    /// The first method.
    pub method: String,
    /// What it is compared with.
    pub against: String,
    /// The out-of-distribution set.
    pub set: String,
    /// AUROC of the first minus AUROC of the second, by DeLong's paired test.
    pub test: DeLongComparison,
}

/// Compares two columns on the in-distribution test samples and one out-of-distribution set.
///
/// # Errors
/// When a column or the set does not exist, with the names there are.
pub fn difference(scores: &Scores, method: &str, against: &str, set: &str) -> Result<Difference> {
    let split = test_split(scores, set)?;
    let parts = |name: &str| -> Result<[Vec<f64>; 2]> {
        let values = column(scores, name)?;
        Ok([
            scores.of(values, Split::IdTest, None),
            scores.of(values, split, Some(set)),
        ])
    };
    let ([id, ood], [other_id, other_ood]) = (parts(method)?, parts(against)?);
    let test = delong_paired(
        (method, &id, &ood),
        (against, &other_id, &other_ood),
        CONFIDENCE,
    )?;
    Ok(Difference {
        method: method.to_owned(),
        against: against.to_owned(),
        set: set.to_owned(),
        test,
    })
}

/// Every method against one, on every test set.
///
/// # Errors
/// As [`difference`].
pub fn differences(scores: &Scores, against: &str) -> Result<Vec<Difference>> {
    column(scores, against)?;
    let sets: Vec<String> = Split::OOD_TEST
        .into_iter()
        .flat_map(|split| scores.sets(split))
        .collect();
    let mut found = Vec::new();
    for method in scores.methods().filter(|method| *method != against) {
        for set in &sets {
            found.push(difference(scores, method, against, set)?);
        }
    }
    Ok(found)
}

/// The differences as a Markdown table.
pub fn markdown(differences: &[Difference], against: &str) -> String {
    let mut text = format!(
        "AUROC minus that of `{against}` in percentage points, on the same samples: difference, 95 % interval and \
         two-sided p-value of DeLong's paired test. The p-values are of single comparisons, not corrected for their \
         number.\n\n| method | set | difference | 95 % interval | p |\n| :--- | :--- | ---: | ---: | ---: |\n"
    );
    for difference in differences {
        let test = &difference.test;
        // Writing to a string does not fail.
        let _ = writeln!(
            text,
            "| {} | {} | {:+.2} | {:+.2} to {:+.2} | {} |",
            difference.method,
            difference.set,
            100.0 * test.difference,
            100.0 * test.interval.0,
            100.0 * test.interval.1,
            p_value(test.p_value),
        );
    }
    text
}

/// A p-value as tables write it.
pub fn p_value(p: f64) -> String {
    match p {
        p if p.is_nan() => "undefined".into(),
        p if p < 1e-4 => "< 0.0001".into(),
        p => format!("{p:.4}"),
    }
}

/// The column of a method.
///
/// # Errors
/// When there is none, with the nearest name or all of them.
pub fn column<'a>(scores: &'a Scores, method: &str) -> Result<&'a [f64]> {
    scores.column(method).ok_or_else(|| {
        let names: Vec<&str> = scores.methods().collect();
        unknown("method", method, &names)
    })
}

/// Whether a test set is near, far or beside the benchmark.
///
/// # Errors
/// When there is none of this name, with the nearest name or all of them.
pub fn test_split(scores: &Scores, set: &str) -> Result<Split> {
    let sets = Split::OOD_TEST.map(|split| (split, scores.sets(split)));
    let found = sets.iter().find(|(_, sets)| sets.iter().any(|s| s == set));
    found.map(|(split, _)| *split).ok_or_else(|| {
        let names: Vec<&str> = sets
            .iter()
            .flat_map(|(_, sets)| sets.iter().map(String::as_str))
            .collect();
        unknown("out-of-distribution test set", set, &names)
    })
}

fn unknown(kind: &str, name: &str, names: &[&str]) -> Error {
    let hint = match diffguard_ood::suggest(name, names.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("there are: {}", names.join(", ")),
    };
    Error::Setting(format!("no {kind} `{name}`; {hint}"))
}
