//! Guards a classifier on one image:
//! `cargo run --release --package diffguard-guidance --example one_image -- IMAGE`

mod quick;

use std::path::Path;

use diffguard_guidance::{DiffGuard, InversionConfig, Settings};

fn main() -> quick::Result<()> {
    let path = std::env::args().nth(1).ok_or("give an image file")?;
    let (unet, schedule) = quick::diffusion()?;
    let settings = Settings {
        schedule,
        // The lower 60 % of 25 steps: further up the latent forgets the image.
        inversion: InversionConfig {
            fraction: 0.6,
            ..InversionConfig::default()
        },
        similarity: vec!["logits-l1-normalised".parse()?, "ssim".parse()?],
        ..Settings::default()
    };
    let guard = DiffGuard::new(unet, quick::classifier()?, settings)?;

    let report = guard.score(&quick::image(Path::new(&path))?)?;

    let image = &report.images[0];
    println!(
        "class {} with confidence {:.3}",
        image.predicted, image.confidence
    );
    for ((reference, similarity), score) in &image.scores {
        println!("{similarity} with the {reference:?}: {score:.4}");
    }
    println!("{:?}", report.cost);
    Ok(())
}
