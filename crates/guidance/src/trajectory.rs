//! The moves between noise levels: for each index the network's step and the `abar` from which and to which a
//! DDIM step goes. The families of models differ in nothing else.

use crate::{
    Error,
    schedule::Schedule,
    solver::Solver,
    spacing::{Respaced, SpacingConfig},
};

/// One DDIM move.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Move {
    /// The training step that the network is given (-1 occurs in DiffNB's inversion).
    pub t: f64,
    /// `abar` of the level where the move starts, in (0, 1].
    pub from: f64,
    /// `abar` of the level where it ends, in [0, 1].
    pub to: f64,
}

/// The moves of a spacing, upward (inversion) and downward (synthesis), both of length `S` and both indexed from
/// the image's end: an inversion runs through the indices 0, 1, 2, …, a synthesis from some index down to 0.
#[derive(Debug, Clone, PartialEq)]
pub struct Trajectory {
    inversion: Vec<Move>,
    synthesis: Vec<Move>,
    /// The training step of the level where each move up starts.
    levels: Vec<f64>,
    /// A move up ends at the level of its own index (1) or of the one above (2).
    mirror_lead: usize,
}

impl Trajectory {
    /// The trajectory of a spacing; its kind decides the family's conventions:
    ///
    /// - `ddimS` and section counts (pixel models, guided diffusion): upward from `abar_{t_i}` to `abar_{t_{i+1}}`
    ///   (0 after the last), downward from `abar_{t_i}` to `abar_{t_{i-1}}` (1 after the first);
    /// - `uniformS` (latent diffusion): upward from `abar_{t_{i-1}}` to `abar_{t_i}` and downward the other way, both
    ///   with `abar_0` of the full schedule below the first;
    /// - `diffnbS`: as the pixel models, but step `t` goes with `abar_{t+1}` and the lowest level is `abar_0`; the
    ///   inversion begins with the network at `t = -1`.
    ///
    /// # Errors
    /// When the spacing does not exist for that schedule.
    pub fn new(schedule: &Schedule, spacing: &SpacingConfig) -> Result<Self, Error> {
        let levels = Respaced::new(schedule, spacing)?;
        let lowest = schedule.alphas_cumprod()[0];
        let trajectory = match spacing {
            SpacingConfig::Ddim(_) | SpacingConfig::Sections(_) => Self {
                inversion: moves(&levels.timesteps, &levels.abar, &levels.abar_next),
                synthesis: moves(&levels.timesteps, &levels.abar, &levels.abar_prev),
                levels: levels.timesteps.iter().map(|t| *t as f64).collect(),
                mirror_lead: 2,
            },
            SpacingConfig::Uniform(_) => {
                let mut below = levels.abar_prev;
                below[0] = lowest;
                Self {
                    inversion: moves(&levels.timesteps, &below, &levels.abar),
                    synthesis: moves(&levels.timesteps, &levels.abar, &below),
                    levels: std::iter::once(0)
                        .chain(levels.timesteps.iter().copied())
                        .take(levels.timesteps.len())
                        .map(|t| t as f64)
                        .collect(),
                    mirror_lead: 1,
                }
            }
            SpacingConfig::DiffNb { steps, .. } => {
                diffnb(schedule, &levels.timesteps, schedule.steps() / steps)
            }
        };
        Ok(trajectory)
    }

    /// Number of moves in either direction.
    pub fn len(&self) -> usize {
        self.synthesis.len()
    }

    /// Whether there are no moves (never, for a trajectory of a spacing).
    pub fn is_empty(&self) -> bool {
        self.synthesis.is_empty()
    }

    /// The moves upward, from the image to noise.
    pub fn inversion(&self) -> &[Move] {
        &self.inversion
    }

    /// The moves upward as a solver makes them. A solver of second order needs the network's answer AT the level where
    /// a move starts; latent diffusion's inversion asks for the step where it ends, which DDIM keeps to and
    /// DPM-Solver++ does not.
    pub fn inversion_of(&self, solver: Solver) -> Vec<Move> {
        match solver {
            Solver::Ddim => self.inversion.clone(),
            Solver::DpmSolverPlusPlus2M => self
                .inversion
                .iter()
                .zip(&self.levels)
                .map(|(step, t)| Move { t: *t, ..*step })
                .collect(),
        }
    }

    /// The moves downward, from noise to the image, by the same indices: the last one to be made is index 0.
    pub fn synthesis(&self) -> &[Move] {
        &self.synthesis
    }

    /// The index at which a synthesis starts when the inversion stopped after the move at index `stop`:
    /// `min(S - 1, stop + lead - 1)`. The authors' `lead` is 3 ("typically we use more denoising than inversion
    /// steps", P sec. 3.3); `None` stands for the lead that starts at the very level where the inversion ended.
    pub fn start_after(&self, stop: usize, lead: Option<usize>) -> usize {
        let lead = lead.unwrap_or(self.mirror_lead);
        (stop + lead)
            .saturating_sub(1)
            .min(self.len().saturating_sub(1))
    }
}

fn moves(t: &[usize], from: &[f64], to: &[f64]) -> Vec<Move> {
    t.iter()
        .zip(from)
        .zip(to)
        .map(|((t, from), to)| Move {
            t: *t as f64,
            from: *from,
            to: *to,
        })
        .collect()
}

/// DiffNB: step `t` goes with `abar_{t+1}`; -1 is the step below the lowest.
fn diffnb(schedule: &Schedule, descent: &[usize], stride: usize) -> Trajectory {
    let level = |t: f64| schedule.alphas_cumprod()[(t + 1.0) as usize];
    let moves = |bounds: Vec<(f64, f64)>| {
        bounds
            .into_iter()
            .map(|(t, next)| Move {
                t,
                from: level(t),
                to: level(next),
            })
            .collect()
    };
    let descent: Vec<f64> = descent.iter().map(|t| *t as f64).collect();
    let highest = descent[descent.len() - 1];
    // The ascent is counted from -1, the descent from the highest step: they differ where that is not aligned.
    let ascent: Vec<f64> = (0..descent.len())
        .map(|i| (i * stride) as f64 - 1.0)
        .collect();
    let above = ascent.iter().copied().skip(1).chain([highest]);
    let below = std::iter::once(-1.0).chain(descent.iter().copied());
    Trajectory {
        inversion: moves(ascent.iter().copied().zip(above).collect()),
        synthesis: moves(descent.iter().copied().zip(below).collect()),
        levels: ascent,
        mirror_lead: 1,
    }
}
