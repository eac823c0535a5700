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

/// Images that go through a network together, or as many as there are threads: of more, what one layer writes is gone from
/// the cache when the next one reads it (at 32 pixels, 10 to 25 were up to a tenth faster than 50).
const TOGETHER: usize = 16;

/// A network whose convolutions compute on bfloat16.
struct InBf16(Box<dyn NoisePredictor>);

impl NoisePredictor for InBf16 {
    fn eps(&self, x_t: Tensor<4>, t: Tensor<1>, label: Option<Tensor<1, Int>>) -> Tensor<4> {
        let [batch, ..] = x_t.dims();
        let together = TOGETHER.max(rayon::current_num_threads());
        if batch <= together {
            return with_bf16(|| self.0.eps(x_t, t, label));
        }
        let parts = (0..batch).step_by(together).map(|first| {
            let count = together.min(batch - first);
            let label = label.clone().map(|label| label.narrow(0, first, count));
            let (x_t, t) = (x_t.clone(), t.clone());
            with_bf16(|| {
                let (x_t, t) = (x_t.narrow(0, first, count), t.narrow(0, first, count));
                self.0.eps(x_t, t, label)
            })
        });
        Tensor::cat(parts.collect(), 0)
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

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;

    /// Tells apart the images of a batch, and how many there are.
    struct Numbered;

    impl NoisePredictor for Numbered {
        fn eps(&self, x_t: Tensor<4>, t: Tensor<1>, label: Option<Tensor<1, Int>>) -> Tensor<4> {
            let [batch, ..] = x_t.dims();
            let label = label.expect("asked under labels alone").float();
            let of_image = (t * 100.0 + label).reshape([batch, 1, 1, 1]);
            x_t * 0.0 + of_image + batch as f64 * 1000.0
        }

        fn num_classes(&self) -> usize {
            10
        }

        fn null_label(&self) -> Option<usize> {
            None
        }
    }

    #[test]
    fn a_large_batch_goes_through_in_parts() {
        let device = Device::flex();
        let together = TOGETHER.max(rayon::current_num_threads());
        for batch in [together, together + 3] {
            let of =
                |scale: i64| -> Tensor<1, Int> { Tensor::arange(0..batch as i64, &device) * scale };
            let network = Compute::Bf16.of(Box::new(Numbered));
            let x = Tensor::zeros([batch, 1, 1, 1], &device);
            let eps = network.eps(x, of(1).float(), Some(of(3)));
            let values: Vec<f32> = eps.into_data().iter::<f32>().collect();
            let wanted = (0..batch).map(|i| {
                let part = if i < together { together } else { 3 };
                (1000 * part + 103 * i) as f32
            });
            assert_eq!(values, wanted.collect::<Vec<f32>>());
        }
    }
}
