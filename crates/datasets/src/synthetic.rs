//! Stand-ins for benchmarks: generated images in sets of the same names, roles, classes and sizes, so that an experiment's
//! whole path can be walked with nothing at hand. Nothing that is measured on them means anything.

use crate::benchmark::{Benchmark, OodSet, Source};
use crate::hash::Fields;
use crate::{ImageSet, ImageShape, OUT_OF_DISTRIBUTION, Result};

/// A stand-in for the benchmark called `name`: `images` generated images a set, and `fit` to fit to.
///
/// # Errors
///
/// [`Error::Unknown`](crate::Error::Unknown) lists the names there are.
pub fn benchmark(name: &str, images: usize, fit: usize) -> Result<Benchmark> {
    let entry = crate::benchmark::entry(name)?;
    let outline = (entry.outline)();
    let classes = outline.class_names.len();
    let set = |name: &str, images: usize, known: bool| {
        let label = |i: usize| match known {
            // Spread over all classes.
            true => (i * classes / images.max(1)) as i64,
            false => OUT_OF_DISTRIBUTION,
        };
        generated(name, outline.shape, (0..images).map(label).collect())
    };
    let fitted = format!("{}-synthetic-fit", outline.fit);
    Ok(Benchmark {
        name: outline.name.into(),
        fit: set(&fitted, fit.max(1), true)?,
        id_val: set(outline.id_val, images, true)?,
        ood_val: outline
            .ood_val
            .iter()
            .map(|name| set(name, images, false))
            .collect::<Result<_>>()?,
        id_test: set(outline.id_test, images, true)?,
        ood_test: outline
            .ood_test
            .iter()
            .map(|(role, name)| {
                Ok(OodSet {
                    role: *role,
                    set: set(name, images, false)?,
                })
            })
            .collect::<Result<_>>()?,
        sources: vec![Source {
            name: "generated images (SYNTHETIC)".into(),
            licence: "none needed".into(),
            sha256: "computed".into(),
        }],
        left_out: Vec::new(),
        class_names: outline.class_names,
    })
}

/// Images that depend on the set's name, the label and the place alone: stripes of the label's direction for a class,
/// rings for images of none, each with a disc somewhere.
fn generated(name: &str, shape: ImageShape, labels: Vec<i64>) -> Result<ImageSet> {
    let mut pixels = Vec::with_capacity(labels.len() * shape.len());
    let mut ids = Vec::with_capacity(labels.len());
    for (index, &label) in labels.iter().enumerate() {
        let id = format!("synthetic/{name}/{index:05}");
        let draw = |what: &str| {
            let hash = Fields::new("synthetic").text(&id).text(what).draw();
            (hash >> 40) as f64 / (1u64 << 24) as f64
        };
        let (phase, frequency) = (6.3 * draw("phase"), 12.0 + 30.0 * draw("frequency"));
        let (x0, y0, radius) = (draw("x"), draw("y"), 0.1 + 0.2 * draw("radius"));
        let angle = label as f64 * 0.61;
        for channel in 0..shape.channels {
            let (shift, disc) = (
                draw(&format!("shift {channel}")),
                draw(&format!("disc {channel}")),
            );
            for row in 0..shape.height {
                for column in 0..shape.width {
                    let (x, y) = (
                        column as f64 / shape.width as f64,
                        row as f64 / shape.height as f64,
                    );
                    let along = match label {
                        OUT_OF_DISTRIBUTION => ((x - 0.5).powi(2) + (y - 0.5).powi(2)).sqrt(),
                        _ => x * angle.cos() + y * angle.sin(),
                    };
                    let wave = 0.5 + 0.35 * (frequency * along + phase + 2.0 * shift).sin();
                    let inside = (x - x0).powi(2) + (y - y0).powi(2) < radius * radius;
                    let value = if inside { disc } else { wave };
                    pixels.push((255.0 * value).round() as u8);
                }
            }
        }
        ids.push(id);
    }
    ImageSet::new(name, shape, pixels, labels, ids)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::benchmark::BENCHMARKS;
    use crate::quick;

    #[test]
    fn every_benchmark_has_a_stand_in_of_its_size() {
        for entry in BENCHMARKS {
            let made = benchmark(entry.name, 3, 5).unwrap();
            assert_eq!(made.name, entry.name);
            assert_eq!((made.id_test.len(), made.fit.len()), (3, 5));
            assert!(!made.ood_test.is_empty() && !made.ood_val.is_empty());
            let side = match entry.name {
                "quick" => 28,
                name if name.starts_with("cifar10") => 32,
                name if name.ends_with("256px") => 256,
                _ => 224,
            };
            assert_eq!(made.id_test.shape.height, side, "{}", entry.name);
            let last = *made.id_test.labels.last().unwrap();
            assert!(last > 0 && last < made.class_names.len() as i64);
            assert_ne!(made.id_test.image(0), made.id_test.image(1));
        }
    }

    #[test]
    fn the_quick_stand_in_has_the_names_of_the_real_one() {
        let assets = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../assets");
        let real = quick::load(&assets).unwrap();
        let made = benchmark("quick", 1, 1).unwrap();
        let names = |b: &Benchmark| -> Vec<String> {
            let own = [&b.id_val, &b.id_test].map(|set| set.name.clone());
            let val = b.ood_val.iter().map(|set| set.name.clone());
            let test = b.ood_test.iter().map(|ood| ood.set.name.clone());
            own.into_iter().chain(val).chain(test).collect()
        };
        assert_eq!(names(&made), names(&real));
        assert_eq!(made.class_names, real.class_names);
        assert_eq!(made.id_test.shape, real.id_test.shape);
    }
}
