//! What figures and tables show of traces: means and shares by set and step, with 95 % intervals.

use super::{Series, Traces, Track};
use crate::parts::Split;
use crate::{Error, Result};

/// The 0.975 quantile of the standard normal distribution.
const Z: f64 = 1.959_963_984_540_054;

/// What is summarised of a series.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measure {
    /// The mean, in dB.
    Psnr,
    /// The mean less that of the in-distribution images, in dB.
    PsnrOverId,
    /// The share of images that are predicted as labelled.
    Accuracy,
    /// The share of images that are predicted as the classifier under protection predicts the clean input.
    Agreement,
    /// The share of images that the noisy classifier and the one under protection predict alike on the same `x_t`.
    Alike,
}

impl Measure {
    /// As files write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Psnr => "psnr",
            Self::PsnrOverId => "psnr-over-id",
            Self::Accuracy => "accuracy",
            Self::Agreement => "agreement",
            Self::Alike => "alike",
        }
    }

    /// Whether it is a share, from 0 to 1.
    pub fn is_share(self) -> bool {
        !matches!(self, Self::Psnr | Self::PsnrOverId)
    }

    fn of(series: Series) -> &'static [Self] {
        match series {
            Series::PsnrXt | Series::PsnrX0hat => &[Self::Psnr, Self::PsnrOverId],
            Series::NormalXt | Series::NormalX0hat => &[Self::Accuracy, Self::Agreement],
            Series::NoisyXt => &[Self::Accuracy, Self::Agreement, Self::Alike],
        }
    }
}

/// A number of a set at a step.
#[derive(Clone, Debug, PartialEq)]
pub struct Summary {
    /// The trace's name.
    pub trace: String,
    /// The series.
    pub series: Series,
    /// What is said of it.
    pub measure: Measure,
    /// What the set is for.
    pub split: Split,
    /// The set.
    pub set: String,
    /// The training step; none for the mean over all steps of the trace.
    pub t: Option<usize>,
    /// Images.
    pub n: usize,
    /// The value: dB or a share.
    pub value: f64,
    /// The 95 % interval: Wilson's (1927) for a share at a step, else by the normal distribution; none of a mean of one
    /// image.
    pub interval: Option<(f64, f64)>,
}

/// Mean, and squared standard error where there are two values.
fn mean(values: &[f64]) -> (f64, Option<f64>) {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    (mean, (n > 1.0).then(|| squares / (n - 1.0) / n))
}

fn around(value: f64, squared_error: Option<f64>) -> Option<(f64, f64)> {
    let half = Z * squared_error?.sqrt();
    Some((value - half, value + half))
}

/// Wilson's interval of a share (Wilson 1927).
fn wilson(share: f64, n: f64) -> (f64, f64) {
    let scale = 1.0 / (1.0 + Z * Z / n);
    let middle = scale * (share + Z * Z / (2.0 * n));
    let half = scale * Z * (share * (1.0 - share) / n + Z * Z / (4.0 * n * n)).sqrt();
    ((middle - half).max(0.0), (middle + half).min(1.0))
}

/// Every measure of every series by set and step; after a series' steps their mean.
pub fn summaries(traces: &Traces) -> Vec<Summary> {
    let mut sets: Vec<(Split, &str, Vec<usize>)> = Vec::new();
    for (place, sample) in traces.samples.iter().enumerate() {
        match sets.last_mut() {
            Some((split, set, places)) if (*split, *set) == (sample.split, &sample.set) => {
                places.push(place);
            }
            _ => sets.push((sample.split, &sample.set, vec![place])),
        }
    }
    let id = sets.iter().find(|(split, _, _)| *split == Split::IdTest);
    let id = id.map(|(_, _, places)| places.as_slice());
    let mut all = Vec::new();
    for track in &traces.tracks {
        for &measure in Measure::of(track.series) {
            for (split, set, places) in &sets {
                let in_distribution = *split == Split::IdTest;
                let against = match (measure, in_distribution, id) {
                    (Measure::Accuracy, false, _) | (Measure::PsnrOverId, true, _) => continue,
                    (Measure::PsnrOverId, false, None) => continue,
                    (Measure::PsnrOverId, false, Some(id)) => Some(id),
                    _ => None,
                };
                let steps = (0..track.steps.len()).map(Some).chain([None]);
                for step in steps {
                    let own = values(traces, track, measure, places, step);
                    let (mut value, mut error) = mean(&own);
                    if let Some(id) = against {
                        let (of_id, its) = mean(&values(traces, track, measure, id, step));
                        value -= of_id;
                        error = error.zip(its).map(|(own, its)| own + its);
                    }
                    all.push(Summary {
                        trace: track.trace.clone(),
                        series: track.series,
                        measure,
                        split: *split,
                        set: (*set).to_owned(),
                        t: step.map(|step| track.steps[step]),
                        n: places.len(),
                        value,
                        interval: match measure.is_share() && step.is_some() {
                            true => Some(wilson(value, places.len() as f64)),
                            false => around(value, error),
                        },
                    });
                }
            }
        }
    }
    all
}

/// What a measure says of each image at a step, or on average over the steps.
fn values(
    traces: &Traces,
    track: &Track,
    measure: Measure,
    places: &[usize],
    step: Option<usize>,
) -> Vec<f64> {
    let normal = traces.track(&track.trace, Series::NormalXt);
    let at = |step: usize, place: usize| {
        let (value, sample) = (track.values[step][place], &traces.samples[place]);
        let share = |same: bool| f64::from(u8::from(same));
        match measure {
            Measure::Psnr | Measure::PsnrOverId => f64::from(value),
            Measure::Accuracy => share(value as i64 == sample.label),
            Measure::Agreement => share(value as i64 == sample.predicted),
            Measure::Alike => share(normal.is_some_and(|it| it.values[step][place] == value)),
        }
    };
    let steps = track.steps.len();
    let of = |place: &usize| match step {
        Some(step) => at(step, *place),
        None => (0..steps).map(|step| at(step, *place)).sum::<f64>() / steps as f64,
    };
    places.iter().map(of).collect()
}

/// The columns of `traces.csv`.
pub const COLUMNS: [&str; 10] = [
    "trace", "series", "measure", "split", "set", "t", "n", "value", "ci_low", "ci_high",
];

/// Formats summaries as CSV, header first; `t` is `mean` for the mean over all steps. Numbers are the shortest decimals
/// that read back to the same bits; a missing interval is an empty field.
///
/// # Errors
/// Only what writing to memory meets.
pub fn to_csv(summaries: &[Summary]) -> Result<Vec<u8>> {
    let fault = |error: csv::Error| Error::Setting(format!("traces.csv: {error}"));
    let mut writer = csv::WriterBuilder::new()
        .terminator(csv::Terminator::Any(b'\n'))
        .from_writer(Vec::new());
    writer.write_record(COLUMNS).map_err(fault)?;
    for it in summaries {
        let end = |of: fn((f64, f64)) -> f64| {
            let end = it.interval.map(|interval| of(interval).to_string());
            end.unwrap_or_default()
        };
        let t = it.t.map_or("mean".to_owned(), |t| t.to_string());
        let fields = [
            it.trace.as_str(),
            it.series.name(),
            it.measure.name(),
            it.split.name(),
            &it.set,
            &t,
            &it.n.to_string(),
            &it.value.to_string(),
            &end(|(low, _)| low),
            &end(|(_, high)| high),
        ];
        writer.write_record(fields).map_err(fault)?;
    }
    writer
        .into_inner()
        .map_err(|error| fault(error.into_error().into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scores::Sample;

    fn traces() -> Traces {
        let sample = |split, set: &str, label, predicted| Sample {
            split,
            set: set.to_owned(),
            id: String::new(),
            label,
            predicted,
        };
        let mut traces = Traces {
            samples: vec![
                sample(Split::IdTest, "id", 0, 0),
                sample(Split::IdTest, "id", 1, 1),
                sample(Split::IdTest, "id", 2, 0),
                sample(Split::Near, "near", -1, 2),
                sample(Split::Near, "near", -1, 0),
            ],
            tracks: Vec::new(),
        };
        for (series, values) in [
            (Series::NormalXt, [[0, 1, 2, 2, 1], [0, 0, 2, 2, 0]]),
            (Series::NoisyXt, [[0, 1, 0, 2, 0], [1, 1, 2, 0, 0]]),
            (Series::PsnrXt, [[10, 20, 30, 26, 24], [4, 5, 6, 9, 7]]),
        ] {
            let values = values.map(|step| step.map(|value| value as f32).to_vec());
            let track = Track {
                trace: "a".into(),
                series,
                steps: vec![0, 500],
                values: values.to_vec(),
            };
            traces.push(track).unwrap();
        }
        traces
    }

    #[test]
    fn shares_and_means_are_those_of_the_values() {
        let all = summaries(&traces());
        let of = |series, measure, split, t| {
            let found: Vec<&Summary> = all
                .iter()
                .filter(|it| (it.series, it.measure, it.split, it.t) == (series, measure, split, t))
                .collect();
            assert_eq!(found.len(), 1);
            found[0].value
        };
        let (id, near) = (Split::IdTest, Split::Near);
        let (normal, noisy, psnr) = (Series::NormalXt, Series::NoisyXt, Series::PsnrXt);
        assert_eq!(of(normal, Measure::Accuracy, id, Some(0)), 1.0);
        assert_eq!(of(normal, Measure::Accuracy, id, Some(500)), 2.0 / 3.0);
        assert_eq!(of(normal, Measure::Agreement, id, Some(0)), 2.0 / 3.0);
        assert_eq!(of(noisy, Measure::Agreement, id, Some(0)), 1.0);
        assert_eq!(of(noisy, Measure::Agreement, near, Some(0)), 1.0);
        assert_eq!(of(noisy, Measure::Alike, id, Some(500)), 1.0 / 3.0);
        assert_eq!(of(noisy, Measure::Alike, near, Some(0)), 0.5);
        assert_eq!(of(psnr, Measure::Psnr, id, Some(0)), 20.0);
        assert_eq!(of(psnr, Measure::PsnrOverId, near, Some(500)), 3.0);
        assert_eq!(of(psnr, Measure::PsnrOverId, near, None), 4.0);
        // Out of distribution nothing is labelled.
        assert!(
            !all.iter()
                .any(|it| it.measure == Measure::Accuracy && it.split == near)
        );
        let csv = String::from_utf8(to_csv(&all).unwrap()).unwrap();
        assert!(csv.starts_with("trace,series,measure,split,set,t,n,value,ci_low,ci_high\n"));
        assert!(
            csv.contains("\na,psnr/x_t,psnr-over-id,near,near,mean,2,4,"),
            "{csv}"
        );
    }

    #[test]
    fn intervals_are_the_published_ones() {
        // Newcombe (1998), table I: 81 of 263 is 0.2553 to 0.3662, 15 of 148 is 0.0624 to 0.1605.
        for (hits, of, low, high) in [(81.0, 263.0, 0.2553, 0.3662), (15.0, 148.0, 0.0624, 0.1605)]
        {
            let interval = wilson(hits / of, of);
            assert!((interval.0 - low).abs() < 5e-5 && (interval.1 - high).abs() < 5e-5);
        }
        assert_eq!(wilson(0.0, 10.0).0, 0.0);
        let (value, error) = mean(&[1.0, 2.0, 3.0]);
        let (low, high) = around(value, error).unwrap();
        let half = Z / 3f64.sqrt();
        assert!((low - (2.0 - half)).abs() < 1e-12 && (high - (2.0 + half)).abs() < 1e-12);
        assert_eq!(mean(&[1.0]).1, None);
    }
}
