//! Runs that are killed at random moments and go on to the same bytes. `DIFFGUARD_KILLS=30` kills thirty times.

mod clone;

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use clone::{Clone, EXPERIMENT, stderr};

/// Kills without the variable: enough to notice a fault that is always there.
const KILLS: usize = 5;

/// Kills before a run may go on to its end.
const KILLS_A_RUN: usize = 3;

/// A stream of numbers in [0, 1) (SplitMix64), the same at every run of the test.
struct Random(u64);

impl Random {
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }
}

fn files(out: &Path) -> [Vec<u8>; 2] {
    ["scores.parquet", "metrics.csv"].map(|name| fs::read(out.join(name)).unwrap())
}

/// Where a killed run stood: its last stage, and whether it had begun to write its results.
fn stood(out: &Path) -> String {
    let stages = ["denoise", "compare", "synthesise", "invert", "observe"];
    let last = stages.into_iter().find(|stage| {
        let files = fs::read_dir(out.join("store").join(stage));
        files.is_ok_and(|mut files| files.next().is_some())
    });
    match (out.join("scores.parquet").exists(), last) {
        (true, _) => "writing its results".into(),
        (false, Some(stage)) => format!("with outputs of {stage}"),
        (false, None) => "with nothing stored".into(),
    }
}

#[test]
fn killed_at_random_moments_a_run_goes_on_to_the_same_bytes() {
    let asked = std::env::var("DIFFGUARD_KILLS");
    let kills: usize = asked.map_or(KILLS, |text| text.parse().unwrap());
    let clone = Clone::new(EXPERIMENT);
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    fs::copy(
        repository.join("experiments/quick.toml"),
        clone.path("experiments/quick.toml"),
    )
    .unwrap();
    let bench = |out: &str| -> Command {
        let arguments = [
            "bench",
            "quick",
            "--limit",
            "2",
            "--no-progress",
            "--out",
            out,
        ];
        clone.command(&arguments)
    };
    let begun = Instant::now();
    let whole = bench("whole").output().unwrap();
    assert!(whole.status.success(), "{}", stderr(&whole));
    let length = begun.elapsed();
    let wanted = files(&clone.path("whole"));

    let mut random = Random(2023);
    let (mut killed, mut run) = (0, 0);
    while killed < kills {
        run += 1;
        let out = format!("killed-{run}");
        for _ in 0..KILLS_A_RUN.min(kills - killed) {
            let mut child = bench(&out)
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            let moment = length.mul_f64(random.next());
            std::thread::sleep(moment);
            if child.try_wait().unwrap().is_some() {
                // It was done before: its store was nearly whole.
                break;
            }
            child.kill().unwrap();
            child.wait().unwrap();
            killed += 1;
            let at = moment.as_secs_f64();
            println!(
                "kill {killed}, run {run}: after {at:.2} s, {}",
                stood(&clone.path(&out))
            );
        }
        let last = bench(&out).output().unwrap();
        assert!(last.status.success(), "{}", stderr(&last));
        assert!(
            files(&clone.path(&out)) == wanted,
            "run {run} ended in other bytes"
        );
        fs::remove_dir_all(clone.path(&out)).unwrap();
    }
    let took = begun.elapsed();
    println!(
        "{killed} kills in {run} runs of {:.1} s, all byte-identical; {:.0} s",
        length.as_secs_f64(),
        took.as_secs_f64()
    );
}
