//! One run at a time in an output directory, and who it is.
//!
//! The lock is the file `.lock`, held by the system's own file lock, which ends with the process. What the file says is
//! for the others: who holds it, or who held it and never let go. A file system that doesn't carry file locks from one
//! machine to the next leaves only those words, so they are heeded too.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::{Error, Result};

/// Holds an output directory until it is dropped or the process ends, however it ends.
#[derive(Debug)]
pub struct Lock {
    file: File,
    /// Who had left the lock behind, where it was taken over.
    left_by: Option<Owner>,
}

/// A process, as others can find it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    user: String,
    host: String,
    process: u32,
    since: String,
    command: String,
    /// Which start of the machine, and when in it the process began: a number may be given to another process later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    birth: Option<String>,
}

impl Lock {
    /// Makes the directory and takes its lock. One that a process of this machine left behind, which is gone, is taken
    /// over, and said so on the error stream.
    ///
    /// # Errors
    /// [`Error::Locked`] names the process that holds it; where that cannot be told from a process which is gone on
    /// another machine, what to do about it.
    pub fn take(directory: &Path) -> Result<Self> {
        let lock = Self::claim(directory, &Owner::this())?;
        if let Some(owner) = &lock.left_by {
            eprintln!(
                "{}: taking over the lock of {owner}, which is gone",
                directory.display()
            );
        }
        Ok(lock)
    }

    fn claim(directory: &Path, this: &Owner) -> Result<Self> {
        std::fs::create_dir_all(directory).map_err(|error| Error::io(directory, &error))?;
        let path = directory.join(".lock");
        let fault = |error: std::io::Error| Error::io(&path, &error);
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(fault)?;
        let held = match file.try_lock() {
            Ok(()) => false,
            Err(TryLockError::WouldBlock) => true,
            Err(TryLockError::Error(error)) => return Err(fault(error)),
        };
        let mut text = String::new();
        // Of another version of this program, or cut off: the lock itself decides then.
        let written: Option<Owner> = match file.read_to_string(&mut text) {
            Ok(_) => toml::from_str(&text).ok(),
            Err(_) => None,
        };
        let refuse = |owner: String, mend: String| {
            Err(Error::Locked {
                path: directory.to_owned(),
                owner,
                mend,
            })
        };
        let wait = "wait for it, stop it, or give another directory with --out";
        if held {
            let owner = written.map_or("another process".into(), |owner| owner.to_string());
            return refuse(owner, wait.into());
        }
        if let Some(owner) = &written {
            if owner.host != this.host {
                let mend = format!(
                    "{wait}; if it is no longer running on {}, remove {} and run again",
                    owner.host,
                    path.display()
                );
                return refuse(owner.to_string(), mend);
            }
            if owner.is_alive() {
                return refuse(owner.to_string(), wait.into());
            }
        }
        let text = toml::to_string(this).map_err(|error| Error::file(&path, error))?;
        file.set_len(0)
            .and_then(|()| file.seek(SeekFrom::Start(0)))
            .and_then(|_| file.write_all(text.as_bytes()))
            .and_then(|()| file.sync_all())
            .map_err(fault)?;
        Ok(Self {
            file,
            left_by: written,
        })
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // An empty file says that nobody was cut off. Were it to fail, the next run takes the lock over.
        let _ = self.file.set_len(0);
    }
}

impl Owner {
    fn this() -> Self {
        let process = std::process::id();
        let arguments = std::env::args_os().skip(1);
        let arguments: Vec<String> = arguments
            .map(|it| it.to_string_lossy().into_owned())
            .collect();
        Self {
            user: user(),
            host: host(),
            process,
            since: now(),
            command: format!("cargo xtask {}", arguments.join(" ")),
            birth: birth(process),
        }
    }

    /// Whether the process still runs on this machine. Where the system does not tell, it is taken for gone: the file
    /// lock was free.
    fn is_alive(&self) -> bool {
        self.birth.is_some() && birth(self.process) == self.birth
    }
}

impl std::fmt::Display for Owner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "process {} of {} on {} since {} ({})",
            self.process, self.user, self.host, self.since, self.command
        )
    }
}

fn now() -> String {
    let now = OffsetDateTime::now_utc();
    let (hour, minute, second) = now.to_hms();
    format!("{} {hour:02}:{minute:02}:{second:02} UTC", now.date())
}

fn variable(names: &[&str]) -> Option<String> {
    names
        .iter()
        .filter_map(|name| std::env::var(name).ok())
        .find(|value| !value.is_empty())
}

fn user() -> String {
    variable(&["USER", "LOGNAME", "USERNAME"])
        .or_else(|| command_says("whoami"))
        .unwrap_or_else(|| "an unknown user".into())
}

fn host() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname")
        .ok()
        .map(|name| name.trim().to_owned())
        .filter(|name| !name.is_empty())
        .or_else(|| command_says("hostname"))
        .or_else(|| variable(&["HOSTNAME", "COMPUTERNAME"]))
        .unwrap_or_else(|| "an unknown host".into())
}

fn command_says(program: &str) -> Option<String> {
    let output = std::process::Command::new(program).output().ok()?;
    let name = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    (output.status.success() && !name.is_empty()).then_some(name)
}

/// When a running process began, on Linux.
fn birth(process: u32) -> Option<String> {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The second field, the program's name, may hold blanks and brackets. A zombie (Z) has ended.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    let state = fields.next()?;
    let ticks = fields.nth(18)?;
    (state != "Z").then(|| format!("{} {ticks}", boot.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leave_behind(directory: &Path, owner: &Owner) {
        std::fs::write(directory.join(".lock"), toml::to_string(owner).unwrap()).unwrap();
    }

    #[test]
    fn the_second_one_is_told_who_holds_the_directory() {
        let directory = tempfile::tempdir().unwrap();
        let first = Lock::take(directory.path()).unwrap();
        let error = Lock::take(directory.path()).unwrap_err().to_string();
        let this = Owner::this();
        for part in [
            format!("process {} of {}", this.process, this.user),
            format!("on {} since 2", this.host),
            "--out".into(),
        ] {
            assert!(error.contains(&part), "`{part}` is not in: {error}");
        }
        drop(first);
        assert!(Lock::take(directory.path()).unwrap().left_by.is_none());
    }

    #[test]
    fn what_a_dead_process_of_this_machine_left_is_taken_over() {
        let directory = tempfile::tempdir().unwrap();
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let owner = Owner {
            process: child.id(),
            birth: Some("an earlier start 1".into()),
            ..Owner::this()
        };
        child.wait().unwrap();
        leave_behind(directory.path(), &owner);
        let lock = Lock::take(directory.path()).unwrap();
        assert_eq!(lock.left_by, Some(owner));
    }

    /// As on a file system that has no file locks.
    #[cfg(target_os = "linux")]
    #[test]
    fn a_live_process_keeps_what_it_wrote_and_another_of_its_number_does_not() {
        let directory = tempfile::tempdir().unwrap();
        let owner = Owner::this();
        leave_behind(directory.path(), &owner);
        let error = Lock::take(directory.path()).unwrap_err().to_string();
        assert!(error.contains("is in use by process"), "{error}");
        leave_behind(
            directory.path(),
            &Owner {
                birth: Some("an earlier start 1".into()),
                ..owner
            },
        );
        Lock::take(directory.path()).unwrap();
    }

    #[test]
    fn a_lock_of_another_host_is_left_alone_and_the_mend_named() {
        let directory = tempfile::tempdir().unwrap();
        let owner = Owner {
            host: "node-17".into(),
            ..Owner::this()
        };
        leave_behind(directory.path(), &owner);
        let error = Lock::take(directory.path()).unwrap_err().to_string();
        let path = directory.path().join(".lock");
        for part in ["on node-17", "remove", &path.display().to_string()] {
            assert!(error.contains(part), "`{part}` is not in: {error}");
        }
        std::fs::remove_file(path).unwrap();
        Lock::take(directory.path()).unwrap();
    }

    #[test]
    fn words_that_cannot_be_read_keep_nobody_out() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(
            directory.path().join(".lock"),
            "process 1 (cargo xtask bench)\n",
        )
        .unwrap();
        Lock::take(directory.path()).unwrap();
    }
}
