//! `score`: what it prints, what it writes, and how it exits.

use std::process::{Command, Output};

use serde_json::Value;

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

fn score(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_xtask"))
        .arg("score")
        .args(arguments)
        .current_dir(ROOT)
        .output()
        .unwrap()
}

/// An image that is at hand, and that needs resizing, cropping and turning grey: the quick benchmark's picture grid.
fn picture() -> String {
    format!("{ROOT}/results/quick/pictures.png")
}

fn findings(output: &Output) -> Vec<Value> {
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[test]
fn an_image_is_placed_among_validation_images() {
    let folder = tempfile::tempdir().unwrap();
    let strip = folder.path().join("strip.png");
    let image = picture();
    let output = score(&[&image, &image, "--json", "--out", strip.to_str().unwrap()]);
    let findings = findings(&output);
    assert_eq!(
        findings.len(),
        2,
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert_eq!(findings[0]["judge"], findings[1]["judge"]);
    for finding in &findings {
        let number = |value: &Value| value.as_f64().unwrap();
        assert!((0.0..=1.0).contains(&number(&finding["confidence"])));
        let rows = finding["rows"].as_array().unwrap();
        let named = |name: &str| rows.iter().filter(|row| row["name"] == name).count();
        for name in [
            "denoising-pairs",
            "denoising-pairs@8",
            "ebo",
            "denoising+ebo",
            "diffguard+ebo",
        ] {
            assert_eq!(named(name), 1, "{name}");
        }
        assert_eq!(named("diffguard") + named("deep_ensemble"), 0);
        for placed in rows {
            assert!((0.0..=100.0).contains(&number(&placed["percentile"])));
        }
        let below = number(&finding["judge"]["score"]) < number(&finding["threshold"]);
        assert_eq!(finding["out_of_distribution"], below);
        // The verdict and the exit status are one.
        assert_eq!(output.status.code(), Some(i32::from(below)));
    }
    assert!(std::fs::read(&strip).unwrap().starts_with(b"\x89PNG"));
}

#[test]
fn any_row_that_is_at_hand_judges() {
    let folder = tempfile::tempdir().unwrap();
    let (image, out) = (picture(), folder.path().join("row.png"));
    for row in ["ebo", "denoising+ebo", "diffnb"] {
        let output = score(&[
            &image,
            "--by",
            row,
            "--json",
            "--out",
            out.to_str().unwrap(),
        ]);
        let finding = &findings(&output)[0];
        assert_eq!(finding["judge"]["name"], row);
        let rows = finding["rows"].as_array().unwrap();
        assert!(rows.contains(&finding["judge"]));
    }
}

/// Of a run whose data set is not embedded: nothing of it is needed.
#[test]
fn an_image_in_colour_is_judged_by_what_denoising_says() {
    let folder = tempfile::tempdir().unwrap();
    let (image, out) = (picture(), folder.path().join("colour.png"));
    let row = "denoising+ebo";
    let model = ["--model", "cifar10", "--by", row, "--json", "--out"];
    let output = score(&[&[image.as_str()], &model[..], &[out.to_str().unwrap()]].concat());
    let findings = findings(&output);
    assert_eq!(findings.len(), 1);
    assert_eq!(findings[0]["judge"]["name"], row);
    let rows = findings[0]["rows"].as_array().unwrap();
    assert!(
        rows.iter()
            .any(|it| it["name"] == "diffguard-far/features-l1-normalised")
    );
    // Another guard's syntheses are not made.
    assert!(rows.iter().all(|it| it["name"] != "denoising+depths"));
}

#[test]
fn what_cannot_be_scored_ends_with_two_and_says_why() {
    let image = picture();
    for (arguments, word) in [
        (vec!["/nowhere/at-all.png"], "at-all.png"),
        (
            vec![concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")],
            "Cargo.toml",
        ),
        (vec!["x.png", "--model", "quik"], "did you mean `quick`"),
        (
            vec![&image, "--by", "eb"],
            "`eb`, which does not exist; did you mean `ebo`",
        ),
        (
            vec![&image, "--by", "deep_ensemble"],
            "cannot be judged by `deep_ensemble`, which takes other images, other networks",
        ),
    ] {
        let output = score(&arguments);
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{message}");
        assert!(message.contains(word), "{message}");
    }
}
