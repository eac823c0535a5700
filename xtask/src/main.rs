//! `cargo xtask …`: the door to the benchmark, and the development chores.

mod process;

use std::path::Path;
use std::process::{Command, ExitCode};

use clap::{Parser, Subcommand};

/// DiffGuard: out-of-distribution detection by semantic mismatch, as a benchmark harness
#[derive(Parser)]
#[command(
    name = "cargo xtask",
    bin_name = "cargo xtask",
    disable_help_subcommand = true
)]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    #[command(flatten)]
    Runner(Box<diffguard_runner::cli::Command>),
    /// Run all tests, in the profile that `bench` uses
    Test {
        /// Passed on to `cargo test`
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
}

fn main() -> ExitCode {
    process::keep_freed_memory();
    process::end_with_the_reader();
    match Cli::parse().task {
        Task::Runner(command) => match command.run() {
            Ok(status) => ExitCode::from(status),
            Err(error) => {
                eprintln!("error: {error}");
                ExitCode::from(error.exit_code())
            }
        },
        Task::Test { arguments } => test(&arguments),
    }
}

fn test(arguments: &[String]) -> ExitCode {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let passed_over = std::env::temp_dir().join(format!("passed-over-{}", std::process::id()));
    let status = Command::new(cargo)
        .args(["test", "--release", "--workspace"])
        .args(arguments)
        .env("DIFFGUARD_PASSED_OVER", &passed_over)
        .status();
    tell_passed_over(&passed_over);
    match status {
        Ok(status) => ExitCode::from(
            status
                .code()
                .and_then(|code| u8::try_from(code).ok())
                .unwrap_or(1),
        ),
        Err(error) => {
            eprintln!("error: cannot start cargo: {error}");
            ExitCode::from(2)
        }
    }
}

/// Says which tests ran without the large data that they read, from the list at `path`, which the tests wrote.
fn tell_passed_over(path: &Path) {
    let Ok(list) = std::fs::read_to_string(path) else {
        return;
    };
    // A list that stays behind in the folder for such files harms nobody.
    let _ = std::fs::remove_file(path);
    eprintln!(
        "\n{list}These tests read data that the repository does not have. With DIFFGUARD_DATA=FOLDER[:FOLDER...] they \
         run on it (`cargo xtask datasets` says what there is, `fetch` gets it)."
    );
}
