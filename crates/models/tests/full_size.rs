//! The published networks at full size: synthetic weights are written under the published names and read again, and one
//! step is run. Needs 12 GB of memory and of disk and some minutes, so it runs only when `DIFFGUARD_FULL_SIZE` is set:
//!
//! `DIFFGUARD_FULL_SIZE=1 cargo test --release --workspace --test full_size -- --nocapture`

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::process::Command;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{Device, Int, Tensor};
use diffguard_models::checkpoint::{KeyMap, Source, load};
use diffguard_models::latent_diffusion::{self, LatentDiffusionConfig};
use diffguard_models::memory;
use diffguard_models::unet_guided::{self, GuidedUnetConfig};
use diffguard_models::{FirstStage, NetworkSummary, NoisePredictor, Summary};

/// Whether the body of the test `name` is to run here. Peaks are a process's, and freed memory stays with it: each test
/// that is asked for runs in a process of its own, one at a time.
fn wanted(name: &str) -> bool {
    static ALONE: Mutex<()> = Mutex::new(());
    let asked = std::env::var_os("DIFFGUARD_FULL_SIZE");
    if asked.as_deref() == Some("here".as_ref()) {
        return true;
    }
    if asked.is_none() {
        println!("SKIPPED: {name} (set DIFFGUARD_FULL_SIZE to run it)");
        return false;
    }
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let own = std::env::current_exe().expect("a path");
    let status = Command::new(own)
        .args([name, "--exact", "--nocapture"])
        .env("DIFFGUARD_FULL_SIZE", "here")
        .status();
    assert!(status.expect("started").success(), "{name} failed");
    false
}

/// Entry `i` of a tensor of `shape`: uniform around zero with variance `1 / fan_in`; norms around one.
fn value(name: &str, shape: &[usize], i: usize) -> f32 {
    let seed = name
        .bytes()
        .fold(7u64, |h, b| h.wrapping_mul(131).wrapping_add(b.into()));
    let bits = (seed ^ i as u64)
        .wrapping_mul(0x9E37_79B9_7F4A_7C15)
        .rotate_left(29);
    let uniform =
        (bits.wrapping_mul(0xBF58_476D_1CE4_E5B9) >> 40) as f32 / (1u64 << 23) as f32 - 1.0;
    match shape {
        [_] if name.ends_with("weight") => 1.0 + 0.1 * uniform,
        [_] => 0.1 * uniform,
        _ => uniform * (3.0 / shape[1..].iter().product::<usize>() as f32).sqrt(),
    }
}

fn write(path: &Path, summary: &NetworkSummary) {
    let mut header = serde_json::Map::new();
    let mut at = 0;
    for key in &summary.keys {
        let bytes = 4 * key.shape.iter().product::<usize>();
        let entry = serde_json::json!({
            "dtype": "F32", "shape": key.shape, "data_offsets": [at, at + bytes],
        });
        header.insert(key.published.clone(), entry);
        at += bytes;
    }
    let header = serde_json::to_vec(&header).unwrap();
    let mut file = BufWriter::with_capacity(1 << 20, File::create(path).unwrap());
    file.write_all(&(header.len() as u64).to_le_bytes())
        .unwrap();
    file.write_all(&header).unwrap();
    for key in &summary.keys {
        let values = 0..key.shape.iter().product();
        let bytes: Vec<u8> = values
            .flat_map(|i| value(&key.published, &key.shape, i).to_le_bytes())
            .collect();
        file.write_all(&bytes).unwrap();
    }
    file.flush().unwrap();
}

/// Compares the first and the last number of every tensor with what was written.
struct Compare<'a> {
    words: Vec<String>,
    map: &'a KeyMap,
    seen: usize,
}

impl ModuleVisitor for Compare<'_> {
    fn enter_module(&mut self, name: &str, kind: &str) {
        if !kind.starts_with("Enum:") {
            self.words.push(name.to_owned());
        }
    }

    fn exit_module(&mut self, _: &str, kind: &str) {
        if !kind.starts_with("Enum:") {
            self.words.pop();
        }
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        assert!(param.is_initialized());
        let name = self.map.published_name(&self.words.join("."));
        let shape = param.val().dims();
        let count: usize = shape.iter().product();
        let flat: Tensor<1> = param.val().reshape([count]);
        for i in [0, count - 1] {
            let found: f32 = flat.clone().narrow(0, i, 1).into_scalar();
            assert_eq!(found, value(&name, &shape, i), "{name}[{i}]");
        }
        self.seen += count;
    }
}

/// Largest resident memory since the last call, in MB; 0 where the system does not say.
fn peak_megabytes() -> u64 {
    let peak = memory::peak_resident().unwrap_or(0) / 1_000_000;
    memory::forget_peak();
    peak
}

/// Writes the weights of a network of this summary, loads them into it and looks at them.
fn round_trip<M: Module>(name: &str, summary: &NetworkSummary, map: &KeyMap, network: M) -> M {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("weights.safetensors");
    let start = Instant::now();
    write(&file, summary);
    println!(
        "{name}: {} parameters written in {:.1?}",
        summary.parameters,
        start.elapsed()
    );
    peak_megabytes();
    let start = Instant::now();
    let network = load(network, &Source::open(&file).unwrap(), map).unwrap();
    let (elapsed, peak) = (start.elapsed(), peak_megabytes());
    let megabytes = summary.parameter_bytes() as u64 / 1_000_000;
    println!("{name}: loaded in {elapsed:.1?}, peak {peak} MB for {megabytes} MB of parameters");
    assert!(
        peak as f64 <= 1.3 * megabytes as f64,
        "a load takes at most 1.3 times the parameters"
    );
    let mut compare = Compare {
        words: Vec::new(),
        map,
        seen: 0,
    };
    network.visit(&mut compare);
    assert_eq!(compare.seen, summary.parameters);
    network
}

fn timed<T>(what: &str, run: impl FnOnce() -> T) -> T {
    peak_megabytes();
    let start = Instant::now();
    let result = run();
    println!(
        "{what}: {:.1?}, peak {} MB",
        start.elapsed(),
        peak_megabytes()
    );
    result
}

fn noise(shape: [usize; 4], device: &Device) -> Tensor<4> {
    let values: Vec<f32> = (0..shape.iter().product())
        .map(|i| value("noise", &[1, 3], i))
        .collect();
    Tensor::<1>::from_floats(values.as_slice(), device).reshape(shape)
}

fn assert_sane(image: Tensor<4>, shape: [usize; 4]) {
    assert_eq!(image.dims(), shape);
    let largest: f32 = image.abs().max().into_scalar();
    assert!(
        largest.is_finite() && largest > 0.0,
        "largest value {largest}"
    );
}

#[test]
fn guided_256() {
    if !wanted("guided_256") {
        return;
    }
    let device = Device::flex();
    let config = GuidedUnetConfig::imagenet_256_unconditional();
    let (summary, map) = (config.summary().unwrap(), unet_guided::key_map());
    println!("GDM: {:.0} GFLOP an image", summary.gflop);
    let network = round_trip("GDM", &summary, &map, config.init(&device).unwrap());
    let shape = [1, 3, 256, 256];
    let t = Tensor::from_floats([500.0], &device);
    let eps = timed("GDM, one step of one image", || {
        network.eps(noise(shape, &device), t, None)
    });
    assert_sane(eps, shape);
}

#[test]
fn latent_cin256_v2() {
    if !wanted("latent_cin256_v2") {
        return;
    }
    let device = Device::flex();
    let config = LatentDiffusionConfig::cin256_v2();
    let (summary, map) = (config.summary().unwrap(), latent_diffusion::key_map());
    println!(
        "LDM: {:.0} GFLOP a step, {:.0} with encoding and decoding",
        config.unet.summary().unwrap().gflop,
        summary.gflop
    );
    let network = round_trip("LDM", &summary, &map, config.init(&device).unwrap());
    let image = noise([1, 3, 256, 256], &device);
    let latent = timed("LDM, encoding of one image", || {
        network.first_stage.encode(image)
    });
    assert_sane(latent.clone(), [1, 3, 64, 64]);
    let label = Tensor::<1, Int>::from_ints([207], &device);
    let t = Tensor::from_floats([500.0], &device);
    let eps = timed("LDM, one step of one image", || {
        network.diffusion.eps(latent.clone(), t, Some(label))
    });
    assert_sane(eps, [1, 3, 64, 64]);
    let image = timed("LDM, decoding of one image", || {
        network.first_stage.decode(latent)
    });
    assert_sane(image, [1, 3, 256, 256]);
}
