//! Latent experiments, records of checkpoints, and `--synthetic`, as users meet them.

mod clone;

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::Output;

use clone::{Clone, assert_fails, stderr};
use diffguard_runner::outputs::Run;

/// A latent diffusion model for images of 28 pixels and eight classes, in no smaller size than `--synthetic` would make it.
const RECORD: &str = r#"
checkpoint = "tiny-ldm"

[schedule]
kind = "scaled-linear"

[network]
family = "latent-diffusion"

[network.unet]
image_size = 7
in_channels = 3
out_channels = 3
model_channels = 32
attention_resolutions = [1]
num_res_blocks = 1
channel_mult = [1]
num_heads = 1
transformer_depth = 1
context_dim = 16
n_classes = 9

[network.first_stage]
embed_dim = 3
n_embed = 16

[network.first_stage.ddconfig]
z_channels = 3
resolution = 28
in_channels = 1
out_ch = 1
ch = 32
ch_mult = [1, 1, 1]
num_res_blocks = 1
"#;

const CHECKPOINT: &str = r#"
[[checkpoint]]
name = "tiny-ldm"
what = "a small latent diffusion model"
licence = "none"
bytes = "unknown"
by_hand = "checkpoints/tiny-ldm.safetensors"
unverified = true
"#;

const EXPERIMENT: &str = r#"
title = "A small latent one"
benchmark = "quick"
classifiers = ["quick/quick-classifier-0.toml"]
diffusion = "tiny/ldm.toml"
limit = 3
validation_limit = 3
batch = 3
bootstrap = 20

[inversion.whole]
spacing = "uniform4"

[inversion.stop]
spacing = "uniform4"
early_stop = { psnr = 7.0, ssim = 0.2 }

[[guard]]
name = "free"
inversion = "whole"
guidance = { kind = "classifier-free", scale = 2.0 }
reference = ["input", "reconstruction"]
similarity = ["l2", "ssim", "logits-l1"]

[[guard]]
name = "dsg"
inversion = "whole"
guidance = { kind = "classifier-free", scale = 2.0, dsg_cut = 0.2 }
similarity = ["l2"]

[[guard]]
name = "stop"
inversion = "stop"
guidance = { kind = "classifier-free", scale = 2.0 }
similarity = ["l2"]

[[denoise]]
name = "pairs"
noise = { from = 100, to = 600, rounds = 3, others = 1 }

[headline]

[[detector]]
name = "ebo"

[[combine]]
name = "diffguard+ebo"
of = ["ebo", "diffguard"]
rule = "cascade"
"#;

/// A repository of its own with the tiny model's record, and data folders of its own.
struct Latent(Clone);

impl Latent {
    fn new(experiment: &str) -> Self {
        let clone = Clone::new(experiment);
        let manifest = fs::read_to_string(clone.path("datasets.toml")).unwrap();
        fs::write(clone.path("datasets.toml"), manifest + CHECKPOINT).unwrap();
        for folder in ["assets/tiny", "data/checkpoints", "cache"] {
            fs::create_dir_all(clone.path(folder)).unwrap();
        }
        fs::write(clone.path("assets/tiny/ldm.toml"), RECORD).unwrap();
        Self(clone)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path(name)
    }

    fn bench(&self, arguments: &[&str]) -> Output {
        self.0
            .command(&["bench", "small", "--no-progress"])
            .args(arguments)
            .env("DIFFGUARD_DATA", self.path("data"))
            .env("DIFFGUARD_CACHE", self.path("cache"))
            .output()
            .unwrap()
    }

    fn json(&self, out: &str) -> serde_json::Value {
        let text = fs::read_to_string(self.path(out).join("run.json")).unwrap();
        serde_json::from_str(&text).unwrap()
    }

    /// Puts the weights that a synthetic run wrote where the checkpoint is looked for.
    fn install(&self) {
        let output = self.bench(&["--synthetic"]);
        assert!(output.status.success(), "{}", stderr(&output));
        let written = self.path("runs/small-synthetic/weights/tiny-ldm.safetensors");
        let place = self.path("data/checkpoints/tiny-ldm.safetensors");
        fs::copy(written, place).unwrap();
    }
}

/// Every score by column and sample.
fn scores(clone: &Latent, out: &str) -> BTreeMap<String, Vec<f64>> {
    let scores = Run::read(&clone.path(out)).unwrap().scores;
    let columns = scores.methods().map(str::to_owned).collect::<Vec<_>>();
    columns
        .into_iter()
        .map(|name| (name.clone(), scores.column(&name).unwrap().to_vec()))
        .collect()
}

#[test]
fn a_latent_experiment_from_end_to_end() {
    let clone = Latent::new(EXPERIMENT);
    assert_fails(
        &clone.bench(&["--out", "none"]),
        &[
            "nothing has been fetched or computed",
            "tiny-ldm: a small latent diffusion model; about",
            "as checkpoints/tiny-ldm.safetensors",
            "--synthetic",
        ],
    );
    assert!(!clone.path("none/store").exists());
    clone.install();

    let output = clone.bench(&["--out", "one"]);
    assert!(output.status.success(), "{}", stderr(&output));
    let one = scores(&clone, "one");
    assert!(one.contains_key("diffguard-free/l2@recon") && one.contains_key("diffguard-stop/l2"));
    assert!(one.values().flatten().all(|score| score.is_finite()));
    assert!(one["diffguard-free/l2"] != one["diffguard-dsg/l2"]);

    // Six sets of three; two inversions and two syntheses share an encoding, three guards and a reconstruction decode.
    let run = clone.json("one");
    let images = run["stages"]["encode"]["computed"].as_u64().unwrap();
    assert_eq!(run["stages"]["encode"]["cost"]["encoder_rows"], images);
    assert_eq!(run["stages"]["invert"]["computed"], 2 * images);
    assert_eq!(
        run["stages"]["synthesise"]["cost"]["decoder_rows"],
        4 * images
    );
    assert!(
        run["stages"]["invert"]["cost"]["decoder_rows"]
            .as_u64()
            .unwrap()
            > 0
    );
    let cost = &run["costs"]["free"];
    assert_eq!(cost["unet_evaluations"], 4.0 + 2.0 * 4.0);
    assert_eq!(
        (&cost["encodings"], &cost["decodings"]),
        (&1.0.into(), &1.0.into())
    );
    assert!(run["costs"]["stop"]["decodings"].as_f64().unwrap() > 1.0);
    let denoising = &run["costs"]["denoising-pairs"];
    assert_eq!(denoising["unet_evaluations"], 6.0);
    assert_eq!(
        (&denoising["encodings"], denoising.get("decodings")),
        (&1.0.into(), None)
    );
    let table = fs::read_to_string(clone.path("one/table.md")).unwrap();
    assert!(table.contains("decoder") && !table.contains("SYNTHETIC"));

    // What is stored is not computed again.
    let output = clone.bench(&["--out", "one"]);
    assert!(output.status.success(), "{}", stderr(&output));
    for (stage, record) in clone.json("one")["stages"].as_object().unwrap() {
        assert_eq!(record["computed"], 0, "{stage}");
    }
    assert_eq!(scores(&clone, "one"), one);

    // Denoising alone: the plan counts its encodings.
    let (head, _) = EXPERIMENT.split_once("[inversion.whole]").unwrap();
    let denoising = "[[denoise]]\nname = \"all\"\nnoise = { from = 100, to = 600, rounds = 1 }\n";
    let alone = format!("{head}{denoising}");
    fs::write(clone.path("experiments/small.toml"), alone).unwrap();
    let output = clone.bench(&["--out", "denoised"]);
    assert!(output.status.success(), "{}", stderr(&output));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        text.contains(&format!("to compute: {} images", 3 * images)),
        "{text}"
    );
    let classes = 8;
    let rows = &clone.json("denoised")["stages"]["denoise"]["cost"]["unet_rows"];
    assert_eq!(*rows, classes * images);
    fs::write(clone.path("experiments/small.toml"), EXPERIMENT).unwrap();

    // A sample's result does not depend on its batch.
    let output = clone.bench(&["--out", "alone", "--batch", "1"]);
    assert!(output.status.success(), "{}", stderr(&output));
    for (name, alone) in scores(&clone, "alone") {
        for (a, b) in alone.iter().zip(&one[&name]) {
            assert!((a - b).abs() <= 1e-5 * (1.0 + b.abs()), "{name}: {a} {b}");
        }
    }
}

#[test]
fn what_means_nothing_for_latents_is_refused() {
    let clone = Latent::new(EXPERIMENT);
    clone.install();
    let refused = |change: [&str; 2], says: &[&str]| {
        assert!(EXPERIMENT.contains(change[0]));
        let experiment = EXPERIMENT.replacen(change[0], change[1], 1);
        fs::write(clone.path("experiments/small.toml"), experiment).unwrap();
        assert_fails(&clone.bench(&["--out", "refused"]), says);
    };
    let free = r#"{ kind = "classifier-free", scale = 2.0 }"#;
    refused(
        [free, r#"{ kind = "classifier" }"#],
        &["guard `free`", "cannot see latents"],
    );
    let clip = "spacing = \"uniform4\"\nclip_denoised = true\n";
    refused(
        ["spacing = \"uniform4\"\n", clip],
        &["guard `free`", "clip_denoised"],
    );
    refused(
        [
            r#"diffusion = "tiny/ldm.toml""#,
            "diffusion = \"tiny/ldm.toml\"\ndiffusion_of = { hole = \"tiny/ldm.toml\" }",
        ],
        &["no [inversion.hole]"],
    );
    // A model of another size.
    let larger = RECORD.replace("resolution = 28", "resolution = 32");
    fs::write(clone.path("assets/tiny/ldm.toml"), larger).unwrap();
    fs::write(clone.path("experiments/small.toml"), EXPERIMENT).unwrap();
    assert_fails(
        &clone.bench(&["--out", "refused"]),
        &[
            "tiny/ldm.toml",
            "`encoder.conv_in`",
            "[1, 32, 32]",
            "[1, 28, 28]",
        ],
    );
}

#[test]
fn a_synthetic_run_is_stamped_everywhere() {
    let clone = Latent::new(EXPERIMENT);
    clone.install();
    let out = clone.path("runs/small-synthetic");
    for (file, stamp) in [
        ("table.md", "# SYNTHETIC: A small latent one"),
        ("table.md", "its numbers say nothing"),
        ("table.tex", r"\caption{SYNTHETIC: "),
        ("metrics.csv", "SYNTHETIC small,"),
        ("cascade-sensitivity.csv", "SYNTHETIC: diffguard+ebo,"),
        ("cascade-sensitivity.md", "SYNTHETIC: diffguard+ebo"),
        ("roc.svg", "SYNTHETIC small: ROC"),
        ("auroc.svg", "SYNTHETIC small"),
        ("histogram-ebo.svg", "SYNTHETIC small"),
        ("cascade-sensitivity-diffguard+ebo.svg", "SYNTHETIC: "),
    ] {
        let text = fs::read_to_string(out.join(file)).unwrap();
        assert!(text.contains(stamp), "`{stamp}` is not in {file}");
    }
    let run = clone.json("runs/small-synthetic");
    assert!(run["synthetic"].as_array().unwrap().len() > 3);
    assert_eq!(
        run["configuration"]["title"],
        "SYNTHETIC: A small latent one"
    );
    assert_eq!(run["diffusion"]["record"], "SYNTHETIC tiny/ldm.toml");
    assert!(out.join("pictures.png").is_file());
    assert!(!clone.path("results").exists());
}

#[test]
fn training_images_are_mixed_in() {
    let experiment = r#"
title = "Mixing"
benchmark = "quick"
classifiers = ["quick/quick-classifier-0.toml"]
diffusion = "quick/quick-unet.toml"
limit = 2
validation_limit = 2
batch = 2
bootstrap = 20

[inversion.short]
spacing = "ddim4"
fraction = 0.5

[[guard]]
name = "mix"
inversion = "short"
guidance = { kind = "classifier", scale = 3.0, crops = 2, mix = 0.3 }
similarity = ["l2"]

[[guard]]
name = "plain"
inversion = "short"
guidance = { kind = "classifier", scale = 3.0, crops = 2 }
similarity = ["l2"]
"#;
    let clone = Latent::new(experiment);
    let run = |out: &str| {
        let store = clone.path("store");
        let output = clone.bench(&["--out", out, "--store", store.to_str().unwrap()]);
        assert!(output.status.success(), "{}", stderr(&output));
        (scores(&clone, out), clone.json(out))
    };
    let (first, record) = run("first");
    assert!(first.values().flatten().all(|score| score.is_finite()));
    assert_ne!(first["diffguard-mix/l2"], first["diffguard-plain/l2"]);
    assert!(record["stages"]["synthesise"]["computed"].as_u64().unwrap() > 0);
    let (again, record) = run("again");
    assert_eq!(again, first);
    assert_eq!(record["stages"]["synthesise"]["computed"], 0);
}
