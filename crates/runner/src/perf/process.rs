//! One side of a measurement: a process that answers "go" with a time.
//!
//! It says `ready VARIANT` once it has warmed up; to `go` it answers with the ms that one execution took; to `end`
//! with its peak resident memory in MiB (`-` where the system does not tell), and ends.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use super::{Peer, failed};
use crate::Result;

pub(super) struct Process {
    name: &'static str,
    side: &'static str,
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    variant: String,
}

impl Process {
    /// This program, as the worker of a row.
    pub fn ours(name: &'static str, threads: usize) -> Result<Self> {
        let program = std::env::current_exe()
            .map_err(|e| failed(name, format!("cannot find itself: {e}")))?;
        let mut command = Command::new(program);
        command
            .args(["perf", "--worker", name])
            .env("RAYON_NUM_THREADS", threads.to_string());
        Self::start(name, "ours", command)
    }

    /// The script, in a Python with PyTorch.
    pub fn peer(peer: &Peer, name: &'static str, threads: usize) -> Result<Self> {
        let mut command = Command::new(&peer.python);
        command.arg(&peer.script).args([name, &threads.to_string()]);
        Self::start(name, "the peer", command)
    }

    fn start(name: &'static str, side: &'static str, mut command: Command) -> Result<Self> {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| {
                failed(
                    name,
                    format!(
                        "cannot start {}: {error}; give a Python that has PyTorch with --python",
                        command.get_program().to_string_lossy()
                    ),
                )
            })?;
        let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(failed(name, "no pipes to the worker"));
        };
        let mut process = Self {
            name,
            side,
            child,
            input,
            output: BufReader::new(output),
            variant: String::new(),
        };
        let line = process.line()?;
        match line.strip_prefix("ready ") {
            Some(variant) => process.variant = variant.to_owned(),
            None => return Err(process.broken(&line)),
        }
        Ok(process)
    }

    /// Which variant of the row's work it takes.
    pub fn variant(&self) -> &str {
        &self.variant
    }

    /// One execution, in ms.
    pub fn go(&mut self) -> Result<f64> {
        self.say("go")?;
        let line = self.line()?;
        line.parse().map_err(|_| self.broken(&line))
    }

    /// Ends the process; its peak resident memory in MiB.
    pub fn end(mut self) -> Result<Option<f64>> {
        self.say("end")?;
        let line = self.line()?;
        Ok(line.parse().ok())
    }

    fn say(&mut self, word: &str) -> Result<()> {
        writeln!(self.input, "{word}")
            .and_then(|()| self.input.flush())
            .map_err(|error| self.broken(&error.to_string()))
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        match self.output.read_line(&mut line) {
            Ok(0) => Err(self.broken("it ended; what it said is above")),
            Ok(_) => Ok(line.trim().to_owned()),
            Err(error) => Err(self.broken(&error.to_string())),
        }
    }

    fn broken(&self, what: &str) -> crate::Error {
        failed(self.name, format!("{} failed: {what}", self.side))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // After `end` there is nothing left to stop; otherwise a failed row must not leave its worker behind.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
