//! A disk that is full: a clean stop with an error that names the file, and a run that goes on.
#![cfg(unix)]

mod clone;

use std::fs;
use std::process::{Command, Output};

use clone::{Clone, EXPERIMENT, results, stderr, stored};

fn shell(clone: &Clone, script: &str) -> Output {
    Command::new("bash")
        .args(["-c", script])
        .current_dir(clone.path("."))
        .env("XTASK", env!("CARGO_BIN_EXE_xtask"))
        .output()
        .unwrap()
}

/// Names of files that were cut off.
fn left_behind(clone: &Clone, out: &str) -> String {
    let found = shell(clone, &format!("find {out} -name '*.tmp'"));
    String::from_utf8(found.stdout).unwrap()
}

#[test]
fn a_limit_on_files_is_a_clean_stop_that_names_the_file() {
    let clone = Clone::new(EXPERIMENT);
    // A write beyond the limit fails in place of ending the process: latents are larger, observations are not.
    let limited = "trap '' XFSZ; ulimit -f 4; exec $XTASK bench small --no-progress --out out";
    let stopped = shell(&clone, limited);
    assert_eq!(stopped.status.code(), Some(2), "{}", stderr(&stopped));
    for part in ["cannot write", "out/store/", ".safetensors", "ulimit -f"] {
        assert!(
            stderr(&stopped).contains(part),
            "`{part}`: {}",
            stderr(&stopped)
        );
    }
    assert!(stored(&clone, "out") > 0);
    assert_eq!(left_behind(&clone, "out"), "");
    let on = clone.bench("out");
    assert!(on.status.success(), "{}", stderr(&on));
    assert!(clone.bench("whole").status.success());
    assert!(results(&clone, "out") == results(&clone, "whole"));
}

#[test]
fn a_full_disk_is_a_clean_stop_and_the_run_goes_on() {
    let mounts = Command::new("unshare").args(["-rm", "true"]).status();
    if !mounts.is_ok_and(|status| status.success()) {
        println!("passed over: no mount of one's own here (unshare -rm)");
        return;
    }
    let clone = Clone::new(&EXPERIMENT.replace("batch = 2", "batch = 50"));
    assert!(clone.bench("whole").status.success());
    fs::create_dir(clone.path("out")).unwrap();
    fs::create_dir(clone.path("kept")).unwrap();
    let bench = "$XTASK bench small --no-progress --out out";
    // Half of the run is on the disk, and some of the other half still fits.
    let script = format!(
        "mount -t tmpfs -o size=64m none out || exit 99
         {bench} --shard 1/2 >/dev/null 2>kept/half.txt || exit 98
         rm -r out/store/invert out/store/synthesise out/store/compare out/shard.json
         head -c 100m /dev/zero >out/filler 2>/dev/null
         truncate -s -300k out/filler
         {bench} >/dev/null 2>kept/full.txt; echo $? >kept/code
         find out -name '*.tmp' >kept/tmp
         rm out/filler
         {bench} >/dev/null 2>kept/again.txt || exit 97
         cp out/scores.parquet out/metrics.csv kept/"
    );
    let output = Command::new("unshare")
        .args(["-rm", "bash", "-c", &script])
        .current_dir(clone.path("."))
        .env("XTASK", env!("CARGO_BIN_EXE_xtask"))
        .output()
        .unwrap();
    let kept = |name: &str| fs::read_to_string(clone.path("kept").join(name)).unwrap_or_default();
    assert!(
        output.status.success(),
        "{}{}{}",
        stderr(&output),
        kept("half.txt"),
        kept("again.txt")
    );
    assert_eq!(kept("code").trim(), "2", "{}", kept("full.txt"));
    for part in [
        "cannot write",
        "out/store/",
        "the disk is full, free some space",
    ] {
        assert!(
            kept("full.txt").contains(part),
            "`{part}`: {}",
            kept("full.txt")
        );
    }
    assert_eq!(kept("tmp"), "");
    assert!(results(&clone, "kept") == results(&clone, "whole"));
}
