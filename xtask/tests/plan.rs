//! The plan of a run, and stores that several runs share.

mod clone;

use std::collections::BTreeMap;
use std::fs;
use std::process::Output;

use clone::{Clone, EXPERIMENT, assert_fails, results, stderr};

/// Fewer files to store.
fn quick() -> String {
    EXPERIMENT.replace("batch = 2", "batch = 20")
}

/// Images stored and to compute by stage, as a printed plan says.
fn planned(output: &Output) -> BTreeMap<String, (u64, u64)> {
    assert!(output.status.success(), "{}", stderr(output));
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    let stages = [
        "observe",
        "perturb",
        "invert",
        "synthesise",
        "compare",
        "denoise",
    ];
    let mut planned: BTreeMap<String, (u64, u64)> = BTreeMap::new();
    for line in text.lines() {
        let cells: Vec<&str> = line
            .split("  ")
            .map(str::trim)
            .filter(|it| !it.is_empty())
            .collect();
        if let [stage, _, images, stored, compute, ..] = cells[..]
            && stages.contains(&stage)
        {
            let number = |text: &str| text.parse::<u64>().unwrap();
            let of = planned.entry(stage.to_owned()).or_default();
            of.0 += number(stored);
            of.1 += number(compute);
            assert_eq!(number(images), number(stored) + number(compute));
        }
    }
    planned
}

/// Images reused and computed by stage, as a finished run says.
fn done(clone: &Clone, out: &str) -> BTreeMap<String, (u64, u64)> {
    let text = fs::read(clone.path(out).join("run.json")).unwrap();
    let record: serde_json::Value = serde_json::from_slice(&text).unwrap();
    let stages = record["stages"].as_object().unwrap();
    let of = |account: &serde_json::Value| {
        let count = |name: &str| account[name].as_u64().unwrap();
        (count("reused"), count("computed"))
    };
    stages
        .iter()
        .map(|(stage, account)| (stage.clone(), of(account)))
        .collect()
}

#[test]
fn the_plan_is_what_the_run_then_does() {
    // The election decides what is compared under oracle labels; no plan can know that.
    let sweep =
        "\n[[vary]]\n'guard.free.guidance.scale' = [1.5, 2.0]\n[[detector]]\nname = \"odin\"\n";
    let clone = Clone::new(&format!(
        "{}{sweep}",
        quick()
            .replace("oracle = true", "oracle = false")
            .replace("\"reconstruction\"]", "\"reconstruction\", \"contrast\"]")
    ));
    let dry = ["bench", "small", "--out", "out", "--dry-run"];
    let first = clone.run(&dry);
    let text = String::from_utf8_lossy(&first.stdout).into_owned();
    for part in [
        "free[scale=1.5]",
        "2 cells",
        "U-Net evaluations",
        "the probe ran",
        "disk: about",
    ] {
        assert!(text.contains(part), "`{part}` is not in: {text}");
    }
    assert!(!clone.path("out").exists(), "a dry run writes nothing");
    let before = planned(&first);
    assert!(
        before
            .values()
            .all(|(stored, compute)| *stored == 0 && *compute > 0)
    );
    assert!(before.contains_key("perturb"));

    let shard = [
        "bench",
        "small",
        "--out",
        "out",
        "--shard",
        "1/2",
        "--no-progress",
    ];
    let half = planned(&clone.run(&shard));
    let rest = planned(&clone.run(&dry));
    for (stage, (stored, compute)) in &rest {
        // A shard leaves what detectors ask for to the merge.
        let of_shard = half.get(stage).filter(|_| stage != "perturb");
        assert_eq!(*stored, of_shard.map_or(0, |of| of.1), "{stage}");
        assert_eq!(stored + compute, before[stage].1, "{stage}");
    }
    assert!(clone.bench("out").status.success());
    assert_eq!(done(&clone, "out"), rest);
    let last = clone.run(&dry);
    assert!(planned(&last).values().all(|(_, compute)| *compute == 0));
    assert!(String::from_utf8_lossy(&last.stdout).contains("nothing to compute"));
}

#[test]
fn what_two_settings_share_is_planned_once() {
    let again = r#"
[inversion.again]
spacing = "ddim5"
fraction = 0.6

[[guard]]
name = "other"
inversion = "again"
guidance = { kind = "classifier-free", scale = 3.0 }
reference = ["input", "reconstruction"]
similarity = ["l1"]
"#;
    let clone = Clone::new(&format!("{}{again}", quick()));
    let planned = planned(&clone.run(&["bench", "small", "--out", "out", "--dry-run"]));
    let (stored, compute) = planned["invert"];
    assert!(stored == compute && compute > 0, "{stored}, {compute}");
    assert!(clone.bench("out").status.success());
    assert_eq!(done(&clone, "out")["invert"], planned["invert"]);
}

#[test]
fn shards_at_work_together_share_an_object_store() {
    let clone = Clone::new(&quick());
    assert!(clone.bench("whole").status.success());
    let url = format!("file://{}", clone.path("shared").display());
    let of = |shard: &str, out: &str| {
        let arguments = [
            "bench",
            "small",
            "--shard",
            shard,
            "--out",
            out,
            "--store",
            &url,
            "--no-progress",
        ];
        clone.command(&arguments)
    };
    let quiet = || std::process::Stdio::null();
    let mut running: Vec<_> = [("1/3", "a"), ("2/3", "b")]
        .map(|(shard, out)| of(shard, out).stdout(quiet()).spawn().unwrap())
        .into();
    assert!(
        running
            .iter_mut()
            .all(|child| child.wait().unwrap().success())
    );
    let merge = ["merge", "--store", &url, "--out", "merged", "--no-progress"];
    assert_fails(&clone.run(&merge), &["missing: the shards 3/3"]);
    assert!(of("3/3", "c").output().unwrap().status.success());
    let merged = clone.run(&merge);
    assert!(merged.status.success(), "{}", stderr(&merged));
    assert!(results(&clone, "merged") == results(&clone, "whole"));
    // All that shards can do was done by them.
    let stages = done(&clone, "merged");
    assert_eq!(stages["invert"].1 + stages["observe"].1, 0);
    assert!(!clone.path("merged/store").exists() && !clone.path("a/store").exists());
    // The folders may be named too.
    let named = ["merge", "a", "b", "c", "--out", "named", "--store", &url];
    assert!(clone.run(&named).status.success());
    assert_fails(
        &clone.run(&["merge", "a", "b", "c", "--out", "lost"]),
        &["a/store", "--store"],
    );
}

#[test]
fn a_run_on_a_store_in_memory_is_the_same() {
    let clone = Clone::new(&quick());
    assert!(clone.bench("whole").status.success());
    let run = clone.run(&["bench", "small", "--out", "out", "--store", "memory:///"]);
    assert!(run.status.success(), "{}", stderr(&run));
    assert!(results(&clone, "out") == results(&clone, "whole"));
    assert!(!clone.path("out/store").exists());
    assert_fails(
        &clone.run(&["bench", "small", "--out", "out", "--store", "ftp://host/x"]),
        &["ftp://host/x", "file:///folder"],
    );
}

#[test]
fn longer_denoising_goes_on_from_what_a_shorter_one_stored() {
    let quick = quick();
    let (head, _) = quick.split_once("[inversion.short]").unwrap();
    let of = |rounds: usize| {
        let noise = format!("{{ from = 100, to = 600, rounds = {rounds}, others = 1 }}");
        format!(
            "{head}[[denoise]]\nname = \"pairs\"\nnoise = {noise}\n[[detector]]\nname = \"ebo\"\n"
        )
    };
    let clone = Clone::new(&of(30));
    assert!(clone.bench("out").status.success());
    let whole = done(&clone, "out")["denoise"];

    fs::write(clone.path("experiments/small.toml"), of(32)).unwrap();
    let dry = clone.run(&["bench", "small", "--out", "out", "--dry-run"]);
    let text = String::from_utf8_lossy(&dry.stdout).into_owned();
    for part in ["pairs, rounds 1 to 30", "pairs, rounds 31 to 32"] {
        assert!(text.contains(part), "`{part}` is not in: {text}");
    }
    let planned = planned(&dry)["denoise"];
    assert_eq!(planned, (whole.1, whole.1));
    assert!(clone.bench("out").status.success());
    assert_eq!(done(&clone, "out")["denoise"], planned);

    // As if it had not been interrupted.
    let fresh = Clone::new(&of(32));
    assert!(fresh.bench("out").status.success());
    let name = "scores.parquet";
    let read = |clone: &Clone| fs::read(clone.path("out").join(name)).unwrap();
    assert!(read(&clone) == read(&fresh));
}

/// Noised images in place of inverted ones: planned as run, sharded as whole, and more draws go on from fewer.
#[test]
fn more_draws_of_noise_go_on_from_fewer() {
    let of = |draws: usize| {
        let references =
            quick().replace("\"reconstruction\"]", "\"reconstruction\", \"contrast\"]");
        references
            .replace("oracle = true", "oracle = false")
            .replace(
                "fraction = 0.6",
                &format!("fraction = 0.6\ndraws = {draws}"),
            )
    };
    let clone = Clone::new(&of(2));
    let dry = ["bench", "small", "--out", "out", "--dry-run"];
    let before = planned(&clone.run(&dry));
    assert!(!before.contains_key("invert"), "{before:?}");
    assert!(clone.bench("out").status.success());
    assert_eq!(done(&clone, "out")["synthesise"], before["synthesise"]);
    assert_eq!(done(&clone, "out")["compare"], before["compare"]);
    let two = fs::read(clone.path("out/scores.parquet")).unwrap();

    fs::write(clone.path("experiments/small.toml"), of(3)).unwrap();
    let planned = planned(&clone.run(&dry));
    for stage in ["synthesise", "compare"] {
        let (stored, compute) = planned[stage];
        assert!(stored == 2 * compute && compute > 0, "{stage}: {planned:?}");
    }
    assert!(clone.bench("out").status.success());
    assert_eq!(done(&clone, "out")["synthesise"], planned["synthesise"]);
    let three = fs::read(clone.path("out/scores.parquet")).unwrap();
    assert!(two != three);

    // As if it had not been interrupted, and as shards make it.
    let fresh = Clone::new(&of(3));
    assert!(fresh.bench("out").status.success());
    assert!(fs::read(fresh.path("out/scores.parquet")).unwrap() == three);
    let sharded = Clone::new(&of(3));
    for (shard, out) in [("1/2", "a"), ("2/2", "b")] {
        let ran = sharded.run(&["bench", "small", "--shard", shard, "--out", out]);
        assert!(ran.status.success(), "{}", stderr(&ran));
    }
    let merged = sharded.run(&["merge", "a", "b", "--out", "merged"]);
    assert!(merged.status.success(), "{}", stderr(&merged));
    assert!(fs::read(sharded.path("merged/scores.parquet")).unwrap() == three);
}
