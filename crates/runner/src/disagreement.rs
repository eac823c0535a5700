//! Samples that two methods judge differently.

use crate::Result;
use crate::differences::{column, test_split};
use crate::parts::Split;
use crate::scores::Scores;

/// A sample and its rank under two methods.
#[derive(Clone, Debug, PartialEq)]
pub struct Disagreement {
    /// Position in [`Scores::samples`].
    pub sample: usize,
    /// Share of the compared samples that the first method ranks below it, ties one half: 1 is most in-distribution.
    pub first: f64,
    /// The same for the second method.
    pub second: f64,
}

/// The `n` samples of largest difference in rank, of in-distribution test samples and of one set, each under a heading
/// and by which method accepts more.
///
/// Scores of two methods have no common scale; their ranks among the same samples have.
///
/// # Errors
/// When a row or the set does not exist.
pub fn disagreements(
    scores: &Scores,
    first: &str,
    second: &str,
    set: &str,
    n: usize,
) -> Result<Vec<(String, Vec<Disagreement>)>> {
    let split = test_split(scores, set)?;
    let compared: Vec<usize> = (0..scores.samples.len())
        .filter(|&i| {
            let sample = &scores.samples[i];
            sample.split == Split::IdTest || (sample.split == split && sample.set == set)
        })
        .collect();
    let ranks = |method: &str| -> Result<Vec<f64>> {
        let values = column(scores, method)?;
        let mut sorted: Vec<f64> = compared.iter().map(|&i| values[i]).collect();
        sorted.sort_unstable_by(f64::total_cmp);
        let share = |value: f64| {
            let below = sorted.partition_point(|other| *other < value);
            let not_above = sorted.partition_point(|other| *other <= value);
            (below + not_above) as f64 / (2 * sorted.len()) as f64
        };
        Ok(compared.iter().map(|&i| share(values[i])).collect())
    };
    let (a, b) = (ranks(first)?, ranks(second)?);
    let all: Vec<Disagreement> = compared
        .iter()
        .zip(a.into_iter().zip(b))
        .map(|(&sample, (first, second))| Disagreement {
            sample,
            first,
            second,
        })
        .collect();
    let mut groups = Vec::new();
    for (kind, is_id) in [("in-distribution", true), (set, false)] {
        for (name, sign) in [(first, 1.0), (second, -1.0)] {
            let mut rows: Vec<Disagreement> = all
                .iter()
                .filter(|row| (scores.samples[row.sample].split == Split::IdTest) == is_id)
                .filter(|row| sign * (row.first - row.second) > 0.0)
                .cloned()
                .collect();
            rows.sort_by(|x, y| {
                let size = |row: &Disagreement| (row.first - row.second).abs();
                size(y).total_cmp(&size(x)).then(x.sample.cmp(&y.sample))
            });
            rows.truncate(n);
            if !rows.is_empty() {
                groups.push((format!("{kind}: {name} accepts more"), rows));
            }
        }
    }
    Ok(groups)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scores::Sample;

    #[test]
    fn the_largest_difference_in_rank_comes_first() {
        let sample = |split, set: &str, id: &str| Sample {
            split,
            set: set.into(),
            id: id.into(),
            label: -1,
            predicted: 0,
        };
        let mut scores = Scores::new(vec![
            sample(Split::IdTest, "test", "a"),
            sample(Split::IdTest, "test", "b"),
            sample(Split::Near, "near", "c"),
            sample(Split::Near, "near", "d"),
            sample(Split::Far, "far", "e"),
        ]);
        scores.push("x", vec![4.0, 3.0, 2.0, 1.0, 9.0]).unwrap();
        scores.push("y", vec![-4.0, 0.0, 1.0, 2.0, -9.0]).unwrap();
        let found = disagreements(&scores, "x", "y", "near", 1).unwrap();
        let names: Vec<(&str, usize)> = found
            .iter()
            .map(|(heading, rows)| (heading.as_str(), rows[0].sample))
            .collect();
        assert_eq!(
            names,
            [
                ("in-distribution: x accepts more", 0),
                ("near: y accepts more", 3)
            ]
        );
        let text = disagreements(&scores, "x", "z", "near", 1)
            .unwrap_err()
            .to_string();
        assert!(text.contains("no method `z`"), "{text}");
        let text = disagreements(&scores, "x", "y", "neat", 1)
            .unwrap_err()
            .to_string();
        assert!(text.contains("did you mean `near`"), "{text}");
    }
}
