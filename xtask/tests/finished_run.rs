//! What is done with a finished run: its tables made and fused again, its rows compared, others' scores put beside them.

mod clone;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use clone::{Clone, EXPERIMENT, TWO, assert_fails, results, stderr};

#[test]
fn tables_are_made_again_from_stored_scores_byte_for_byte() {
    // Rounded scores: the first tables have to be made of them too.
    let clone = Clone::new(&format!("compact_scores = true\n{EXPERIMENT}"));
    assert!(clone.bench("out").status.success());
    let kept = ["scores.parquet", "run.json", "pictures.png", ".lock"];
    let made = || -> BTreeMap<PathBuf, Vec<u8>> {
        let entries = fs::read_dir(clone.path("out")).unwrap().flatten();
        let files = entries
            .map(|entry| entry.path())
            .filter(|path| path.is_file());
        files
            .filter(|path| kept.iter().all(|name| !path.ends_with(name)))
            .map(|path| (path.clone(), fs::read(&path).unwrap()))
            .collect()
    };
    let before = made();
    for name in [
        "metrics.csv",
        "table.md",
        "table.tex",
        "roc.png",
        "cascade-sensitivity.csv",
    ] {
        assert!(before.contains_key(&clone.path("out").join(name)), "{name}");
    }
    before
        .keys()
        .for_each(|path| fs::remove_file(path).unwrap());
    // Without a network: the weights are gone.
    fs::remove_dir_all(clone.path("assets")).unwrap();
    let again = clone.run(&["tables", "out"]);
    assert!(again.status.success(), "{}", stderr(&again));
    assert!(made() == before);
    assert_fails(&clone.run(&["tables", "nothing"]), &["no run `nothing`"]);
}

#[test]
fn fusions_of_stored_scores_are_those_of_a_run() {
    let clone = Clone::new(EXPERIMENT);
    assert!(clone.bench("out").status.success());
    let (rest, _) = EXPERIMENT.split_once("[[combine]]").unwrap();
    let write = |name: &str, end: &str| {
        let path = clone.path("experiments").join(format!("{name}.toml"));
        fs::write(path, format!("{rest}{end}")).unwrap();
    };
    write(
        "other",
        r#"
        [[detector]]
        name = "msp"

        [[alias]]
        name = "ours"
        of = "diffguard"

        [[combine]]
        name = "ours+msp"
        of = ["msp", "ours"]
        log_odds = ["msp"]
        rule = "mean_z"
        "#,
    );
    let store = ["--no-progress", "--store", "out/store"];
    let bench = |name, out| clone.run(&[&["bench", name, "--out", out][..], &store[..]].concat());
    let whole = bench("other", "whole");
    assert!(whole.status.success(), "{}", stderr(&whole));

    // The run lacks a row that the fusion wants.
    let before = results(&clone, "out");
    let lacking = clone.run(&["tables", "out", "--fusions", "other"]);
    assert_fails(&lacking, &["`ours+msp` combines the row `msp`"]);
    assert!(results(&clone, "out") == before);

    // One that has all, under other fusions first.
    let own = fs::read_to_string(clone.path("experiments/other.toml")).unwrap();
    let plain = own.replace("log_odds = [\"msp\"]", "");
    fs::write(clone.path("experiments/plain.toml"), plain).unwrap();
    assert!(bench("plain", "plain").status.success());
    assert!(results(&clone, "plain").0 != results(&clone, "whole").0);
    let again = clone.run(&["tables", "plain", "--fusions", "other"]);
    assert!(again.status.success(), "{}", stderr(&again));
    assert!(results(&clone, "plain").0 == results(&clone, "whole").0);
    // A run whose rows are compared with a fusion keeps it.
    let compared = [
        &[
            "bench",
            "other",
            "--out",
            "compared",
            "--against",
            "ours+msp",
        ][..],
        &store,
    ]
    .concat();
    assert!(clone.run(&compared).status.success());
    let before = results(&clone, "compared");
    let other = clone.run(&["tables", "compared", "--fusions", "small"]);
    assert_fails(&other, &["`against`", "no row `ours+msp`"]);
    assert!(results(&clone, "compared") == before);

    // Compact scores do not move, however often they are fused.
    let compact = format!("compact_scores = true\n{}", own);
    fs::write(clone.path("experiments/compact.toml"), compact).unwrap();
    assert!(bench("compact", "compact").status.success());
    let fuse = || {
        let again = clone.run(&["tables", "compact", "--fusions", "other"]);
        assert!(again.status.success(), "{}", stderr(&again));
        results(&clone, "compact").0
    };
    let once = fuse();
    assert!(once == fuse());
    let table = fs::read_to_string(clone.path("plain/table.md")).unwrap();
    assert!(table.contains("- `ours+msp`: mean_z of `msp` (log-odds), `ours`"));

    write(
        "wrong",
        &own[rest.len()..].replace("log_odds = [\"msp\"]", "log_odds = [\"mps\"]"),
    );
    assert_fails(
        &bench("wrong", "wrong"),
        &["log_odds", "`mps`", "did you mean `msp`"],
    );
    write(
        "energy",
        &own[rest.len()..]
            .replace("\"msp\"", "\"ebo\"")
            .replace("[[detector]]\n        name = \"ebo\"", ""),
    );
    assert_fails(
        &bench("energy", "energy"),
        &["`ebo` has the score", "no probability"],
    );
}

/// A setting, a detector and a fusion more than [`EXPERIMENT`] has.
fn with_more_rows() -> String {
    let more = r#"
        [inversion.noised]
        spacing = "ddim5"
        fraction = 0.6
        draws = 2

        [[guard]]
        name = "another"
        inversion = "noised"
        guidance = { kind = "classifier-free", scale = 4.0 }
        similarity = ["features-l2"]

        [[detector]]
        name = "msp"

        [[combine]]
        name = "another+msp"
        of = ["msp", "diffguard-another/features-l2"]
        rule = "logistic"
        "#;
    let elected = EXPERIMENT.replace("[headline]", "[headline]\nguards = [\"free\"]");
    format!("{elected}{more}")
}

#[test]
fn the_rows_of_a_finished_run_are_taken_and_the_others_computed() {
    let clone = Clone::new(EXPERIMENT);
    assert!(clone.bench("out").status.success());
    let write = |name: &str, text: &str| {
        fs::write(clone.path("experiments").join(format!("{name}.toml")), text).unwrap();
    };
    write("more", &with_more_rows());
    let bench = |name: &str, out: &str, more: &[&str]| {
        clone.run(&[&["bench", name, "--no-progress", "--out", out], more].concat())
    };
    let whole = bench("more", "whole", &[]);
    assert!(whole.status.success(), "{}", stderr(&whole));
    let joined = bench("more", "joined", &["--rows-of", "out"]);
    assert!(joined.status.success(), "{}", stderr(&joined));
    let said = String::from_utf8_lossy(&joined.stdout).into_owned();
    assert!(said.contains("2 are computed"), "{said}");
    assert!(results(&clone, "joined") == results(&clone, "whole"));
    // Nothing was computed for the rows that were there.
    for (stage, there) in [("synthesise", true), ("invert", false), ("denoise", false)] {
        let folder = clone.path("joined/store").join(stage);
        assert_eq!(folder.exists(), there, "{stage}");
    }
    let record = |out: &str| -> serde_json::Value {
        let text = fs::read(clone.path(out).join("run.json")).unwrap();
        serde_json::from_slice(&text).unwrap()
    };
    let (joined, whole) = (record("joined"), record("whole"));
    for key in [
        "configuration",
        "headline",
        "benchmark",
        "classifier_accuracy",
    ] {
        assert_eq!(joined[key], whole[key], "{key}");
    }
    let keys = |record: &serde_json::Value| -> Vec<String> {
        record["costs"]
            .as_object()
            .unwrap()
            .keys()
            .cloned()
            .collect()
    };
    assert_eq!(keys(&joined), keys(&whole));
    let rows = serde_json::json!(["msp", "diffguard-another/features-l2"]);
    assert_eq!(joined["rows_of"]["computed"], rows);
    // A finished run has no syntheses of the elected setting to draw.
    assert!(clone.path("whole/pictures.png").is_file());
    assert!(!clone.path("joined/pictures.png").exists());

    // In place, with nothing new: the same again.
    let before = results(&clone, "joined");
    fs::write(clone.path("joined/pictures.png"), "of it").unwrap();
    let again = bench("more", "joined", &["--rows-of", "joined"]);
    assert!(again.status.success(), "{}", stderr(&again));
    assert!(results(&clone, "joined") == before);
    assert!(clone.path("joined/pictures.png").exists());
    let chain = record("joined");
    assert_eq!(chain["rows_of"]["rows_of"]["computed"], rows);
    let observed = |record: &serde_json::Value| {
        let stage = &record["stages"]["observe"];
        stage["computed"].as_u64().unwrap() + stage["reused"].as_u64().unwrap()
    };
    assert_eq!(observed(&chain), observed(&joined));

    // What would not stand beside each other.
    let refused = |more: &[&str], says: &[&str]| {
        assert_fails(&bench("more", "refused", more), says);
        assert!(!clone.path("refused").exists());
    };
    refused(
        &["--rows-of", "out", "--limit", "2"],
        &["`limit` = 3 where 2 is asked for"],
    );
    refused(&["--rows-of", "out", "--seed", "1"], &["`seed` = 0"]);
    refused(&["--rows-of", "nowhere"], &["no run `nowhere`"]);
    write(
        "elected",
        &with_more_rows().replace("guards = [\"free\"]", ""),
    );
    let elected = bench("elected", "refused", &["--rows-of", "out"]);
    assert_fails(&elected, &["elected", "guards = [\"free\"]"]);
    // Without oracle labels nothing stands in the way of another election.
    let free = with_more_rows()
        .replace("guards = [\"free\"]", "")
        .replace("oracle = true", "");
    write("elected", &free);
    let whole = bench("elected", "elected", &["--store", "whole/store"]);
    assert!(whole.status.success(), "{}", stderr(&whole));
    let joined = bench(
        "elected",
        "again",
        &["--rows-of", "out", "--store", "joined/store"],
    );
    assert!(joined.status.success(), "{}", stderr(&joined));
    assert!(results(&clone, "again") == results(&clone, "elected"));
    // Another guard of the same name is not that guard.
    write(
        "changed",
        &with_more_rows().replace("scale = 2.0", "scale = 2.5"),
    );
    let changed = bench("changed", "refused", &["--rows-of", "out"]);
    assert_fails(&changed, &["these guards unchanged"]);
    let kept = fs::read(clone.path("out/run.json")).unwrap();
    let other = String::from_utf8(kept).unwrap();
    let sha256 = record("out")["diffusion"]["sha256"]
        .as_str()
        .unwrap()
        .to_owned();
    fs::write(
        clone.path("out/run.json"),
        other.replace(&sha256, &"0".repeat(64)),
    )
    .unwrap();
    // The scores of one run with the record of another.
    fs::copy(
        clone.path("again/scores.parquet"),
        clone.path("joined/scores.parquet"),
    )
    .unwrap();
    refused(
        &["--rows-of", "joined"],
        &["one of the files is of another run"],
    );
    let weights = bench("more", "other", &["--rows-of", "out"]);
    assert_fails(&weights, &["other weights of quick/quick-unet.toml"]);
    assert!(!clone.path("other/scores.parquet").exists());
}

#[test]
fn rows_are_compared_whether_or_not_their_images_are_at_hand() {
    let clone = Clone::new(EXPERIMENT);
    assert!(clone.bench("out").status.success());
    let compare = |more: &[&str]| {
        clone.run(&[&["compare", "ebo", "denoising-pairs", "--run", "out"], more].concat())
    };
    let shown = compare(&["--set", "shirt", "--out", "shown"]);
    assert!(shown.status.success(), "{}", stderr(&shown));
    assert!(clone.path("shown/disagreements.png").is_file());
    let numbers = compare(&["--set", "shirt", "--out", "none", "--samples", "0"]);
    let difference = |output: &Output| {
        String::from_utf8_lossy(&output.stdout)
            .lines()
            .next()
            .map(str::to_owned)
    };
    assert_eq!(difference(&numbers), difference(&shown));
    assert!(!clone.path("none").exists());
    assert_fails(&compare(&["--set", "shrt"]), &["`shirt`"]);
    let alike = ["compare", "ebo", "ebo", "--run", "out", "--set", "shirt"];
    assert!(stderr(&clone.run(&alike)).contains("rank every sample alike"));

    // A run whose images are not here.
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let published = repository.join("results/cifar10");
    let (published, here) = (published.to_str().unwrap(), clone.path("."));
    let output = clone
        .command(&["compare", "msp", "ebo", "--set", "tin", "--run", published])
        .env("DIFFGUARD_DATA", &here)
        .env("DIFFGUARD_CACHE", &here)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(difference(&output).unwrap().contains("msp minus ebo"));
    assert!(
        stderr(&output).contains("no pictures: "),
        "{}",
        stderr(&output)
    );
    assert!(stderr(&output).contains("cargo xtask fetch"));
}

/// A sweep on a few images has the most rows; a stranger's scores are of all images.
#[test]
fn scores_stand_beside_the_run_with_the_most_images() {
    let clone = Clone::new(EXPERIMENT);
    assert!(clone.bench("results/rows").status.success());
    fs::write(clone.path("experiments/small.toml"), TWO).unwrap();
    assert!(clone.bench("results/images").status.success());
    let csv = clone.path("theirs.csv");
    fs::write(&csv, "sample,set,score\nnone,shirt,1.0\n").unwrap();
    // Five images in-distribution and five shirts, not three of each; sets without a row are left out.
    let refused = clone.run(&["evaluate", csv.to_str().unwrap()]);
    assert_fails(&refused, &["theirs.csv", "10 missing"]);
}
