//! The program as its users meet it: small runs, interrupted runs, and everything that can be wrong.

mod clone;

use std::fs;
use std::process::Command;
use std::time::Duration;

use clone::{Clone, EXPERIMENT, TWO, assert_fails, results, stderr, stored};

#[test]
fn a_run_writes_everything_and_a_second_one_computes_nothing() {
    let clone = Clone::new(EXPERIMENT);
    let first = clone.bench("out");
    assert!(first.status.success(), "{}", stderr(&first));
    for name in [
        "table.md",
        "run.json",
        "roc.svg",
        "roc.png",
        "auroc.svg",
        "auroc.png",
        "pictures.png",
    ] {
        assert!(
            clone.path("out").join(name).metadata().unwrap().len() > 0,
            "{name}"
        );
    }
    let metrics = String::from_utf8(results(&clone, "out").1).unwrap();
    assert!(
        metrics.starts_with("experiment,method,set,role,metric,value,ci_low,ci_high,n_id,n_ood\n"),
        "{metrics}"
    );
    for method in [
        "ebo",
        "knn",
        "diffguard",
        "diffguard-oracle",
        "denoising-pairs",
        "denoising-pairs@3",
        "denoising-pairs/level-2",
        "denoising",
        "diffguard+ebo",
        "diffguard+ebo-envelope",
    ] {
        for set in [
            "shirt,near",
            "ankle-boot,near",
            "average,near",
            "mnist-10k,far",
            "average,far",
        ] {
            assert!(
                metrics.contains(&format!("small,{method},{set},auroc,")),
                "{method} on {set}"
            );
        }
    }
    let before = results(&clone, "out");
    let second = clone.bench("out");
    assert!(second.status.success(), "{}", stderr(&second));
    assert_eq!(before, results(&clone, "out"));
    let record: serde_json::Value =
        serde_json::from_slice(&fs::read(clone.path("out/run.json")).unwrap()).unwrap();
    for (stage, account) in record["stages"].as_object().unwrap() {
        assert_eq!(account["computed"], 0, "{stage}");
    }
    // Two settings of one inversion cost one inversion: 3 of 5 steps, each image once.
    let images = record["stages"]["invert"]["reused"].as_u64().unwrap();
    assert_eq!(record["stages"]["invert"]["cost"]["unet_rows"], 3 * images);
    // Two labels in each of four rounds, or in three.
    let evaluations = |row: &str| &record["costs"][row]["unet_evaluations"];
    assert_eq!(evaluations("denoising-pairs"), 8.0);
    assert_eq!(evaluations("denoising-pairs@3"), 6.0);
    let table = fs::read_to_string(clone.path("out/table.md")).unwrap();
    assert!(table.contains("`denoising-pairs`: the image is noised in 4 rounds"));
    assert!(table.contains("| denoising |") && !table.contains("| denoising-pairs/level"));
}

#[test]
fn a_killed_run_goes_on_to_the_same_bytes() {
    let clone = Clone::new(EXPERIMENT);
    assert!(clone.bench("whole").status.success());
    let whole = stored(&clone, "whole");
    for moment in [200, 900, 1500] {
        let mut child = clone.spawn("killed");
        std::thread::sleep(Duration::from_millis(moment));
        child.kill().unwrap();
        child.wait().unwrap();
    }
    let last = clone.bench("killed");
    assert!(last.status.success(), "{}", stderr(&last));
    assert_eq!(results(&clone, "whole"), results(&clone, "killed"));
    assert_eq!(stored(&clone, "killed"), whole, "every unit is stored once");
}

#[cfg(unix)]
#[test]
fn merged_shards_are_the_whole_run() {
    let clone = Clone::new(EXPERIMENT);
    assert!(clone.bench("whole").status.success());
    for of in [1, 2, 5] {
        let folders: Vec<String> = (1..=of).map(|i| format!("part-{i}-of-{of}")).collect();
        for (i, folder) in folders.iter().enumerate() {
            let shard = format!("{}/{of}", i + 1);
            let run = clone.run(&["bench", "small", "--out", folder, "--shard", &shard]);
            assert!(run.status.success(), "{}", stderr(&run));
        }
        let out = format!("merged-{of}");
        let mut arguments = vec!["merge", "--out", &out];
        arguments.extend(folders.iter().map(String::as_str));
        let merged = clone.run(&arguments);
        assert!(merged.status.success(), "{}", stderr(&merged));
        assert!(
            results(&clone, &out) == results(&clone, "whole"),
            "{of} shards"
        );
        if of == 2 {
            assert_fails(
                &clone.run(&["merge", "--out", "half", &folders[0]]),
                &["2/2", "--shard"],
            );
        }
    }
    assert_fails(
        &clone.run(&["merge", "--out", "mixed", "part-1-of-2", "part-2-of-5"]),
        &["part-2-of-5", "differs"],
    );
    assert_fails(
        &clone.run(&["merge", "--out", "none", "whole"]),
        &["no finished shard"],
    );
}

#[test]
fn a_sweep_is_one_run_and_shares_what_its_cells_share() {
    let sweep = format!("{EXPERIMENT}\n[[vary]]\n'guard.free.guidance.scale' = [1.5, 2.0, 4.0]\n");
    let clone = Clone::new(&sweep);
    let run = clone.bench("out");
    assert!(run.status.success(), "{}", stderr(&run));
    let count = |stage: &str| {
        let files = fs::read_dir(clone.path("out/store").join(stage)).unwrap();
        files.flatten().count()
    };
    // One inversion whatever the number of cells; syntheses: the reconstruction, three cells, and the oracle of one,
    // which is the cell itself in units whose predictions are all right.
    let plain = Clone::new(EXPERIMENT);
    assert!(plain.bench("out").status.success());
    let without = fs::read_dir(plain.path("out/store/invert")).unwrap();
    let inversions = count("invert");
    assert_eq!(inversions, without.flatten().count());
    let syntheses = count("synthesise");
    assert!(
        syntheses > 4 * inversions && syntheses <= 5 * inversions,
        "{syntheses}"
    );
    let table = fs::read_to_string(clone.path("out/table.md")).unwrap();
    assert!(table.contains("diffguard-free[scale=1.5]/"), "{table}");

    // The cells ask the network the same at their first of four steps, and each is charged as if it had asked alone.
    let mut sharing = 0;
    for file in fs::read_dir(clone.path("out/store/synthesise")).unwrap() {
        let bytes = fs::read(file.unwrap().path()).unwrap();
        let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
        let header: serde_json::Value = serde_json::from_slice(&bytes[8..8 + length]).unwrap();
        let read = |name: &str| -> Option<serde_json::Value> {
            let text = header["__metadata__"][name].as_str()?;
            serde_json::from_str(text).unwrap()
        };
        if let Some(shared) = read("shared") {
            let rows = |cost: &serde_json::Value| cost["unet_rows"].as_u64().unwrap();
            let (own, shared) = (rows(&read("cost").unwrap()), rows(&shared["cost"]));
            assert_eq!(own, 3 * shared, "three of four steps are a cell's own");
            sharing += 1;
        }
    }
    assert_eq!(sharing, 2 * inversions, "two cells of three");
    let record: serde_json::Value =
        serde_json::from_slice(&fs::read(clone.path("out/run.json")).unwrap()).unwrap();
    for scale in ["1.5", "2.0", "4.0"] {
        let cost = &record["costs"][format!("free[scale={scale}]")];
        assert_eq!(cost["unet_evaluations"], 3.0 + 2.0 * 4.0, "{cost}");
    }
}

#[test]
fn ctrl_c_is_a_clean_end() {
    let clone = Clone::new(EXPERIMENT);
    let child = clone.spawn("out");
    while stored(&clone, "out") < 3 {
        std::thread::sleep(Duration::from_millis(5));
    }
    let interrupted = Command::new("kill")
        .args(["-INT", &child.id().to_string()])
        .status()
        .unwrap();
    assert!(interrupted.success());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{}", stderr(&output));
    assert!(
        stderr(&output).contains("goes on from there"),
        "{}",
        stderr(&output)
    );
    assert!(!clone.path("out/metrics.csv").exists());
}

/// Both on one store: what the diffusion network makes is another output, what the classifier says is the same.
#[test]
fn bfloat16_is_another_run() {
    let clone = Clone::new(EXPERIMENT);
    let run = |out: &str, compute: &str| {
        let base = ["bench", "small", "--no-progress", "--store", "store"];
        let run = clone.run(&[&base[..], &["--out", out, "--compute", compute]].concat());
        assert!(run.status.success(), "{}", stderr(&run));
        let text = fs::read(clone.path(out).join("run.json")).unwrap();
        let record: serde_json::Value = serde_json::from_slice(&text).unwrap();
        record
    };
    let (single, half) = (run("f32", "f32"), run("bf16", "bf16"));
    assert!(single["conventions"].get("compute").is_none());
    assert!(
        half["conventions"]["compute"]
            .as_str()
            .unwrap()
            .contains("bfloat16")
    );
    let computed = |run: &serde_json::Value, stage: &str| {
        let stage = &run["stages"][stage];
        stage["computed"].as_u64().unwrap()
    };
    for stage in ["invert", "synthesise"] {
        assert_eq!(computed(&half, stage), computed(&single, stage), "{stage}");
    }
    assert_eq!(computed(&half, "observe"), 0);
    assert_ne!(results(&clone, "f32").0, results(&clone, "bf16").0);
    assert_fails(
        &clone.run(&["bench", "small", "--compute", "f16", "--out", "f16"]),
        &["f32, bf16"],
    );
}

#[test]
fn two_runs_do_not_share_an_output_directory() {
    let clone = Clone::new(EXPERIMENT);
    let mut first = clone.spawn("out");
    while stored(&clone, "out") == 0 {
        std::thread::sleep(Duration::from_millis(5));
    }
    let second = clone.bench("out");
    assert_fails(
        &second,
        &["is in use by process", &first.id().to_string(), "--out"],
    );
    first.kill().unwrap();
    first.wait().unwrap();
}

#[test]
fn misspelt_names_and_keys_are_answered_with_the_nearest() {
    let clone = Clone::new(EXPERIMENT);
    assert_fails(
        &clone.run(&["bench", "smal"]),
        &["no experiment `smal`", "did you mean `small`?"],
    );
    for (right, wrong, says) in [
        (
            "bootstrap = 20",
            "bootstrp = 20",
            ["bootstrp", "did you mean `bootstrap`?"],
        ),
        ("scale = 2.0", "scal = 2.0", ["scal", "scale"]),
        ("\"ssim\", \"features-l2\"", "\"sssim\"", ["sssim", "ssim"]),
        ("name = \"ebo\"", "name = \"ebbo\"", ["ebbo", "ebo"]),
        (
            "{ k = 5 }",
            "{ kk = 5 }",
            ["unknown key `kk`", "the valid names are k"],
        ),
        (
            "rule = \"cascade\"",
            "rule = \"cascde\"",
            ["cascde", "cascade"],
        ),
        (
            "inversion = \"short\"",
            "inversion = \"shrt\"",
            ["shrt", "did you mean `short`?"],
        ),
        (
            "spacing = \"ddim5\"",
            "spacing = \"ddim60\"",
            ["ddim60", "60"],
        ),
        (
            "to = 600",
            "to = 1600",
            ["denoise `pairs`: setting `from, to` = 100, 1600", "999"],
        ),
        (
            "others = 1",
            "others = 8",
            ["denoise `pairs`", "of 8 classes, 1 to 7"],
        ),
        (
            "after = [3]",
            "after = [4]",
            ["denoise `pairs`: `after` = 4", "1 to 3"],
        ),
        (
            "levels = 2",
            "levels = 5",
            ["denoise `pairs`: `levels` = 5", "1 to 4"],
        ),
        (
            "after = [3]",
            "after = [2, 2]",
            ["denoise `pairs`", "`after` has 2 twice"],
        ),
        (
            "\"ssim\", \"features-l2\"",
            "\"ssim\", \"l1\"",
            ["guard `free`", "`l1` twice"],
        ),
        (
            "\"input\", \"reconstruction\"",
            "\"input\", \"input\"",
            ["guard `free`", "`reference` has one twice"],
        ),
        (
            "name = \"diffguard+ebo\"",
            "name = \"diffguard-free/l1\"",
            ["two rows are called", "`diffguard-free/l1`"],
        ),
        (
            "of = [\"ebo\", \"diffguard\"]",
            "of = [\"ebo\", \"diffguard\", \"knn\"]",
            ["`diffguard+ebo`: cascade combines 2 rows", "has 3"],
        ),
        (
            "guidance = {",
            "label = \"oracle\"\nguidance = {",
            ["headline", "`label = \"predicted\"`"],
        ),
        (
            "[headline]",
            "[[figure]]\nname = \"f\"\ntitle = \"F\"\naxis = \"scale\"\nguard = \"free\"\n\n[headline]",
            ["figure `f`", "no guard `free` varies along `scale`"],
        ),
    ] {
        let path = clone.path("experiments/small.toml");
        assert!(EXPERIMENT.contains(right), "{right}");
        fs::write(&path, EXPERIMENT.replace(right, wrong)).unwrap();
        let output = clone.bench("out");
        assert_fails(&output, &says);
        fs::write(&path, EXPERIMENT).unwrap();
    }
}

#[test]
fn what_is_not_at_hand_is_listed_and_nothing_is_left_behind() {
    let clone = Clone::new(include_str!("../../experiments/table2.toml"));
    let mut bench = clone.command(&["bench", "small", "--out", "out", "--cache", "cache"]);
    let refused = bench.env("DIFFGUARD_DATA", "").output().unwrap();
    let list = [
        "cannot run without",
        "guided-diffusion-256-uncond",
        "--synthetic",
    ];
    assert_fails(&refused, &list);
    assert!(!clone.path("out").exists() && !clone.path("cache").exists());
}

#[test]
fn weights_that_are_not_the_recorded_ones_are_refused() {
    let clone = Clone::new(EXPERIMENT);
    let weights = clone.path("assets/quick/quick-unet.safetensors");
    let whole = fs::read(&weights).unwrap();
    fs::write(&weights, &whole[..whole.len() / 2]).unwrap();
    assert_fails(
        &clone.bench("out"),
        &["quick-unet.safetensors", "sha256", "git checkout"],
    );
    let mut flipped = whole.clone();
    let last = flipped.len() - 1;
    flipped[last] ^= 1;
    fs::write(&weights, &flipped).unwrap();
    assert_fails(&clone.bench("out"), &["quick-unet.safetensors", "sha256"]);
    fs::remove_file(&weights).unwrap();
    assert_fails(
        &clone.bench("out"),
        &["quick-unet.safetensors", "cannot read"],
    );
    fs::write(&weights, &whole).unwrap();
    // The same file under a record of another size.
    let record = clone.path("assets/quick/quick-unet.toml");
    let text = fs::read_to_string(&record).unwrap();
    fs::write(&record, text.replace("channels = 48", "channels = 32")).unwrap();
    assert_fails(
        &clone.bench("out"),
        &["quick-unet.safetensors", "does not fit the network"],
    );
}

#[test]
fn damaged_images_and_unusable_directories_are_named() {
    let clone = Clone::new(EXPERIMENT);
    let images = clone.path("assets/quick/fashion-mnist/t10k-images-idx3-ubyte.gz");
    let whole = fs::read(&images).unwrap();
    fs::write(&images, &whole[..1000]).unwrap();
    assert_fails(&clone.bench("out"), &["t10k-images-idx3-ubyte.gz"]);
    fs::write(&images, &whole).unwrap();
    fs::write(clone.path("a-file"), b"").unwrap();
    assert_fails(&clone.bench("a-file/out"), &["a-file"]);
    assert_fails(
        &clone.run(&["bench", "small", "--device", "tpu"]),
        &["unknown device `tpu`", "cuda:N"],
    );
    assert_fails(
        &clone.run(&["bench", "small", "--device", "cuda:0"]),
        &["--features cuda"],
    );
    assert_fails(
        &clone.run(&["bench", "small", "--limit", "0"]),
        &["--limit"],
    );
}

#[test]
fn classifiers_under_protection_in_turn() {
    let clone = Clone::new(TWO);
    let protect = |name: &str| {
        let out = name.to_owned();
        let run = clone.run(&[
            "bench",
            "small",
            "--offline",
            "--no-progress",
            "--protect",
            name,
            "--out",
            &out,
        ]);
        assert!(run.status.success(), "{}", stderr(&run));
        let metrics = fs::read_to_string(clone.path(&out).join("metrics.csv")).unwrap();
        let line = metrics
            .lines()
            .find(|line| line.starts_with("small,msp,shirt,near,auroc,"));
        let value = line.unwrap().split(',').nth(5).unwrap().to_owned();
        100.0 * value.parse::<f64>().unwrap()
    };
    let (first, second) = (protect("quick-classifier-0"), protect("quick-classifier-1"));
    assert_ne!(first, second, "the same classifier");
    let made = clone.run(&["seeds", "quick-classifier-0", "quick-classifier-1"]);
    assert!(made.status.success(), "{}", stderr(&made));
    let table = fs::read_to_string(clone.path("quick-classifier-0/seeds.md")).unwrap();
    let (mean, deviation) = ((first + second) / 2.0, (first - second).abs() / 2f64.sqrt());
    let cell = format!("| msp | {mean:.1} ± {deviation:.1} / ");
    assert!(table.contains(&cell), "{cell}\n{table}");
    // It is the same two networks in both runs.
    let line = table
        .lines()
        .find(|line| line.starts_with("| deep_ensemble | "));
    assert!(line.is_some_and(|line| !line.contains('±')), "{table}");
    assert!(table.contains("Without a deviation"), "{table}");

    // Shards of a run under protection are that run, and no other's.
    let shard = |part: &str, protect: &str, out: &str| {
        let shard = [
            "--offline",
            "--no-progress",
            "--shard",
            part,
            "--protect",
            protect,
        ];
        let run = clone.run(&[&["bench", "small", "--out", out], &shard[..]].concat());
        assert!(run.status.success(), "{}", stderr(&run));
    };
    shard("1/2", "quick-classifier-1", "a");
    shard("2/2", "quick-classifier-1", "b");
    shard("2/2", "quick-classifier-0", "c");
    let merge = |other: &str| clone.run(&["merge", "a", other, "--out", "whole", "--no-progress"]);
    assert_fails(
        &merge("c"),
        &["c: not of the run that a is of", "under protection"],
    );
    let merged = merge("b");
    assert!(merged.status.success(), "{}", stderr(&merged));
    assert!(results(&clone, "whole").0 == results(&clone, "quick-classifier-1").0);

    // Other settings are no other seed.
    let path = clone.path("experiments/small.toml");
    fs::write(&path, TWO.replace("bootstrap = 20", "bootstrap = 30")).unwrap();
    protect("quick-classifier-1");
    assert_fails(
        &clone.run(&["seeds", "quick-classifier-0", "quick-classifier-1"]),
        &["quick-classifier-1", "other settings"],
    );
    assert_fails(
        &clone.run(&["bench", "small", "--protect", "quick-clasifier-1"]),
        &["--protect", "did you mean `quick-classifier-1`?"],
    );
    assert_fails(
        &clone.run(&["seeds", "quick-classifier-0", "quick-classifier-0"]),
        &["quick-classifier-0", "protects the same classifier"],
    );
    assert_fails(
        &clone.run(&["seeds", "quick-classifier-0"]),
        &["two runs at least"],
    );
}
