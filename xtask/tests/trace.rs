//! Traces: values at every noise level, their tables and plots, as a run's user meets them.

mod clone;

use std::fs;

use clone::{Clone, EXPERIMENT, assert_fails, stderr};

/// Traces and nothing else. Another clean classifier stands in for the noisy one.
const TRACES: &str = r#"
title = "Two traces"
benchmark = "quick"
classifiers = ["quick/quick-classifier-0.toml", "quick/quick-classifier-1.toml"]
diffusion = "quick/quick-unet.toml"
limit = 4
validation_limit = 1
batch = 3
bootstrap = 20

[[trace]]
name = "left"
title = "PSNR along the inversion"
what = { kind = "inversion", inversion = { spacing = "ddim5", reserve = 1 } }

[[trace]]
name = "seen"
title = "Accuracy on noisy images"
what = { kind = "classification", spacing = "ddim2", noisy = "quick/quick-classifier-1.toml" }
"#;

const FILES: [&str; 7] = [
    "traces.parquet",
    "traces.csv",
    "table.md",
    "left.svg",
    "left-difference.png",
    "seen.svg",
    "seen-noisy.png",
];

fn files(clone: &Clone, out: &str) -> Vec<Vec<u8>> {
    let read = |name: &&str| fs::read(clone.path(out).join(name)).unwrap();
    FILES.iter().map(read).collect()
}

#[test]
fn traces_are_drawn_again_from_stored_values_and_shards_make_the_same() {
    let clone = Clone::new(TRACES);
    let run = clone.bench("out");
    assert!(run.status.success(), "{}", stderr(&run));
    let whole = files(&clone, "out");
    // No score, no metrics.
    assert!(!clone.path("out/metrics.csv").exists());

    // Five levels of 20 are visited by an inversion that keeps one in reserve, two by the classifiers; four images a set.
    let csv = String::from_utf8(whole[1].clone()).unwrap();
    for start in [
        "left,psnr/x_t,psnr,id-test,",
        "left,psnr/x0hat,psnr,far,mnist-10k,0,4,",
        "left,psnr/x_t,psnr,near,shirt,800,4,",
        "left,psnr/x_t,psnr-over-id,near,shirt,mean,4,",
        "seen,normal/x_t,accuracy,id-test,",
        "seen,normal/x0hat,agreement,near,ankle-boot,500,4,",
        "seen,noisy/x_t,alike,far,mnist-10k,0,4,",
    ] {
        assert!(
            csv.lines().any(|line| line.starts_with(start)),
            "{start} is not in {csv}"
        );
    }
    assert!(
        !csv.contains(",1000,"),
        "the last step was kept in reserve: {csv}"
    );
    let record: serde_json::Value =
        serde_json::from_slice(&fs::read(clone.path("out/run.json")).unwrap()).unwrap();
    let stage = &record["stages"]["trace"];
    let images = 4 * 4;
    assert_eq!(stage["computed"], 2 * images);
    assert_eq!(stage["cost"]["unet_rows"], (4 + 2) * images);
    assert_eq!(stage["cost"]["classifier_rows"], 3 * 2 * images);

    for shard in ["1/2", "2/2"] {
        let out = format!("part-{}", &shard[..1]);
        let run = clone.run(&["bench", "small", "--out", &out, "--shard", shard]);
        assert!(run.status.success(), "{}", stderr(&run));
    }
    let merged = clone.run(&["merge", "--out", "merged", "part-1", "part-2"]);
    assert!(merged.status.success(), "{}", stderr(&merged));
    assert!(files(&clone, "merged") == whole);
    let record: serde_json::Value =
        serde_json::from_slice(&fs::read(clone.path("merged/run.json")).unwrap()).unwrap();
    assert_eq!(
        record["stages"]["trace"]["computed"], 0,
        "shards have traced"
    );

    for name in FILES.iter().filter(|name| !name.ends_with(".parquet")) {
        fs::remove_file(clone.path("out").join(name)).unwrap();
    }
    // Without a network: the weights are gone.
    fs::remove_dir_all(clone.path("assets")).unwrap();
    let again = clone.run(&["tables", "out"]);
    assert!(again.status.success(), "{}", stderr(&again));
    assert!(files(&clone, "out") == whole);
    fs::remove_file(clone.path("out/traces.parquet")).unwrap();
    assert_fails(&clone.run(&["tables", "out"]), &["traces.parquet"]);
}

#[test]
fn the_plan_counts_traces_beside_scores() {
    let traced = &TRACES[TRACES.find("[[trace]]").unwrap()..TRACES.rfind("[[trace]]").unwrap()];
    let clone = Clone::new(&format!(
        "{}\n{traced}",
        EXPERIMENT.replace("batch = 2", "batch = 20")
    ));
    let dry = ["bench", "small", "--out", "out", "--dry-run"];
    let line = || {
        let plan = clone.run(&dry);
        assert!(plan.status.success(), "{}", stderr(&plan));
        let text = String::from_utf8(plan.stdout).unwrap();
        let line = text
            .lines()
            .find(|line| line.trim_start().starts_with("trace "));
        let words = line
            .unwrap_or_else(|| panic!("no trace in {text}"))
            .split_whitespace();
        words.map(str::to_owned).collect::<Vec<_>>()
    };
    // Stage, setting, images, stored, to compute, evaluations: three images of each of four test sets, four moves each.
    assert_eq!(line()[..6], ["trace", "left", "12", "0", "12", "48"]);
    let run = clone.bench("out");
    assert!(run.status.success(), "{}", stderr(&run));
    assert_eq!(line()[..5], ["trace", "left", "12", "12", "0"]);
    assert!(clone.path("out/metrics.csv").exists() && clone.path("out/left.png").exists());
    let table = fs::read_to_string(clone.path("out/table.md")).unwrap();
    assert!(table.contains("## Cost") && table.contains("## PSNR along the inversion"));
}

#[test]
fn what_a_trace_cannot_be_is_answered_with_what_would_be_right() {
    let clone = Clone::new(TRACES);
    for (right, wrong, says) in [
        (
            "kind = \"inversion\"",
            "kind = \"invrsion\"",
            "did you mean `inversion`?",
        ),
        ("reserve = 1", "reserv = 1", "did you mean `reserve`?"),
        (
            "noisy = \"quick/quick-classifier-1.toml\"",
            "noisy = \"quick/quick-classifier-2.toml\"",
            "did you mean `quick/quick-classifier-1.toml`?",
        ),
        (
            "name = \"seen\"",
            "name = \"left\"",
            "two traces or figures are called `left`",
        ),
        (
            "reserve = 1",
            "early_stop = { psnr = 6.0 }",
            "goes all the way",
        ),
        ("\"ddim2\"", "\"ddim60\"", "ddim60"),
        (
            "diffusion = \"quick/quick-unet.toml\"",
            "",
            "needs `diffusion`",
        ),
    ] {
        assert!(TRACES.contains(right), "{right}");
        let text = TRACES.replace(right, wrong);
        fs::write(clone.path("experiments/small.toml"), text).unwrap();
        assert_fails(&clone.bench("out"), &[says]);
    }
}
