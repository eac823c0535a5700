//! Reads oracle files: inputs and outputs of the reference, with their tolerances.
#![allow(dead_code)]

pub mod networks;

use std::{collections::HashMap, path::Path};

use burn::tensor::{Device, Int, Tensor, TensorData};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use safetensors::{Dtype, SafeTensors};

pub struct Oracle {
    bytes: Vec<u8>,
    pub config: serde_json::Value,
    pub rtol: f64,
    pub atol: f64,
}

impl Oracle {
    /// `name`: `kind/case`, below `oracles`.
    pub fn open(name: &str) -> Self {
        let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../oracles");
        let folder = std::env::var_os("DIFFGUARD_ORACLES").map_or(kept, Into::into);
        let path = folder.join(name).with_extension("safetensors");
        let bytes = std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let (_, header) = SafeTensors::read_metadata(&bytes).unwrap();
        let meta: HashMap<String, String> = header.metadata().clone().unwrap();
        Self {
            config: serde_json::from_str(&meta["config"]).unwrap(),
            rtol: meta["rtol"].parse().unwrap(),
            atol: meta["atol"].parse().unwrap(),
            bytes,
        }
    }

    pub fn shape(&self, name: &str) -> Vec<usize> {
        let file = SafeTensors::deserialize(&self.bytes).unwrap();
        file.tensor(name)
            .unwrap_or_else(|e| panic!("{name}: {e}"))
            .shape()
            .to_vec()
    }

    /// Values of any type, row-major.
    pub fn values(&self, name: &str) -> Vec<f64> {
        let file = SafeTensors::deserialize(&self.bytes).unwrap();
        let view = file.tensor(name).unwrap_or_else(|e| panic!("{name}: {e}"));
        let data = view.data();
        match view.dtype() {
            Dtype::F32 => data
                .chunks(4)
                .map(|b| f32::from_le_bytes(b.try_into().unwrap()) as f64)
                .collect(),
            Dtype::F64 => data
                .chunks(8)
                .map(|b| f64::from_le_bytes(b.try_into().unwrap()))
                .collect(),
            Dtype::I64 => data
                .chunks(8)
                .map(|b| i64::from_le_bytes(b.try_into().unwrap()) as f64)
                .collect(),
            Dtype::U8 => data.iter().map(|b| *b as f64).collect(),
            other => panic!("{name}: {other:?}"),
        }
    }

    pub fn ints(&self, name: &str) -> Vec<i64> {
        self.values(name).into_iter().map(|v| v as i64).collect()
    }

    pub fn tensor<const D: usize>(&self, name: &str) -> Tensor<D> {
        let values: Vec<f32> = self.values(name).into_iter().map(|v| v as f32).collect();
        Tensor::from_data(TensorData::new(values, self.shape(name)), &Device::flex())
    }

    pub fn int_tensor<const D: usize>(&self, name: &str) -> Tensor<D, Int> {
        Tensor::from_data(
            TensorData::new(self.ints(name), self.shape(name)),
            &Device::flex(),
        )
    }

    /// Compares with a stored output under the file's tolerance.
    pub fn check(&self, name: &str, got: &[f64]) {
        self.check_within(name, got, self.rtol, self.atol);
    }

    pub fn check_within(&self, name: &str, got: &[f64], rtol: f64, atol: f64) {
        close(name, got, &self.values(name), rtol, atol);
    }
}

/// |a - b| <= atol + rtol * |b| for every element.
pub fn close(name: &str, got: &[f64], want: &[f64], rtol: f64, atol: f64) {
    assert_eq!(got.len(), want.len(), "{name}: number of values");
    for (i, (a, b)) in got.iter().zip(want).enumerate() {
        assert!(
            (a - b).abs() <= atol + rtol * b.abs(),
            "{name}[{i}]: got {a}, want {b} (difference {:e})",
            a - b
        );
    }
}

pub fn host<const D: usize>(tensor: &Tensor<D>) -> Vec<f64> {
    tensor.to_data().iter::<f64>().collect()
}

/// Uniform values in [-1, 1), by seed alone: tests run side by side and share a device's random stream.
pub fn uniform<const D: usize>(shape: [usize; D], seed: u64) -> Tensor<D> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let values: Vec<f32> = (0..shape.iter().product())
        .map(|_| rng.random_range(-1.0..1.0))
        .collect();
    Tensor::from_data(TensorData::new(values, shape), &Device::flex())
}
