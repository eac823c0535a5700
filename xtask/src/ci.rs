//! `ci`: the checks that a change must pass.

use std::process::{Command, ExitCode};

/// Runs `.ci/run`, or with the feature `gpu` the checks of a build for graphics cards: its golden cases and a small
/// benchmark on the first adapter, and whether the CUDA build type-checks.
pub fn run(gpu: Option<&str>) -> ExitCode {
    let Some(feature) = gpu else {
        return status(&mut Command::new(".ci/run"));
    };
    let device = &*format!("{feature}:0");
    let out = std::env::temp_dir().join(format!("diffguard-gpu-{}", std::process::id()));
    // A folder of its own: the two builds would otherwise replace each other's burn.
    let program = ["--features", feature, "--target-dir", "target/gpu"];
    let ours = |arguments: &[&str]| {
        let mut command = cargo();
        command.args(["run", "--release", "--package", "xtask"]);
        command.args(program).arg("--").args(arguments);
        command.args(["--device", device]);
        command
    };
    let mut bench = ours(&["bench", "quick", "--limit", "12", "--no-progress"]);
    bench.arg("--out").arg(&out);
    let mut cuda = cargo();
    // Without this the build script of CUDA's code generator downloads a compiler; nothing is linked here.
    cuda.env("DOCS_RS", "1");
    cuda.args(["check", "--package", "xtask", "--features", "cuda"]);
    cuda.args(["--target-dir", "target/gpu"]);
    let steps = [
        ("golden cases", ours(&["verify", "oracles"])),
        ("bench", bench),
        ("CUDA type-checks", cuda),
    ];
    for (name, mut command) in steps {
        println!("== {name} ({device})");
        let code = status(&mut command);
        if code != ExitCode::SUCCESS {
            return code;
        }
    }
    // What stays behind in the folder for such files harms nobody.
    let _ = std::fs::remove_dir_all(out);
    ExitCode::SUCCESS
}

/// The cargo that runs this program.
pub fn cargo() -> Command {
    Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// Runs `command`; its exit status as ours.
pub fn status(command: &mut Command) -> ExitCode {
    match command.status() {
        Ok(status) => ExitCode::from(
            status
                .code()
                .and_then(|code| u8::try_from(code).ok())
                .unwrap_or(1),
        ),
        Err(error) => {
            let program = command.get_program().to_string_lossy();
            eprintln!("error: cannot start {program}: {error}");
            ExitCode::from(2)
        }
    }
}
