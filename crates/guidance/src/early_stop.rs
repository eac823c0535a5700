//! Adaptive early stop (P tech 2): an inversion goes no further than the image still resembles its input.

use std::{collections::BTreeMap, fmt, str::FromStr};

use burn::tensor::Tensor;
use diffguard_models::FirstStage;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{
    Cost, Error, Rows, latent,
    similarity::{SimilarityName, View},
};

/// Peak-to-peak range of images in [-1, 1].
const PEAK: f64 = 2.0;

/// When a sample stops: at the first step where ANY of the metrics falls below its threshold.
///
/// `{ psnr = 6.39, dists = 0.38 }`: thresholds by [`StopMetric`]. The paper's are 0.37, 0.38 and 0.39 on `dists`; the
/// authors' code has 48.5 on a PSNR with a peak of 255, which is 6.39 dB with the peak of 2 that images in [-1, 1] have.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EarlyStopConfig(BTreeMap<StopMetric, f64>);

impl EarlyStopConfig {
    /// Stops where any of these metrics falls below its threshold.
    pub fn new(thresholds: impl IntoIterator<Item = (StopMetric, f64)>) -> Self {
        Self(thresholds.into_iter().collect())
    }

    /// Stops by the peak signal-to-noise ratio alone, in dB.
    pub fn psnr(threshold: f64) -> Self {
        Self::new([(StopMetric::Psnr, threshold)])
    }

    /// The thresholds, by metric.
    pub fn thresholds(&self) -> impl Iterator<Item = (StopMetric, f64)> {
        self.0
            .iter()
            .map(|(metric, threshold)| (*metric, *threshold))
    }

    /// Whether one of the metrics looks through the classifier under protection.
    pub fn needs_classifier(&self) -> bool {
        self.0.keys().any(|metric| match metric {
            StopMetric::Psnr => false,
            StopMetric::Similarity(name) => name.similarity().needs_classifier,
        })
    }

    /// # Errors
    /// When there is no metric, or a threshold is not a finite number.
    pub fn check(&self) -> Result<(), Error> {
        let fault = |value: String, reason: &str| {
            Err(Error::Setting {
                setting: "early_stop",
                value,
                reason: reason.into(),
            })
        };
        if self.0.is_empty() {
            return fault(
                "{}".into(),
                "it names no metric; write for example { psnr = 6.39 }, or leave it out",
            );
        }
        match self.0.iter().find(|(_, threshold)| !threshold.is_finite()) {
            Some((metric, threshold)) => fault(
                format!("{{ {metric} = {threshold} }}"),
                "a threshold has to be a finite number",
            ),
            None => Ok(()),
        }
    }
}

/// What tells how much of the input is left: higher is more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum StopMetric {
    /// `psnr`: peak signal-to-noise ratio in dB with the peak of 2 that images in [-1, 1] have; nothing is clamped.
    Psnr,
    /// Any [`SimilarityName`]. The distances DISTS and LPIPS enter as `1 - d`.
    Similarity(SimilarityName),
}

impl StopMetric {
    /// What is added to a similarity's score: LPIPS is scored as `-d`, DISTS as `1 - d`.
    fn offset(name: SimilarityName) -> f64 {
        match name.as_str() {
            "lpips" | "lpips-own" => 1.0,
            _ => 0.0,
        }
    }
}

impl FromStr for StopMetric {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        match text {
            "psnr" => Ok(Self::Psnr),
            _ => text.parse().map(Self::Similarity),
        }
    }
}

impl fmt::Display for StopMetric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Psnr => f.write_str("psnr"),
            Self::Similarity(name) => name.fmt(f),
        }
    }
}

impl Serialize for StopMetric {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for StopMetric {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

/// How an early stop looks at what is inverted.
pub struct Look<'l, 'v> {
    view: Box<dyn Fn(Tensor<4>) -> View<'v> + 'l>,
    latent: Option<(&'l dyn FirstStage, Tensor<4>)>,
}

impl<'l, 'v> Look<'l, 'v> {
    /// `view` makes a [`View`] of images `[row, channel, height, width]` for the similarities, with the networks that they
    /// look through.
    pub fn new(view: impl Fn(Tensor<4>) -> View<'v> + 'l) -> Self {
        Self {
            view: Box::new(view),
            latent: None,
        }
    }

    /// The same where latents are inverted: they are decoded by `first_stage`, and compared with the images `input`
    /// `[batch, channel, height, width]` in [-1, 1] that they were encoded from.
    #[must_use]
    pub fn decoding(self, first_stage: &'l dyn FirstStage, input: Tensor<4>) -> Self {
        Self {
            latent: Some((first_stage, input)),
            ..self
        }
    }

    /// What the rows of a batch, which began as `whole`, are compared with.
    fn input(&self, whole: &Tensor<4>, rows: &Rows) -> Tensor<4> {
        match &self.latent {
            Some((_, input)) => rows.select(input),
            None => rows.select(whole),
        }
    }

    /// `x` as an image, and what that costs.
    fn image(&self, x: &Tensor<4>) -> (Tensor<4>, Cost) {
        match &self.latent {
            Some((first_stage, _)) => latent::decode(*first_stage, x.clone()),
            None => (x.clone(), Cost::default()),
        }
    }
}

/// Watches an inversion for samples that are to stop.
pub(crate) struct Watch<'c, 'v> {
    config: &'c EarlyStopConfig,
    look: &'c Look<'c, 'v>,
    /// The input of the rows at these positions.
    reference: Option<(Vec<usize>, View<'v>)>,
    cost: Cost,
}

impl<'c, 'v> Watch<'c, 'v> {
    pub(crate) fn new(config: &'c EarlyStopConfig, look: &'c Look<'c, 'v>) -> Result<Self, Error> {
        config.check()?;
        Ok(Self {
            config,
            look,
            reference: None,
            cost: Cost::default(),
        })
    }

    /// For each row, whether it stops: `image` is the whole batch as it began, `x` what has become of `rows`.
    pub(crate) fn stops(
        &mut self,
        image: &Tensor<4>,
        rows: &Rows,
        x: &Tensor<4>,
    ) -> Result<Vec<bool>, Error> {
        let mut stops = vec![false; rows.len()];
        let mut seen = None;
        let (now, decoded) = self.look.image(x);
        self.cost += decoded;
        for (metric, threshold) in self.config.thresholds() {
            let (values, offset) = match metric {
                StopMetric::Psnr => (psnr(self.look.input(image, rows), now.clone()), 0.0),
                StopMetric::Similarity(name) => {
                    let seen = seen.get_or_insert_with(|| (self.look.view)(now.clone()));
                    let input = |positions: &[usize]| {
                        let [batch, ..] = image.dims();
                        let rows = Rows::new(positions.to_vec(), batch, &image.device());
                        (self.look.view)(self.look.input(image, &rows))
                    };
                    let reference = reference(&mut self.reference, &mut self.cost, rows, input)?;
                    let score = name.similarity().score(reference, seen)?;
                    (score, StopMetric::offset(name))
                }
            };
            for (stop, value) in stops.iter_mut().zip(values.into_data().iter::<f64>()) {
                // An image that has become no number resembles nothing.
                let alike = value + offset >= threshold;
                *stop |= !alike;
            }
        }
        if let Some(seen) = seen {
            self.cost += seen.cost();
        }
        Ok(stops)
    }

    /// Rows that went through a network for the comparisons.
    pub(crate) fn cost(&self) -> Cost {
        self.reference
            .as_ref()
            .map_or(self.cost, |(_, view)| self.cost + view.cost())
    }
}

/// The input of `rows`, of which `make` makes a view of those at some positions: what is known of one is not asked again.
fn reference<'s, 'a>(
    kept: &'s mut Option<(Vec<usize>, View<'a>)>,
    cost: &mut Cost,
    rows: &Rows,
    make: impl Fn(&[usize]) -> View<'a>,
) -> Result<&'s View<'a>, Error> {
    let now = rows.positions();
    let view = match kept.take() {
        None => make(now),
        Some((positions, view)) if positions == now => view,
        Some((positions, view)) => {
            *cost += view.cost();
            let place = |position: &usize| positions.iter().position(|known| known == position);
            // Those who have joined are behind the others.
            let stay = now.iter().map_while(place).collect::<Vec<_>>();
            let fresh = &now[stay.len()..];
            match (stay.is_empty(), fresh.is_empty()) {
                (true, _) => make(fresh),
                (false, true) => view.select(&stay),
                (false, false) => view.select(&stay).joined(&make(fresh), "early_stop")?,
            }
        }
    };
    Ok(&kept.insert((now.to_vec(), view)).1)
}

/// Peak signal-to-noise ratio `[batch]` in dB of images in [-1, 1], `20 log10(2 / rms)`; nothing is clamped.
pub fn psnr(input: Tensor<4>, x: Tensor<4>) -> Tensor<1> {
    let mean_square = (input - x)
        .square()
        .flatten::<2>(1, 3)
        .mean_dim(1)
        .squeeze_dim::<1>(1);
    mean_square.log() * (-10.0 / std::f64::consts::LN_10) + 20.0 * PEAK.log10()
}
