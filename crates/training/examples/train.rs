//! Trains from the command line: `train classifier|diffusion CONFIG OUT DATA_DIR`.
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
fn main() {
    let args: Vec<String> = std::env::args().collect();
    let stop = AtomicBool::new(false);
    let dirs = [PathBuf::from(&args[4])];
    let context = diffguard_training::Context {
        data_dirs: &dirs,
        out: Path::new(&args[3]),
        device: burn::tensor::Device::flex(),
        stop: &stop,
        progress: false,
    };
    let config = Path::new(&args[2]);
    let outcome = match args[1].as_str() {
        "classifier" => diffguard_training::train_classifier(config, &context),
        _ => diffguard_training::train_diffusion(config, &context),
    };
    println!("{outcome:?}");
}
