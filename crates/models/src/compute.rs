//! What a diffusion network's convolutions compute on.

use std::str::FromStr;

use burn::tensor::{Int, Tensor};
use diffguard_kernels::with_bf16;
use serde::{Deserialize, Serialize};

use crate::{Error, NoisePredictor};

/// The numbers that a diffusion network's convolutions multiply; sums are f32 always.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Compute {
    /// Single precision.
    #[default]
    F32,
    /// bfloat16 (8 bits of mantissa) in the 3x3 and 1x1 convolutions with 32 channels or more on either side, on the CPU:
    /// for processors with matrix tiles (Intel's AMX). Elsewhere the same values, and no gain.
    Bf16,
}

impl Compute {
    /// `network`, computing so.
    pub fn of(self, network: Box<dyn NoisePredictor>) -> Box<dyn NoisePredictor> {
        match self {
            Self::F32 => network,
            Self::Bf16 => Box::new(InBf16(network)),
        }
    }

    /// All there are.
    pub const ALL: [Self; 2] = [Self::F32, Self::Bf16];

    /// As experiments write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::Bf16 => "bf16",
        }
    }
}

impl FromStr for Compute {
    type Err = String;

    /// What experiments write so; the error names all there are.
    fn from_str(name: &str) -> Result<Self, String> {
        let known = Self::ALL.into_iter().find(|known| known.name() == name);
        known.ok_or_else(|| format!("there are: {}", Self::ALL.map(Self::name).join(", ")))
    }
}

/// A network whose convolutions compute on bfloat16.
struct InBf16(Box<dyn NoisePredictor>);

impl NoisePredictor for InBf16 {
    fn eps(&self, x_t: Tensor<4>, t: Tensor<1>, label: Option<Tensor<1, Int>>) -> Tensor<4> {
        with_bf16(|| self.0.eps(x_t, t, label))
    }

    fn num_classes(&self) -> usize {
        self.0.num_classes()
    }

    fn null_label(&self) -> Option<usize> {
        self.0.null_label()
    }

    fn check_input(&self, shape: [usize; 3]) -> Result<(), Error> {
        self.0.check_input(shape)
    }

    fn check_unlabelled(&self) -> Result<(), Error> {
        self.0.check_unlabelled()
    }
}
