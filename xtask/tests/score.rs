//! `score`: what it prints, what it writes, and how it exits.

mod clone;

use std::process::{Command, Output};

use clone::Clone;
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
    for row in ["ebo", "denoising+ebo"] {
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

/// An alias as the row that it stands for; of a run in which images are noised in place of inverted.
#[test]
fn an_alias_judges_as_its_row() {
    let alias = "[[alias]]\nname = \"other\"\nof = \"diffguard-free/l1\"\nnote = \"the same\"\n";
    let experiment = clone::EXPERIMENT.replace("fraction = 0.6", "fraction = 0.6\ndraws = 2");
    let clone = Clone::new(&format!("{experiment}\n{alias}"));
    let ran = clone.bench("results/small");
    assert!(ran.status.success(), "{}", clone::stderr(&ran));
    let image = picture();
    let judged = |row: &str| {
        let model = ["score", &image, "--model", "small", "--by", row, "--json"];
        let finding = findings(&clone.run(&model)).remove(0);
        (
            finding["judge"]["name"].clone(),
            finding["judge"]["score"].clone(),
        )
    };
    let ((alias, one), (row, other)) = (judged("other"), judged("diffguard-free/l1"));
    assert_eq!((alias, row), ("other".into(), "diffguard-free/l1".into()));
    assert!(one.is_number() && one == other, "{one} {other}");
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
    let rows = findings[0]["rows"].as_array().unwrap().iter();
    let names: Vec<&str> = rows.map(|row| row["name"].as_str().unwrap()).collect();
    // Another guard's syntheses are not made.
    let record = std::fs::read(format!("{ROOT}/results/cifar10/run.json")).unwrap();
    let record: Value = serde_json::from_slice(&record).unwrap();
    let elected = format!("{}/", record["headline"]["guard"].as_str().unwrap());
    let mut of_guards = names
        .iter()
        .filter_map(|name| name.strip_prefix("diffguard-"));
    assert!(
        of_guards.all(|name| name.starts_with(&elected)),
        "{names:?}"
    );
    assert!(!names.contains(&"denoising+w3+noised"));
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
