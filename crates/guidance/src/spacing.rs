//! Which of the `T` training steps are visited: `t_0 < t_1 < … < t_{S-1}`.
//!
//! An experiment writes a spacing as one word: `"ddim25"`, `"10,15,20"`, `"uniform25"` or `"diffnb20"`.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::{Error, schedule::Schedule};

/// A choice of training steps, as a word: see the variants.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum SpacingConfig {
    /// `"ddimS"`, guided diffusion: the integer stride that gives exactly `S` steps from 0 on.
    Ddim(usize),
    /// `"10,15,20"`, improved diffusion: so many steps from each of equally long sections of the schedule.
    Sections(Vec<usize>),
    /// `"uniformS"`, latent diffusion: every `T / S`-th step, plus one. The number of steps is not always `S`.
    Uniform(usize),
    /// `"diffnbS"` or `"diffnbS@t"`, DiffNB: stride `T / S`, and the network's step `t` goes with `abar_{t+1}`. With
    /// `@t` the steps are counted from `t` downward (synthesis), or upward to `t` (inversion).
    DiffNb {
        /// Number of steps that the stride is made for.
        steps: usize,
        /// The highest network step; the highest multiple of the stride, less one, where not given.
        from: Option<usize>,
    },
}

impl Default for SpacingConfig {
    /// `ddim25`: the 25 steps of the paper's ImageNet experiments with classifier-free guidance.
    fn default() -> Self {
        Self::Ddim(25)
    }
}

impl FromStr for SpacingConfig {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let number = |digits: &str| digits.trim().parse::<usize>().ok().filter(|n| *n > 0);
        let parsed = if let Some(count) = text.strip_prefix("ddim") {
            number(count).map(Self::Ddim)
        } else if let Some(count) = text.strip_prefix("uniform") {
            number(count).map(Self::Uniform)
        } else if let Some(rest) = text.strip_prefix("diffnb") {
            match rest.split_once('@') {
                None => number(rest).map(|steps| Self::DiffNb { steps, from: None }),
                Some((count, from)) => {
                    number(count)
                        .zip(number(from))
                        .map(|(steps, from)| Self::DiffNb {
                            steps,
                            from: Some(from),
                        })
                }
            }
        } else {
            text.split(',')
                .map(number)
                .collect::<Option<Vec<_>>>()
                .map(Self::Sections)
        };
        parsed.ok_or_else(|| Error::Setting {
            setting: "spacing",
            value: format!("\"{text}\""),
            reason: "write \"ddim25\", section counts such as \"10,15,20\", \"uniform25\" or \"diffnb20\"".into(),
        })
    }
}

impl TryFrom<String> for SpacingConfig {
    type Error = Error;

    fn try_from(text: String) -> Result<Self, Error> {
        text.parse()
    }
}

impl From<SpacingConfig> for String {
    fn from(spacing: SpacingConfig) -> Self {
        spacing.to_string()
    }
}

impl fmt::Display for SpacingConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ddim(count) => write!(f, "ddim{count}"),
            Self::Sections(counts) => {
                let counts: Vec<String> = counts.iter().map(usize::to_string).collect();
                f.write_str(&counts.join(","))
            }
            Self::Uniform(count) => write!(f, "uniform{count}"),
            Self::DiffNb { steps, from: None } => write!(f, "diffnb{steps}"),
            Self::DiffNb {
                steps,
                from: Some(from),
            } => write!(f, "diffnb{steps}@{from}"),
        }
    }
}

impl SpacingConfig {
    /// The training steps that are visited, rising, out of `0..training_steps`.
    ///
    /// # Errors
    /// When the spacing does not exist for that many training steps; the message names near ones that do.
    pub fn timesteps(&self, training_steps: usize) -> Result<Vec<usize>, Error> {
        match self {
            Self::Ddim(count) => ddim(*count, training_steps),
            Self::Sections(counts) => sections(counts, training_steps),
            Self::Uniform(count) => uniform(*count, training_steps),
            Self::DiffNb { steps, from } => diffnb(*steps, *from, training_steps),
        }
        .map_err(|reason| Error::Spacing {
            spacing: self.to_string(),
            steps: training_steps,
            reason,
        })
    }
}

/// Stride `k` such that `0, k, 2k, …` has exactly `count` elements below `total`.
fn ddim(count: usize, total: usize) -> Result<Vec<usize>, String> {
    let counts = |stride: usize| total.div_ceil(stride);
    match (1..=total).find(|stride| counts(*stride) == count) {
        Some(stride) => Ok((0..total).step_by(stride).collect()),
        None => {
            let fewer = (1..=total).map(counts).filter(|n| *n < count).max();
            let more = (1..=total).map(counts).filter(|n| *n > count).min();
            let near: Vec<String> = [fewer, more]
                .into_iter()
                .flatten()
                .map(|n| format!("ddim{n}"))
                .collect();
            Err(format!(
                "no integer stride gives {count} steps; near ones: {}",
                near.join(", ")
            ))
        }
    }
}

/// Equal sections (the first ones longer by one where they do not divide `total`), each with its number of steps.
fn sections(counts: &[usize], total: usize) -> Result<Vec<usize>, String> {
    let (size, longer) = (total / counts.len(), total % counts.len());
    let mut first = 0;
    let mut steps = Vec::new();
    for (section, count) in counts.iter().copied().enumerate() {
        let size = size + usize::from(section < longer);
        if count > size {
            return Err(format!(
                "section {section} has {size} steps; {count} cannot be taken from it"
            ));
        }
        // Accumulated and rounded half to even, as the reference does: a product would round differently.
        let stride = if count > 1 {
            (size - 1) as f64 / (count - 1) as f64
        } else {
            1.0
        };
        let mut position = 0.0_f64;
        for _ in 0..count {
            steps.push(first + position.round_ties_even() as usize);
            position += stride;
        }
        first += size;
    }
    Ok(steps)
}

/// `1 + j * floor(T / S)`, without a step equal to `T`.
fn uniform(count: usize, total: usize) -> Result<Vec<usize>, String> {
    if count > total {
        return Err(format!("at most uniform{total} exists"));
    }
    Ok((0..total)
        .step_by(total / count)
        .map(|t| t + 1)
        .filter(|t| *t < total)
        .collect())
}

/// The network's steps of DiffNB's descent: from the highest down by the stride, all of them at least 0.
fn diffnb(count: usize, from: Option<usize>, total: usize) -> Result<Vec<usize>, String> {
    if count > total {
        return Err(format!("at most diffnb{total} exists"));
    }
    let stride = total / count;
    let highest = from.unwrap_or(((total - 1) / stride * stride).saturating_sub(1));
    // abar_{t+1} has to exist.
    if highest + 1 >= total {
        return Err(format!(
            "the highest step is {highest}; at most {} has a noise level",
            total.saturating_sub(2)
        ));
    }
    let mut steps: Vec<usize> = (0..=highest).rev().step_by(stride).collect();
    steps.reverse();
    Ok(steps)
}

/// The levels of a spacing, seen as a short schedule of its own (guided diffusion's "respacing").
#[derive(Debug, Clone, PartialEq)]
pub struct Respaced {
    /// The training steps `t_i`, rising: what the network is given.
    pub timesteps: Vec<usize>,
    /// `abar_{t_i}`.
    pub abar: Vec<f64>,
    /// `abar_{t_{i-1}}`; 1 before the first.
    pub abar_prev: Vec<f64>,
    /// `abar_{t_{i+1}}`; 0 after the last.
    pub abar_next: Vec<f64>,
    /// `beta'_i = 1 - abar_{t_i} / abar_{t_{i-1}}`.
    pub betas: Vec<f64>,
}

impl Respaced {
    /// Takes the levels of `spacing` from `schedule`.
    ///
    /// # Errors
    /// When the spacing does not exist for that schedule.
    pub fn new(schedule: &Schedule, spacing: &SpacingConfig) -> Result<Self, Error> {
        let timesteps = spacing.timesteps(schedule.steps())?;
        let abar: Vec<f64> = timesteps
            .iter()
            .map(|t| schedule.alphas_cumprod()[*t])
            .collect();
        let abar_prev: Vec<f64> = std::iter::once(1.0)
            .chain(abar.iter().copied())
            .take(abar.len())
            .collect();
        let abar_next = abar.iter().copied().skip(1).chain([0.0]).collect();
        let betas = abar
            .iter()
            .zip(&abar_prev)
            .map(|(now, prev)| 1.0 - now / prev)
            .collect();
        Ok(Self {
            timesteps,
            abar,
            abar_prev,
            abar_next,
            betas,
        })
    }
}
