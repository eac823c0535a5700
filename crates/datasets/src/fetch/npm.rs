//! Packages of npm, by the user's own npm client: it knows the user's registry and proxy.

use std::fs;
use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use super::http::Failure;
use super::progress::Progress;
use crate::Error;

/// Brings the tarball of `package` (`name@version`) to `part`.
pub(super) fn bring(
    npm: &Path,
    package: &str,
    part: &Path,
    label: &str,
    progress: &dyn Progress,
) -> Result<(), Failure> {
    let here = |path: &Path, action| {
        let path = path.to_path_buf();
        move |error| Failure::Here(Error::io(&path, action)(error))
    };
    let parent = part.parent().unwrap_or(Path::new("."));
    let folder = tempfile::tempdir_in(parent).map_err(here(parent, "make a folder"))?;
    let output = folder.path().join("npm.log");
    let log = fs::File::create(&output).map_err(here(&output, "make the file"))?;
    let child = Command::new(npm)
        .args(["pack", "--ignore-scripts", "--loglevel=error"])
        .arg("--pack-destination")
        .arg(folder.path())
        .arg(package)
        .current_dir(folder.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn();
    let mut child = child.map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => Failure::Place(
            "there is no npm here; install Node.js, which comes with it, to fetch npm packages"
                .into(),
        ),
        _ => Failure::Place(format!("npm cannot be started: {error}")),
    })?;
    progress.note(label, "npm fetches the package; it tells no progress");
    let status = loop {
        if progress.stopped() {
            let _ = child.kill();
            let _ = child.wait();
            return Err(Failure::Stopped);
        }
        match child.try_wait() {
            Ok(Some(status)) => break status,
            Ok(None) => std::thread::sleep(Duration::from_millis(50)),
            Err(error) => return Err(Failure::Place(format!("npm: {error}"))),
        }
    };
    if !status.success() {
        let mut told = String::new();
        if let Ok(file) = fs::File::open(&output) {
            let _ = file.take(1 << 16).read_to_string(&mut told);
        }
        let first = told
            .lines()
            .find(|line| !line.trim().is_empty())
            .unwrap_or("it gives no reason");
        return Err(Failure::Place(format!(
            "npm pack failed ({status}): {first}"
        )));
    }
    let files = fs::read_dir(folder.path()).map_err(here(folder.path(), "list the folder"))?;
    let packed = files
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| path.extension().is_some_and(|end| end == "tgz"))
        .ok_or_else(|| Failure::Place("npm pack wrote no package".into()))?;
    fs::rename(&packed, part).map_err(here(part, "move the file"))
}
