//! A repository of its own for tests of the program.

#![allow(dead_code, reason = "each test file uses its part")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use tempfile::TempDir;

pub const EXPERIMENT: &str = r#"
title = "A small one"
benchmark = "quick"
classifiers = ["quick/quick-classifier-0.toml"]
diffusion = "quick/quick-unet.toml"
limit = 3
validation_limit = 3
batch = 2
bootstrap = 20

[inversion.short]
spacing = "ddim5"
fraction = 0.6

[[guard]]
name = "free"
inversion = "short"
guidance = { kind = "classifier-free", scale = 2.0 }
reference = ["input", "reconstruction"]
similarity = ["l1", "ssim", "features-l2"]

[[denoise]]
name = "pairs"
noise = { from = 100, to = 600, rounds = 4, others = 1 }
after = [3]
levels = 2

[headline]
tandems = [["l1", "ssim"]]
oracle = true

[[detector]]
name = "ebo"

[[detector]]
name = "knn"
parameters = { k = 5 }

[[combine]]
name = "diffguard+ebo"
of = ["ebo", "diffguard"]
rule = "cascade"

[[combine]]
name = "denoising"
of = ["denoising-pairs", "denoising-pairs/level-1", "denoising-pairs/level-2"]
rule = "logistic"
"#;

/// Two classifiers and nothing else: five images a set.
pub const TWO: &str = r#"
title = "Two classifiers"
benchmark = "quick"
classifiers = ["quick/quick-classifier-0.toml", "quick/quick-classifier-1.toml"]
limit = 5
validation_limit = 5
batch = 4
bootstrap = 20

[[detector]]
name = "msp"

[[detector]]
name = "deep_ensemble"
"#;

/// A repository of its own: the real assets, one experiment, and an output directory.
pub struct Clone {
    folder: TempDir,
}

impl Clone {
    pub fn new(experiment: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let repository = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        fs::copy(
            repository.join("datasets.toml"),
            folder.path().join("datasets.toml"),
        )
        .unwrap();
        let (assets, own) = (repository.join("assets"), folder.path().join("assets"));
        copy_folder(&assets.join("quick"), &own.join("quick"));
        for records in ["cifar10", "imagenet"] {
            copy_records(&assets.join(records), &own.join(records));
        }
        fs::create_dir(folder.path().join("experiments")).unwrap();
        fs::write(folder.path().join("experiments/small.toml"), experiment).unwrap();
        Self { folder }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
        command.args(arguments).current_dir(self.folder.path());
        command
    }

    pub fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    pub fn bench(&self, out: &str) -> Output {
        self.run(&["bench", "small", "--no-progress", "--out", out])
    }

    pub fn spawn(&self, out: &str) -> Child {
        self.command(&["bench", "small", "--no-progress", "--out", out])
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    }
}

pub fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().flatten() {
        let target = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => copy_folder(&entry.path(), &target),
            false => {
                fs::copy(entry.path(), target).unwrap();
            }
        }
    }
}

/// The records of networks without their weights.
fn copy_records(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().flatten() {
        if entry
            .path()
            .extension()
            .is_some_and(|ending| ending == "toml")
        {
            fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    }
}

pub fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[track_caller]
pub fn assert_fails(output: &Output, says: &[&str]) {
    let text = stderr(output);
    assert_eq!(output.status.code(), Some(2), "{text}");
    for part in says {
        assert!(text.contains(part), "`{part}` is not in: {text}");
    }
}

/// The scores and metrics of a finished run.
pub fn results(clone: &Clone, out: &str) -> (Vec<u8>, Vec<u8>) {
    let read = |name: &str| fs::read(clone.path(out).join(name)).unwrap();
    (read("scores.parquet"), read("metrics.csv"))
}

/// Stored stage files. A temporary file that a killed process left behind is none: nothing reads it.
pub fn stored(clone: &Clone, out: &str) -> usize {
    let Ok(stages) = fs::read_dir(clone.path(out).join("store")) else {
        return 0;
    };
    stages
        .flatten()
        .flat_map(|stage| fs::read_dir(stage.path()).into_iter().flatten().flatten())
        .filter(|file| {
            file.path()
                .extension()
                .is_some_and(|ending| ending == "safetensors")
        })
        .count()
}
