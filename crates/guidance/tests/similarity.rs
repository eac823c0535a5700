//! Similarities against the reference's, and what they have in common.

mod common;

use burn::tensor::Tensor;
use common::{Oracle, host, networks::SmallClassifier, uniform};
use diffguard_guidance::{SIMILARITIES, SimilarityName, View};

/// The pair of an oracle, mapped from [0, 1] to [-1, 1].
fn pair(oracle: &Oracle, eight_bits: bool) -> [View<'static>; 2] {
    ["x", "y"].map(|name| {
        let image: Tensor<4> = if eight_bits {
            oracle.tensor::<4>(&format!("in.{name}_u8")) / 255.0
        } else {
            oracle.tensor(&format!("in.{name}"))
        };
        View::new(image * 2.0 - 1.0, None)
    })
}

fn score(name: &str, [x, y]: &[View<'_>; 2]) -> Vec<f64> {
    host(
        &name
            .parse::<SimilarityName>()
            .unwrap()
            .similarity()
            .score(x, y)
            .unwrap(),
    )
}

fn check(case: &str, eight_bits: bool, multi_scale: bool) {
    let oracle = Oracle::open(&format!("similarity/{case}"));
    let views = pair(&oracle, eight_bits);
    oracle.check("out.psnr", &score("psnr", &views));
    oracle.check("out.ssim", &score("ssim", &views));
    oracle.check("out.diffguard_ssim", &score("ssim", &views));
    oracle.check("out.diffguard_gmsd", &score("gmsd", &views));
    oracle.check("out.diffguard_l2", &score("l2", &views));
    let negated = |name: &str| score(name, &views).iter().map(|v| -v).collect::<Vec<_>>();
    oracle.check("out.l1_mean", &negated("l1"));
    oracle.check("out.l2_norm", &negated("l2"));
    let pixels: usize = views[0].image().dims()[1..].iter().product();
    let sums: Vec<f64> = negated("l1").iter().map(|v| v * pixels as f64).collect();
    oracle.check("out.l1_sum", &sums);
    let squares: Vec<f64> = negated("l2")
        .iter()
        .map(|v| v * v / pixels as f64)
        .collect();
    oracle.check("out.l2_mean", &squares);
    if multi_scale {
        oracle.check("out.multi_scale_ssim", &score("ms-ssim", &views));
    }
}

#[test]
fn reference_values() {
    check("pair_odd_97x83", false, false);
    check("pair_odd_171x165", true, true);
}

/// More cases of the reference than are kept here: set `DIFFGUARD_ORACLES` to a folder with all of them.
#[test]
#[ignore = "needs the full set of oracle files"]
fn more_reference_values() {
    check("pair_96", false, false);
    check("pair_256", true, true);
    check("pair_384x400", true, true);
    check("pair_96_learned_lpips", true, false);
}

fn grey(batch: usize, side: usize, seed: u64) -> Tensor<4> {
    uniform([batch, 1, side, side], seed)
}

#[test]
fn every_score_is_highest_for_equal_images() {
    let classifier = SmallClassifier::random(28);
    let image = grey(3, 28, 1);
    let near = image.clone() + grey(3, 28, 2) * 0.02;
    let far = grey(3, 28, 3);
    for similarity in SIMILARITIES.iter().filter(|s| s.name != "ms-ssim") {
        let view = |image: &Tensor<4>| View::new(image.clone(), Some(&classifier));
        let of = |other: &Tensor<4>| host(&similarity.score(&view(&image), &view(other)).unwrap());
        let (equal, near, far) = (of(&image), of(&near), of(&far));
        for i in 0..3 {
            assert!(
                equal[i] > near[i] && near[i] > far[i],
                "{}: {} {} {}",
                similarity.name,
                equal[i],
                near[i],
                far[i]
            );
        }
    }
}

#[test]
fn the_classifier_looks_at_the_reference_once() {
    let classifier = SmallClassifier::random(28);
    let reference = View::new(grey(3, 28, 1), Some(&classifier));
    for seed in 2..5 {
        let synthesis = View::new(grey(3, 28, seed), Some(&classifier));
        for name in [
            "logits-l1",
            "logits-l1-normalised",
            "features-l2",
            "features-cosine",
        ] {
            let similarity = name.parse::<SimilarityName>().unwrap().similarity();
            assert!(similarity.needs_classifier);
            similarity.score(&reference, &synthesis).unwrap();
        }
        assert_eq!(synthesis.cost().classifier_rows, 3);
    }
    assert_eq!(*classifier.rows.lock().unwrap(), [3; 4]);
    assert_eq!(reference.cost().classifier_rows, 3);
}

#[test]
fn what_cannot_be_compared_is_refused() {
    let small = || View::new(grey(1, 8, 1), None);
    for name in ["ssim", "ms-ssim", "logits-l1", "features-cosine"] {
        let similarity = name.parse::<SimilarityName>().unwrap().similarity();
        let message = similarity
            .score(&small(), &small())
            .unwrap_err()
            .to_string();
        assert!(message.contains(name), "{message}");
    }
    let other = View::new(grey(2, 8, 1), None);
    assert!(SIMILARITIES[0].score(&small(), &other).is_err());
}

#[test]
fn names() {
    let message = "sim".parse::<SimilarityName>().unwrap_err().to_string();
    assert!(
        message.contains("did you mean `ssim`") && message.contains("gmsd"),
        "{message}"
    );
    let read: Vec<SimilarityName> = serde_json::from_str(r#"["l1", "logits-l1"]"#).unwrap();
    assert_eq!(read[1].as_str(), "logits-l1");
    assert_eq!(
        serde_json::to_string(&read).unwrap(),
        r#"["l1","logits-l1"]"#
    );
    assert!(serde_json::from_str::<SimilarityName>(r#""l3""#).is_err());
    for (i, similarity) in SIMILARITIES.iter().enumerate() {
        assert!(
            SIMILARITIES[..i]
                .iter()
                .all(|other| other.name != similarity.name)
        );
        assert_eq!(
            similarity
                .name
                .parse::<SimilarityName>()
                .unwrap()
                .similarity()
                .name,
            similarity.name
        );
    }
}
