//! Traces: one value an image, a series and a noise level. Figures and their tables are made of this alone.

mod config;
mod file;
mod summary;

pub use self::config::{Trace, TraceKind};
pub use self::summary::{COLUMNS, Measure, Summary, summaries, to_csv};
use crate::scores::Sample;
use crate::{Error, Result};

/// What a trace records of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Series {
    /// Peak signal-to-noise ratio of `x_t` against the input, in dB.
    PsnrXt,
    /// The same of `x0hat`.
    PsnrX0hat,
    /// The class that the classifier under protection predicts on `x_t`.
    NormalXt,
    /// The class that it predicts on `x0hat`.
    NormalX0hat,
    /// The class that the noisy classifier predicts on `x_t`.
    NoisyXt,
}

impl Series {
    const ALL: [Self; 5] = [
        Self::PsnrXt,
        Self::PsnrX0hat,
        Self::NormalXt,
        Self::NormalX0hat,
        Self::NoisyXt,
    ];

    /// As files write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::PsnrXt => "psnr/x_t",
            Self::PsnrX0hat => "psnr/x0hat",
            Self::NormalXt => "normal/x_t",
            Self::NormalX0hat => "normal/x0hat",
            Self::NoisyXt => "noisy/x_t",
        }
    }

    /// The series that files write so.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|series| series.name() == name)
    }

    /// Whether its values are classes.
    pub fn is_class(self) -> bool {
        !matches!(self, Self::PsnrXt | Self::PsnrX0hat)
    }
}

/// A series of a trace.
#[derive(Clone, Debug, PartialEq)]
pub struct Track {
    /// The trace's name.
    pub trace: String,
    /// The series.
    pub series: Series,
    /// Training steps.
    pub steps: Vec<usize>,
    /// Values, `[step][sample]`.
    pub values: Vec<Vec<f32>>,
}

/// The traces of a run: its test images, and every series.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Traces {
    /// The test images.
    pub samples: Vec<Sample>,
    /// The series, trace by trace.
    pub tracks: Vec<Track>,
}

impl Traces {
    /// Adds a series. A value that is no finite number is refused with its sample's name.
    ///
    /// # Errors
    /// When there is not one finite value a sample and step.
    pub fn push(&mut self, track: Track) -> Result<()> {
        let fault = |what: String| {
            let (trace, series) = (&track.trace, track.series.name());
            Err(Error::Setting(format!("trace `{trace}`, {series}: {what}")))
        };
        let samples = self.samples.len();
        let fits = track.values.iter().all(|step| step.len() == samples);
        if track.values.len() != track.steps.len() || !fits {
            return fault(format!(
                "it has not one value for each of {samples} samples and {} steps",
                track.steps.len()
            ));
        }
        for (step, values) in track.steps.iter().zip(&track.values) {
            let odd = values.iter().position(|value| !value.is_finite());
            if let Some(sample) = odd {
                let (value, id) = (values[sample], &self.samples[sample].id);
                return fault(format!(
                    "the sample {id} has the value {value} at t = {step}"
                ));
            }
        }
        self.tracks.push(track);
        Ok(())
    }

    /// A series of a trace.
    pub fn track(&self, trace: &str, series: Series) -> Option<&Track> {
        let mut tracks = self.tracks.iter();
        tracks.find(|track| track.trace == trace && track.series == series)
    }
}
