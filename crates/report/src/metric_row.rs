//! One number of an experiment, the unit that every table and file is made of.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// One metric of one method on one out-of-distribution set (or on the average of a role's sets).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MetricRow {
    /// The experiment's name, that of its file in `experiments/`.
    pub experiment: String,
    /// The method's name, as the experiment lists it.
    pub method: String,
    /// The out-of-distribution set's name, or [`MetricRow::AVERAGE`] for the mean over the role's sets.
    pub set: String,
    /// Whether the set is near to or far from the in-distribution set, or stands beside the benchmark.
    pub role: Role,
    /// Which metric `value` is.
    pub metric: Metric,
    /// The metric as a fraction in `[0, 1]`; not a number where it is undefined.
    pub value: f64,
    /// Lower end of the confidence interval, a fraction, where one was computed.
    pub ci_low: Option<f64>,
    /// Upper end of the confidence interval, a fraction, where one was computed.
    pub ci_high: Option<f64>,
    /// How many in-distribution samples the value rests on.
    pub n_id: usize,
    /// How many out-of-distribution samples the value rests on.
    pub n_ood: usize,
}

impl MetricRow {
    /// The `set` of a row that averages over the sets of a role.
    pub const AVERAGE: &str = "average";
}

/// How far an out-of-distribution set is from the in-distribution set, as OpenOOD sorts them; or that it is none of a
/// benchmark's sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Similar pictures, other classes.
    Near,
    /// Pictures of another kind.
    Far,
    /// Shown beside the benchmark, and in no average.
    Extra,
}

impl Role {
    /// All roles, in the order in which tables and plots show them.
    pub const ALL: [Self; 3] = [Self::Near, Self::Far, Self::Extra];

    /// The name in files: `near`, `far` or `extra`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Near => "near",
            Self::Far => "far",
            Self::Extra => "extra",
        }
    }

    /// The name in headings: `near-OOD`, `far-OOD` or `extra`.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Near => "near-OOD",
            Self::Far => "far-OOD",
            Self::Extra => "extra",
        }
    }
}

/// A measure of how well a score tells in-distribution from out-of-distribution samples.
///
/// In-distribution is the positive class unless the name says otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    /// Area under the receiver operating characteristic.
    Auroc,
    /// Share of OOD samples accepted at the threshold that accepts 95 % of the in-distribution samples.
    Fpr95,
    /// Share of in-distribution samples rejected at the threshold that rejects 95 % of the OOD samples.
    Fpr95OodPositive,
    /// Area under the precision-recall curve with in-distribution positive.
    AuprIn,
    /// Area under the precision-recall curve with OOD positive.
    AuprOut,
}

impl Metric {
    /// All metrics, in the order in which files list them.
    pub const ALL: [Self; 5] = [
        Self::Auroc,
        Self::Fpr95,
        Self::Fpr95OodPositive,
        Self::AuprIn,
        Self::AuprOut,
    ];

    /// The name in files, such as `fpr95`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Auroc => "auroc",
            Self::Fpr95 => "fpr95",
            Self::Fpr95OodPositive => "fpr95_ood_positive",
            Self::AuprIn => "aupr_in",
            Self::AuprOut => "aupr_out",
        }
    }

    /// The name in headings, such as `FPR95`.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Auroc => "AUROC",
            Self::Fpr95 => "FPR95",
            Self::Fpr95OodPositive => "FPR95 (OOD positive)",
            Self::AuprIn => "AUPR-in",
            Self::AuprOut => "AUPR-out",
        }
    }

    /// One sentence on what the metric is, for the note under a table.
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::Auroc => "area under the ROC curve",
            Self::Fpr95 => "share of OOD samples accepted when 95 % of ID samples are accepted",
            Self::Fpr95OodPositive => {
                "share of ID samples rejected when 95 % of OOD samples are rejected"
            }
            Self::AuprIn => "area under the precision-recall curve, ID positive",
            Self::AuprOut => "area under the precision-recall curve, OOD positive",
        }
    }

    /// Whether a larger value is better.
    pub const fn higher_is_better(self) -> bool {
        !matches!(self, Self::Fpr95 | Self::Fpr95OodPositive)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl fmt::Display for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// The name is none of the known ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected {0}")]
pub struct UnknownName(pub(crate) &'static str);

impl FromStr for Role {
    type Err = UnknownName;

    fn from_str(name: &str) -> Result<Self, UnknownName> {
        Self::ALL
            .into_iter()
            .find(|role| role.name() == name)
            .ok_or(UnknownName("`near`, `far` or `extra`"))
    }
}

impl FromStr for Metric {
    type Err = UnknownName;

    fn from_str(name: &str) -> Result<Self, UnknownName> {
        Self::ALL
            .into_iter()
            .find(|metric| metric.name() == name)
            .ok_or(UnknownName(
                "one of `auroc`, `fpr95`, `fpr95_ood_positive`, `aupr_in`, `aupr_out`",
            ))
    }
}
