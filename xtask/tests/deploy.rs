//! The templates under deploy/, run as their schedulers would run them.
#![cfg(unix)]

mod clone;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use clone::{Clone, EXPERIMENT, results, stderr};

/// Fewer files to store.
fn quick() -> String {
    EXPERIMENT.replace("batch = 2", "batch = 20")
}

fn deploy() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy")
}

#[track_caller]
fn succeeded(output: &Output) {
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", stderr(output));
}

/// A folder with programs of these names and lines, to stand first in PATH.
fn programs(clone: &Clone, programs: &[(&str, &str)]) -> String {
    let folder = clone.path("programs");
    fs::create_dir_all(&folder).unwrap();
    for (name, script) in programs {
        let path = folder.join(name);
        fs::write(&path, format!("#!/usr/bin/env bash\n{script}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    format!("{}:{}", folder.display(), std::env::var("PATH").unwrap())
}

#[test]
fn shell_scripts_parse() {
    for entry in fs::read_dir(deploy().join("slurm")).unwrap().flatten() {
        let checked = Command::new("bash").arg("-n").arg(entry.path()).output();
        succeeded(&checked.unwrap());
    }
}

/// `sbatch` runs an array's tasks one after the other, and the merge after them.
#[test]
fn the_slurm_array_and_its_merge_are_the_whole_run() {
    let clone = Clone::new(&quick());
    assert!(clone.bench("whole").status.success());
    let sbatch = r#"
echo "$@" >>sbatch.txt
script=${@: -1}
tasks=merge
for option in "$@"; do
  case $option in --array=1-*) tasks=$(seq 1 "${option#--array=1-}") ;; esac
done
for task in $tasks; do
  # Every task has been requeued, from a node whose lock is still there.
  mkdir -p "$RUN/shard-$task"
  sed -e "s/HERE/$(hostname)/" foreign.lock >"$RUN/shard-$task/.lock"
  SLURM_ARRAY_TASK_ID=$task SLURM_RESTART_COUNT=1 SLURM_CPUS_PER_TASK=2 bash "$script" >>log.txt 2>&1 || exit 1
done
echo 4711
"#;
    let lock =
        "user = \"u\"\nhost = \"gone-HERE\"\nprocess = 1\nsince = \"then\"\ncommand = \"bench\"\n";
    fs::write(clone.path("foreign.lock"), lock).unwrap();
    let submitted = Command::new("bash")
        .arg(deploy().join("slurm/submit.sh"))
        .current_dir(clone.path("."))
        .env("PATH", programs(&clone, &[("sbatch", sbatch)]))
        .envs([("EXPERIMENT", "small"), ("SHARDS", "3")])
        .env("DEPLOY", deploy().join("slurm"))
        .env("XTASK", env!("CARGO_BIN_EXE_xtask"))
        .env("RUN", clone.path("cluster"))
        .output()
        .unwrap();
    let log = fs::read_to_string(clone.path("log.txt")).unwrap_or_default();
    assert!(submitted.status.success(), "{}{log}", stderr(&submitted));
    let said = String::from_utf8_lossy(&submitted.stdout).into_owned();
    assert!(said.contains("plan of small"), "{said}");
    assert!(said.contains("array 4711, merge 4711"), "{said}");
    let asked = fs::read_to_string(clone.path("sbatch.txt")).unwrap();
    assert!(asked.contains("--array=1-3") && asked.contains("--dependency=afterok:4711"));
    assert!(results(&clone, "cluster/whole") == results(&clone, "whole"));
}

/// The pods' own command lines, with the environment that the templates give them.
#[test]
fn the_kubernetes_jobs_are_the_whole_run() {
    let reads =
        "import json, sys, yaml\nprint(json.dumps(list(yaml.safe_load_all(open(sys.argv[1])))))";
    let job = |name: &str| -> Option<serde_json::Value> {
        let file = deploy().join("kubernetes").join(name);
        let output = Command::new("python3")
            .args(["-c", reads])
            .arg(file)
            .output()
            .ok()?;
        match stderr(&output).contains("No module named") {
            true => None,
            false => {
                succeeded(&output);
                let jobs: Vec<serde_json::Value> = serde_json::from_slice(&output.stdout).unwrap();
                Some(jobs[0].clone())
            }
        }
    };
    let (Some(shards), Some(merge)) = (job("shards.yaml"), job("merge.yaml")) else {
        println!("passed over: no python3 with PyYAML here");
        return;
    };
    let spec = &shards["spec"];
    assert_eq!(spec["completionMode"], "Indexed");
    assert_eq!(spec["completions"], spec["parallelism"]);
    let clone = Clone::new(&quick());
    assert!(clone.bench("whole").status.success());
    let xtask = format!("exec {} \"$@\"", env!("CARGO_BIN_EXE_xtask"));
    let path = programs(&clone, &[("xtask", &xtask)]);
    let store = format!("file://{}", clone.path("bucket").display());
    let pod = |job: &serde_json::Value, index: usize| {
        let container = &job["spec"]["template"]["spec"]["containers"][0];
        let list = |name: &str| -> Vec<String> {
            serde_json::from_value(container[name].clone()).unwrap()
        };
        let command = [list("command"), list("args")].concat();
        let mut pod = Command::new(&command[0]);
        for variable in container["env"].as_array().unwrap() {
            pod.env(
                variable["name"].as_str().unwrap(),
                variable["value"].as_str().unwrap(),
            );
        }
        pod.args(&command[1..])
            .current_dir(clone.path("."))
            .env("PATH", &path)
            .envs([("EXPERIMENT", "small"), ("STORE", &store)])
            .env("OUT", clone.path("out"))
            .env("JOB_COMPLETION_INDEX", index.to_string());
        pod.output().unwrap()
    };
    let completions = spec["completions"].as_u64().unwrap() as usize;
    let said = &shards["spec"]["template"]["spec"]["containers"][0]["env"];
    let said = said
        .as_array()
        .unwrap()
        .iter()
        .find(|it| it["name"] == "SHARDS");
    assert_eq!(said.unwrap()["value"], completions.to_string());
    (0..completions).for_each(|index| succeeded(&pod(&shards, index)));
    succeeded(&pod(&merge, 0));
    assert!(results(&clone, "out") == results(&clone, "whole"));
}
