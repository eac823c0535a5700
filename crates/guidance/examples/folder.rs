//! Scores every image of a folder, the least in-distribution first, with adaptive early stop and batches that are
//! refilled: `cargo run --release --package diffguard-guidance --example folder -- FOLDER`

mod quick;

use std::path::PathBuf;

use burn::tensor::Tensor;
use diffguard_guidance::{DiffGuard, EarlyStopConfig, InversionConfig, Settings, SimilarityName};

/// Images that are held at once.
const TOGETHER: usize = 64;
/// Images that go through the networks at once.
const ROWS: usize = 16;

fn main() -> quick::Result<()> {
    let folder = std::env::args().nth(1).ok_or("give a folder of images")?;
    let mut paths: Vec<PathBuf> = std::fs::read_dir(folder)?
        .map(|entry| Ok(entry?.path()))
        .collect::<std::io::Result<_>>()?;
    paths.retain(|path| {
        let ending = path.extension().map(|ending| ending.to_ascii_lowercase());
        ending.is_some_and(|ending| ["png", "jpg", "jpeg"].iter().any(|known| ending == *known))
    });
    paths.sort();

    let similarity: SimilarityName = "logits-l1-normalised".parse()?;
    let (unet, schedule) = quick::diffusion()?;
    let mut settings = Settings {
        schedule,
        inversion: InversionConfig {
            reserve: 8,
            early_stop: Some(EarlyStopConfig::psnr(12.0)),
            rows: Some(ROWS),
            ..InversionConfig::default()
        },
        similarity: vec![similarity],
        ..Settings::default()
    };
    settings.synthesis.rows = Some(ROWS);
    let guard = DiffGuard::new(unet, quick::classifier()?, settings)?;

    let mut found = Vec::new();
    for paths in paths.chunks(TOGETHER) {
        let images = paths.iter().map(|path| quick::image(path));
        let images = Tensor::cat(images.collect::<quick::Result<Vec<_>>>()?, 0);
        let report = guard.score(&images)?;
        found.extend(paths.iter().zip(report.images));
    }
    let reference = guard.settings().reference[0];
    found.sort_by(|(_, a), (_, b)| {
        let score =
            |image: &diffguard_guidance::ImageReport| image.scores[&(reference, similarity)];
        score(a).total_cmp(&score(b))
    });
    for (path, image) in found {
        println!(
            "{:>9.4}  class {}  stopped after {:>2} moves  {}",
            image.scores[&(reference, similarity)],
            image.predicted,
            image.stop + 1,
            path.display()
        );
    }
    Ok(())
}
